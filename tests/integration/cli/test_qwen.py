"""The chat with Qwen: the real clients, against a stand-in for DashScope on loopback."""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest
from qwen.standin import COMPATIBLE_CHAT, EMBEDDINGS, KEY, REFUSED_KEY, Fault, stand_in

from langchain_tablestore_memory import SessionRegistry, TablestoreChatMessageHistory, connect

pytest.importorskip("langchain_qwq", reason="the extra `dashscope` is not installed")

# The clients of a model are nobody's to close: a command ends with its process.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def qwen(monkeypatch, tmp_path):
    """The service, and an environment in which the command finds it."""
    with stand_in() as service:
        # One certificate is read faster than all.
        first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----")
        (tmp_path / "one.pem").write_text(first + end)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "one.pem"))
        monkeypatch.setenv("DASHSCOPE_CONFIG", str(tmp_path / "config.toml"))
        monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
        monkeypatch.setenv("DASHSCOPE_API_BASE", service.compatible_url)
        monkeypatch.setenv("DASHSCOPE_BASE_URL", service.base_url)
        yield service


def say(*texts):
    return [{"role": "assistant", "content": text} for text in texts]


def kept(tmp_path):
    """The messages of the one conversation."""
    with connect(f"local:{tmp_path / 'data'}") as connection:
        [session] = SessionRegistry(connection).list().items
        return TablestoreChatMessageHistory(session.session_id, connection=connection).messages


def test_qwen_answers_where_there_is_a_key(run, qwen, tmp_path):
    qwen.replies.extend(say("Nice to meet you, Mei.", "You are Mei."))
    done = run("chat", "--data", tmp_path / "data", "--embedding", "none", typed="I am Mei.\nWho am I?")
    assert (done.status, done.errors) == (0, [])
    assert done.out == "Nice to meet you, Mei.\nYou are Mei.\n"
    assert "Model: qwen-plus (Qwen, through DashScope)" in done.err
    assert KEY not in done.err
    first, second = qwen.taken()
    assert (first.path, first.key, first.body["model"]) == (COMPATIBLE_CHAT, KEY, "qwen-plus")
    assert [message["content"] for message in second.body["messages"][1:]] == [
        "I am Mei.",
        "Nice to meet you, Mei.",
        "Who am I?",
    ]
    # Also where the service gives several answers the same id.
    assert [message.text for message in kept(tmp_path)] == [
        "I am Mei.",
        "Nice to meet you, Mei.",
        "Who am I?",
        "You are Mei.",
    ]
    assert kept(tmp_path)[3].usage_metadata


def test_another_model_is_asked_by_its_name(run, qwen, tmp_path):
    done = run("chat", "--data", tmp_path / "data", "--embedding", "none", "--model", "qwen3-max", typed="Hello")
    assert "Model: qwen3-max (Qwen, through DashScope)" in done.err
    assert qwen.taken()[0].body["model"] == "qwen3-max"


def test_memories_and_knowledge_are_found_by_qwens_embeddings(run, qwen, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "tea.md").write_text("Longjing is a green tea.")
    qwen.replies.extend(say("Longjing."))
    done = run(
        "chat", "--data", tmp_path / "data", "--knowledge", notes, typed="/remember I like tea\nWhich tea do I like?"
    )
    assert (done.status, done.errors) == (0, [])
    assert "Memories are recalled by meaning and words (text-embedding-v4)." in done.err
    assert "[Memory] I like tea" in done.out
    assert "[Knowledge] tea.md: Longjing is a green tea." in done.out
    requests = qwen.taken()
    assert {request.path for request in requests} == {COMPATIBLE_CHAT, EMBEDDINGS}
    assert "Longjing is a green tea." in requests[-1].body["messages"][0]["content"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(404, "model_not_found", "The model `qwen-nope` does not exist."), "does not exist"),
        (Fault(400, "data_inspection_failed", "Input data may contain inappropriate content."), "inappropriate"),
    ],
    ids=["invalid model name", "refused"],
)
def test_a_model_that_is_refused_is_told_in_one_line_and_nothing_is_stored_as_an_answer(
    run, qwen, tmp_path, fault, words
):
    qwen.fail(fault)
    done = run(
        "chat", "--data", tmp_path / "data", "--embedding", "none", "--model", "qwen-nope", typed="Hello\n/retry"
    )
    assert done.status == 1
    [error] = done.errors
    assert error.startswith("Error: The model failed. Nothing is stored as an answer; /retry asks again.")
    assert words in error
    assert [message.type for message in kept(tmp_path)] == ["human", "ai"]


def test_a_key_that_is_refused_is_told_in_one_line_without_the_key(run, qwen, tmp_path, monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", REFUSED_KEY)
    qwen.fail(Fault(401, "invalid_api_key", "Invalid API-key provided."))
    done = run("chat", "--data", tmp_path / "data", "--embedding", "none", typed="Hello")
    assert done.status == 1
    [error] = done.errors
    assert "Invalid API-key" in error
    assert REFUSED_KEY not in done.err
    assert [message.type for message in kept(tmp_path)] == ["human"]
