"""Export and import: what comes back is equal, and what is broken is told by its line."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from history.support import exact
from history.test_fidelity import MESSAGES
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory import (
    LongTermMemory,
    Message,
    MessageStore,
    Session,
    SessionRegistry,
    TablestoreChatMessageHistory,
    UnavailableError,
    connect,
)

ODD = {"tags": ["a", "b"], "raw": b"\x00\xff", "when": dt.datetime(2024, 5, 1, tzinfo=dt.UTC), "n": 2**70, "none": None}


@pytest.fixture
def here(tmp_path):
    """A folder with data, and the arguments that name it."""
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path):
    return tmp_path / "there"


def fill(folder):
    with connect(f"local:{folder}") as connection:
        history = TablestoreChatMessageHistory("s1", user_id="u1", connection=connection)
        for name, message in MESSAGES.items():
            history.add_messages([message], metadata={**ODD, "name": name})
        registry = SessionRegistry(connection)
        registry.update("s1", "u1", metadata=ODD, update_time=1_700_000_000_000_000)
        registry.rename("s1", "All kinds of messages", "u1")
        named = TablestoreChatMessageHistory("s2", user_id="u1", connection=connection)
        named.add_messages([HumanMessage("Unnamed"), AIMessage("Yes")], create_times=[-5, 0])
        TablestoreChatMessageHistory("s1", user_id="u2", connection=connection).add_messages([HumanMessage("Other")])
        registry.create("u1", "empty", metadata={"a": 1})


def contents(folder, user_id="u1"):
    """Everything of a user: sessions and entries."""
    with connect(f"local:{folder}") as connection:
        registry = SessionRegistry(connection)
        sessions = list(registry.iterate(user_id, full=True))
        return {
            session.session_id: (
                session,
                list(
                    TablestoreChatMessageHistory(session.session_id, user_id=user_id, connection=connection).entries()
                ),
            )
            for session in sessions
        }


def same(found, wanted):
    assert list(found) == list(wanted)
    for session_id, (session, entries) in wanted.items():
        other, others = found[session_id]
        assert other == session
        assert exact(other.metadata, session.metadata)
        assert len(others) == len(entries)
        for one, two in zip(others, entries, strict=True):
            assert (one.id, one.create_time) == (two.id, two.create_time)
            assert exact(one.metadata, two.metadata)
            assert exact(one.message, two.message)
    return True


def test_every_message_type_and_all_that_is_kept_with_it_returns_equal(run, here, there, tmp_path):
    fill(here)
    file = tmp_path / "all.jsonl"
    done = run("export", file, "--data", here, "--user", "u1")
    count = len(MESSAGES) + 2
    assert (done.status, done.err) == (0, f"Exported 3 conversations, {count} messages.\n")
    done = run("import", file, "--data", there, "--embedding", "none")
    assert (done.status, done.out, done.err) == (0, f"Imported 3 conversations, {count} messages.\n", "")
    wanted = contents(here)
    # Of a session whose messages were never counted nothing is known but that it has none.
    wanted["empty"][0].message_count = 0
    assert same(contents(there), wanted)
    assert contents(there, "u2") == {}


def test_importing_twice_changes_nothing(run, here, there, tmp_path):
    fill(here)
    file = tmp_path / "all.jsonl"
    assert run("export", file, "--data", here, "--user", "u1").status == 0

    def import_it():
        done = run("import", file, "--data", there, "--embedding", "none")
        assert (done.status, done.err) == (0, "")

    import_it()
    import_it()
    first = contents(there)
    import_it()
    assert same(contents(there), first)


def test_all_users_and_one_conversation(run, here, there, tmp_path):
    fill(here)
    everything = run("export", "--data", here, "--all-users").out
    done = run("import", "-", "--data", there, "--embedding", "none", typed=everything)
    assert done.status == 0
    assert same(contents(there, "u2"), contents(here, "u2"))
    one = run("export", "--data", here, "--user", "u1", "--session", "s2").out
    kinds = [json.loads(line)["kind"] for line in one.splitlines()]
    assert kinds == ["tablestore-memory", "session", "message", "message"]


def test_an_export_of_nothing_says_whose_it_was(run, here):
    fill(here)
    done = run("export", "--data", here)
    assert done.status == 0
    assert done.err == "Exported 0 conversations, 0 messages. User default has none; --all-users takes all.\n"
    assert "has none" not in run("export", "--data", here, "--all-users").err


def test_memories_return_equal_and_are_recalled(run, here, there, tmp_path):
    with connect(f"local:{here}") as connection:
        memory = LongTermMemory(connection=connection)
        memory.remember("u1", "I like Sichuan food", session_id="s1", metadata={"topic": ["food"], "raw": b"\x01"})
        memory.remember("u1", HumanMessage("My birthday is March 15th", id="m1"), ttl=dt.timedelta(days=30))
        memory.remember("u2", "Somebody else's")
        wanted = memory.list("u1").items
    file = tmp_path / "all.jsonl"
    assert "memor" not in run("export", tmp_path / "none.jsonl", "--data", here, "--user", "u1").err
    done = run("export", file, "--memories", "--data", here, "--user", "u1")
    assert done.err == "Exported 0 conversations, 0 messages, 2 memories.\n"
    done = run("import", file, "--data", there, "--embedding", "none")
    assert (done.status, done.err) == (0, "Memories are found by words.\n")
    with connect(f"local:{there}") as connection:
        memory = LongTermMemory(connection=connection)
        assert memory.list("u1").items == wanted
        assert exact(memory.list("u1").items[1].metadata, wanted[1].metadata)
        assert [found.text for found in memory.recall("u1", "food")] == ["I like Sichuan food"]
        assert memory.count("u2") == 0
        # The same text is still stored once.
        memory.remember("u1", "I like Sichuan food")
        assert memory.count("u1") == 2
    everything = run("export", "--memories", "--all-users", "--data", here)
    assert "3 memories" in everything.err


def test_messages_of_other_tools_return_as_they_were(run, here, there, tmp_path):
    with connect(f"local:{here}") as connection:
        SessionRegistry(connection).create("default", "s1")
        MessageStore(connection).put([Message("s1", "m1", 5, "Hello", {"role": "assistant"})])
    file = tmp_path / "all.jsonl"
    run("export", file, "--data", here)
    run("import", file, "--data", there, "--embedding", "none")
    with connect(f"local:{there}") as connection:
        assert list(MessageStore(connection).list("s1")) == [Message("s1", "m1", 5, "Hello", {"role": "assistant"})]
        [message] = TablestoreChatMessageHistory("s1", connection=connection).messages
        assert message == AIMessage("Hello", id="m1")


def test_nobody_exports_messages_of_another_user_that_lie_under_the_same_id(run, here):
    with connect(f"local:{here}") as connection:
        TablestoreChatMessageHistory("s1", connection=connection).add_messages([HumanMessage("secret")])
        registry = SessionRegistry(connection)
        # As another tool makes a session: it does not say where its messages are.
        from langchain_tablestore_memory import MemoryStore

        MemoryStore(connection).put_session(Session("evil", "s1"))
        assert registry.get("s1", "evil") is not None
    assert "secret" not in run("export", "--data", here, "--user", "evil").out


def test_what_exists_is_kept_and_gets_what_the_file_holds_besides(run, here, there, tmp_path):
    with connect(f"local:{here}") as connection:
        history = TablestoreChatMessageHistory("s1", connection=connection)
        history.add_messages([HumanMessage("one", id="a"), AIMessage("two", id="b")])
    file = tmp_path / "all.jsonl"
    run("export", file, "--data", here)
    with connect(f"local:{there}") as connection:
        history = TablestoreChatMessageHistory("s1", connection=connection)
        history.add_messages([HumanMessage("mine", id="x"), HumanMessage("ONE", id="a")])
        SessionRegistry(connection).update("s1", metadata={"mine": 1})
    run("import", file, "--data", there, "--embedding", "none")
    session, entries = contents(there, "default")["s1"]
    assert sorted(entry.message.text for entry in entries) == ["mine", "one", "two"]
    assert session.message_count == 3
    assert session.metadata == {"mine": 1}


GOOD = '{"kind":"message","user_id":"u1","session_id":"s1","message_id":"good","create_time":1,"content":"kept"}'


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "it is no JSON"),
        ("nonsense", "it is no JSON"),
        ("[1]", "it is no JSON object"),
        (b"\xff\xfe", "it is no UTF-8 text (byte 0)"),
        ('{"kind":"picture"}', "its kind is 'picture', not session, message or memory"),
        ("{}", "its kind is None"),
        ('{"kind":"message","user_id":"u1"}', "it has no session_id"),
        (GOOD.replace('"u1"', "7"), "its user_id is a int, not a str"),
        (GOOD.replace('"create_time":1', '"create_time":"1"'), "its create_time is a str, not a int"),
        (GOOD.replace('"create_time":1', '"create_time":true'), "its create_time is a bool"),
        (GOOD.replace('"create_time":1', '"create_time":99999999999999999999'), "create_time"),
        (GOOD.replace('"kept"', '"kept","body":"{}"'), "langchain-core"),
        (GOOD.replace('"kept"', '"kept","body":"no json"'), "body"),
        (GOOD.replace('"kept"', '"kept","colour":1'), "'colour' is nothing that a message has"),
        (GOOD.replace('"good"', '""'), "message_id"),
        (GOOD.replace('"kept"', '"kept","metadata":[]'), "its metadata is a list, not a dict"),
        ('{"kind":"session","user_id":"u1","session_id":"s1","update_time":1,"title":" "}', "title"),
        ('{"kind":"memory","user_id":"u1","memory_id":"m","text":"","created_at":1,"updated_at":1}', "text"),
        ('{"kind":"tablestore-memory","version":2}', "the format has version 2"),
        ('{"kind":"tablestore-memory"}', "it has no version"),
    ],
)
def test_a_broken_line_is_told_by_its_number_and_the_rest_is_kept(run, there, tmp_path, line, words):
    file = tmp_path / "broken.jsonl"
    broken = line if isinstance(line, bytes) else line.encode()
    file.write_bytes(b"\n".join([GOOD.encode(), b"", broken, GOOD.replace("good", "last").encode()]))
    done = run("import", file, "--data", there, "--embedding", "none")
    assert done.status == 1
    assert done.out == "Imported 0 conversations, 2 messages; 1 broken line left out.\n"
    [error] = done.err.splitlines()
    assert error.startswith(f"Error: {file}, line 3: ")
    assert words in error
    [(session, entries)] = contents(there).values()
    assert [entry.id for entry in entries] == ["good", "last"]
    assert (session.title, session.message_count, session.update_time) == ("kept", 2, 1)


def test_a_file_of_another_kind_is_told_without_end(run, there, tmp_path):
    file = tmp_path / "wrong.csv"
    file.write_text("a,b\n" * 500)
    done = run("import", file, "--data", there, "--embedding", "none")
    assert done.status == 1
    assert len(done.errors) == 101
    assert done.errors[-1] == f"Error: {file}: 400 more lines are broken."


def test_a_line_too_large_for_a_row_is_told_and_the_rest_is_kept(run, there, tmp_path):
    file = tmp_path / "large.jsonl"
    file.write_text("\n".join([GOOD, GOOD.replace("good", "big").replace("kept", "x" * 9_000_000), GOOD]))
    done = run("import", file, "--data", there, "--embedding", "none")
    assert done.status == 1
    [error] = done.errors
    assert f"{file}, line 2: " in error
    assert len(contents(there)["s1"][1]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import"], "Missing argument 'file'"),
        (["import", "nowhere.jsonl"], "cannot be read (No such file or directory)"),
        (["import", "."], "cannot be read (Is a directory)"),
        (["export", "--session", "nowhere"], "There is no conversation nowhere of this user."),
        (["export", "--all-users", "--user", "u1"], "--all-users takes everything"),
        (["export", "no/such/folder.jsonl"], "cannot be written (No such file or directory)"),
        (["export", "--user", ""], "user_id is empty"),
    ],
)
def test_bad_arguments_are_one_line(run, here, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments, "--data", here)
    assert done.status == 2
    [error] = done.err.splitlines()
    assert error.startswith("Error: ")
    assert words in error


def test_a_file_is_written_over_only_where_that_is_asked_for(run, here, tmp_path):
    fill(here)
    file = tmp_path / "mine.txt"
    file.write_text("mine")
    done = run("export", file, "--data", here, "--user", "u1")
    assert (done.status, done.errors) == (2, [f"Error: The file {file} exists. Name another one, or pass --force."])
    assert file.read_text() == "mine"
    assert run("export", file, "--force", "--data", here, "--user", "u1").status == 0
    assert file.read_text().startswith('{"kind":"tablestore-memory"')


def test_an_export_that_fails_leaves_what_was_there(run, here, tmp_path, monkeypatch):
    """A service that is gone half-way takes no earlier export with it, and leaves no half of one."""
    fill(here)
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    old.write_text("old")
    old.chmod(0o600)
    assert run("export", old, "--force", "--session", "nowhere", "--data", here, "--user", "u1").status == 2

    def failing(*_, **__):
        raise UnavailableError("Tablestore does not answer.", api="get_range")

    with monkeypatch.context() as patched:
        patched.setattr(MessageStore, "list", failing)
        for file in (old, new):
            done = run("export", file, "--force", "--data", here, "--user", "u1")
            assert (done.status, done.errors) == (1, ["Error: Tablestore does not answer."])
    assert (sorted(file.name for file in tmp_path.glob("*.*")), old.read_text()) == (["old.jsonl"], "old")
    assert run("export", old, "--force", "--data", here, "--user", "u1").status == 0
    assert old.read_text() != "old"
    assert old.stat().st_mode & 0o777 == 0o600


def test_an_export_onto_a_device(run, here):
    """It is written as it is, and stays one."""
    fill(here)
    assert run("export", "/dev/null", "--force", "--data", here, "--user", "u1").status == 0
    done = run("export", "/dev/full", "--force", "--data", here, "--user", "u1")
    assert (done.status, done.errors) == (
        2,
        ["Error: The file /dev/full cannot be written (No space left on device). Name another one."],
    )
    assert Path("/dev/full").is_char_device()
