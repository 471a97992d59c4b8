"""The chat through a pipe, as scripts use it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from langchain_tablestore_memory import SessionRegistry, TablestoreChatMessageHistory, connect

from .support import COMMAND

SCRIPTED = [sys.executable, "-m", "tests.integration.cli.scripted"]


@pytest.fixture
def chat(run, tmp_path):
    """Runs a chat to its end, without embeddings."""

    def chat(typed, *arguments):
        return run("chat", "--data", tmp_path / "data", "--embedding", "none", *arguments, typed=typed)

    return chat


def conversations(tmp_path, user_id="default"):
    """What is kept: for each conversation, its messages, the most recently active one first."""
    with connect(f"local:{tmp_path / 'data'}") as connection:
        return {
            session.title: [
                message.text
                for message in TablestoreChatMessageHistory(
                    session.session_id, user_id=user_id, connection=connection
                ).messages
            ]
            for session in SessionRegistry(connection).list(user_id).items
        }


def test_a_script_of_all_commands(chat, tmp_path):
    typed = "\n".join(
        [
            "Hi! My name is Mei.",
            "What is my name?",
            "/sessions",
            "/history",
            "/remember I like Sichuan food",
            "/memories",
            "/rename About me",
            "/new",
            "What kind of food do I like?",
            "/load 1",
            "/search name",
            f"/export {tmp_path / 'out.jsonl'}",
            "/retry",
            "/forget 1",
            "/sessions",
            "/delete 2",
            "/help",
            "/quit",
            "never said",
        ]
    )
    done = chat(typed)
    shown = done.out
    assert done.status == 0
    for words in (
        "Nice to meet you, Mei.",
        "Your name is Mei.",
        "1 conversation",
        "[you] What is my name?",
        "Memory saved: I like Sichuan food",
        "1 memory",
        "This conversation is now called “About me”.",
        "New conversation: session_",
        "[Memory] I like Sichuan food",
        "Loaded conversation: session_",
        "3 messages; /load opens one by its number",
        "Wrote 1 conversation, 4 messages to",
        "Nothing to do",
        "Forgotten: I like Sichuan food",
        "Deleted conversation: session_",
        "Commands:",
    ):
        assert words in shown
    assert "never said" not in shown
    greeting = done.err
    assert "Model: offline stand-in, a set of rules and no language model. For Qwen, set DASHSCOPE_API_KEY." in greeting
    assert f"local:{tmp_path / 'data'}, user default." in greeting
    assert "Error" not in greeting
    assert list(conversations(tmp_path)) == ["What kind of food do I like?"]


def test_only_answers_and_what_was_asked_for_go_to_standard_output(chat):
    done = chat("My name is Mei.")
    assert done.out == "Nice to meet you, Mei.\n"
    assert len(done.err.splitlines()) == 3


def test_what_goes_wrong_goes_to_standard_error_and_into_the_status(chat, tmp_path):
    done = chat("/bogus\n/load\n/load nowhere\nMy name is Mei.\n")
    assert done.status == 1
    assert done.out == "Nice to meet you, Mei.\n"
    assert [line.partition(".")[0] for line in done.errors] == [
        "Error: There is no command /bogus",
        "Error: /load needs id or number: /load <id or number>",
        "Error: There is no conversation nowhere",
    ]
    assert list(conversations(tmp_path)) == ["My name is Mei."]


def test_lines_that_end_with_a_backslash_are_one_message(chat, tmp_path):
    chat("one\\\ntwo\\\n\nthree\\")
    [said] = conversations(tmp_path).values()
    assert said[::2] == ["one\ntwo", "three"]


@pytest.mark.parametrize("typed", [b"", b"\n\n", b"/quit"], ids=["nothing", "blank", "quit"])
def test_nothing_is_kept_where_nothing_is_said(chat, tmp_path, typed):
    done = chat(typed)
    assert (done.status, done.out) == (0, "")
    assert conversations(tmp_path) == {}


def test_what_is_no_text_is_no_reason_for_a_traceback(chat):
    done = chat(b"\xff\xfe\x00 caf\xe9\nMy name is Mei.\n")
    assert "Nice to meet you, Mei." in done.out
    assert (done.status, done.errors) == (0, [])


def test_a_conversation_is_gone_on_with_in_another_process(chat, tmp_path):
    chat("My name is Mei.")
    done = chat("What is my name?", "--session", "1")
    assert done.out == "Your name is Mei.\n"
    assert "Loaded conversation" in done.err
    assert len(conversations(tmp_path)["My name is Mei."]) == 4


def test_users_have_conversations_and_memories_of_their_own(chat, tmp_path):
    chat("/remember the code is 1234\nMy secret is 99", "--user", "李雷")
    done = chat("/sessions\n/memories\n/search secret\nWhat is the code?\n", "--user", "hanmeimei")
    assert "1234" not in done.out
    assert "99" not in done.out
    assert list(conversations(tmp_path, "李雷")) == ["My secret is 99"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--session", "nowhere"], ["no conversation nowhere", "tablestore-memory sessions"]),
        (["--model", "qwen-plus"], ["set DASHSCOPE_API_KEY", "--model offline"]),
        (["--model", "qwen plus"], ["no model's name"]),
        (["--model", ""], ["no model's name"]),
        (["--embedding", "text-embedding-v4"], ["set DASHSCOPE_API_KEY", "--embedding offline or none"]),
        (["--user", ""], ["user_id"]),
        (["--user", "x" * 2000], ["user_id"]),
        (["--endpoint", "local::memory:"], ["--data", "--endpoint"]),
        (["--knowledge", "nowhere"], ["folder", "nowhere does not exist"]),
        (["--bogus"], ["--bogus"]),
        (["extra"], ["extra"]),
    ],
)
def test_bad_options_are_one_line_and_status_2(run, tmp_path, arguments, words):
    done = run("chat", "--data", tmp_path / "data", *arguments, typed="hello")
    assert (done.status, done.out) == (2, "")
    [error] = done.errors
    assert all(word in error for word in words), error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--endpoint", "http://127.0.0.1:1"], ["TABLESTORE_INSTANCE_NAME", "not set"]),
        (["--endpoint", "local:"], ["names no folder"]),
        (["--data", "/proc/nowhere"], ["cannot be written"]),
    ],
)
def test_places_that_cannot_be_are_one_line(run, arguments, words):
    done = run("chat", *arguments, typed="hello")
    assert done.status == 2
    [error] = done.errors
    assert all(word in error for word in words), error


def test_a_service_that_cannot_be_reached_is_one_line(run, monkeypatch):
    for name, value in {"INSTANCE_NAME": "i", "ACCESS_KEY_ID": "k", "ACCESS_KEY_SECRET": "very-secret"}.items():
        monkeypatch.setenv(f"TABLESTORE_{name}", value)
    done = run("chat", "--endpoint", "http://127.0.0.1:1", "--embedding", "none", typed="hello")
    assert (done.status, done.out) == (1, "")
    [error] = done.err.splitlines()
    assert error.startswith("Error: ")
    assert "very-secret" not in error


@pytest.mark.slow
def test_an_interrupt_ends_the_script_and_keeps_the_answer_so_far(environment, tmp_path):
    process = subprocess.Popen(
        [*SCRIPTED, json.dumps(["Once ", {"sleep": 60}, "more"]), "chat", "--data", tmp_path / "data"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(b"Tell me\nand then\n")
    process.stdin.flush()
    assert process.stdout.read(5) == b"Once "
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert conversations(tmp_path) == {"Tell me": ["Tell me", "Once "]}


@pytest.mark.slow
def test_an_answer_that_nobody_reads_is_stored(environment, tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "chat", "--data", tmp_path / "data", "--embedding", "none"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    process.stdin.write(b"My name is Mei.\n")
    process.stdin.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err
    assert conversations(tmp_path) == {"My name is Mei.": ["My name is Mei.", "Nice to meet you, Mei."]}


@pytest.mark.slow
def test_an_export_that_nobody_reads_ends_without_a_traceback(environment, chat, tmp_path):
    chat("My name is Mei.")
    process = subprocess.Popen(
        [*COMMAND, "export", "--data", tmp_path / "data"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), err) == (1, b"")


@pytest.mark.slow
def test_a_terminal_without_the_extra_is_told_what_to_install(terminal, tmp_path):
    hidden = (
        "import sys; sys.modules['prompt_toolkit'] = None; from langchain_tablestore_memory.cli import main; main()"
    )
    started = terminal([sys.executable, "-c", hidden], "chat", "--data", tmp_path / "data", "--embedding", "none")
    started.expect("Error: the package prompt_toolkit is not installed; run: pip install")
    assert started.status() == 2
