"""Whose call it is, and in which conversation."""

from __future__ import annotations

import sys
import uuid
from types import SimpleNamespace

import pytest

from langchain_tablestore_memory import ConfigurationError, InvalidArgumentError
from langchain_tablestore_memory.runtime import check_user, nobody, running, running_config, thread_of, user_of


def runtime(context=None, *, signed_in=None, thread=None):
    return SimpleNamespace(
        context=context,
        execution_info=SimpleNamespace(thread_id=thread),
        server_info=None if signed_in is None else SimpleNamespace(user=SimpleNamespace(identity=signed_in)),
    )


def config(**configurable):
    return {"configurable": configurable}


@pytest.mark.parametrize(
    ("given", "running", "configuration", "user"),
    [
        ("u1", runtime({"user_id": "u2"}), config(user_id="u3"), "u1"),
        (lambda runtime: runtime.context["account"], runtime({"account": "u1"}), config(user_id="u3"), "u1"),
        (lambda _: None, runtime({"user_id": "u2"}), config(user_id="u3"), None),
        (None, runtime({"user_id": "u1"}, signed_in="u4"), config(user_id="u3"), "u1"),
        (None, runtime(SimpleNamespace(user_id="u1")), config(user_id="u3"), "u1"),
        (None, runtime(SimpleNamespace(user_id=None)), config(user_id="u3"), "u3"),
        (None, runtime({}, signed_in="u4"), config(user_id="u3"), "u3"),
        (None, runtime(signed_in="u4"), config(), "u4"),
        (None, runtime(), {}, None),
        (None, None, None, None),
        (None, None, {"configurable": None}, None),
        (None, SimpleNamespace(), config(user_id="u3"), "u3"),
    ],
)
def test_the_user(given, running, configuration, user):
    assert user_of(given, running, configuration) == user


@pytest.mark.parametrize("given", ["", 1, b"u1", "\ud800", "x" * 1025])
def test_what_is_no_user(given):
    for call in (
        lambda: check_user(given),
        lambda: user_of(lambda _: given, None),
        lambda: user_of(None, runtime({"user_id": given})),
        lambda: user_of(None, None, config(user_id=given)),
        lambda: user_of(None, runtime(signed_in=given)),
    ):
        with pytest.raises(InvalidArgumentError, match="user_id"):
            call()


def test_the_thread():
    assert thread_of(runtime(thread="t1"), config(thread_id="t2")) == "t1"
    assert thread_of(runtime(), config(thread_id="t2")) == "t2"
    assert thread_of(None, {}) is None
    # As the checkpointer has it.
    assert thread_of(None, config(thread_id=3)) == "3"
    assert thread_of(None, config(thread_id=uuid.UUID(int=7))) == str(uuid.UUID(int=7))
    with pytest.raises(InvalidArgumentError, match="thread_id"):
        thread_of(None, config(thread_id=3.5))


def test_outside_of_anything_that_runs():
    assert running_config() is None
    assert running() is None


def test_without_langgraph(monkeypatch):
    for name in ("langgraph.config", "langgraph.runtime"):
        monkeypatch.setitem(sys.modules, name, None)
    assert running_config() is None
    assert running() is None


def test_the_error_says_what_to_give():
    error = nobody("memories these are")
    assert isinstance(error, ConfigurationError)
    assert "user_id" in str(error)
    assert "configurable" in str(error)
