"""Names of conversations: one for each user and session, and for nobody else."""

from __future__ import annotations

from enum import Enum

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from langchain_tablestore_memory.core.conversations import conversation_of, user_conversations
from langchain_tablestore_memory.core.records import DEFAULT_USER
from langchain_tablestore_memory.errors import InvalidArgumentError

# Ids that try to look like parts of a name.
ids = st.text(alphabet=st.sampled_from("a:/0123user是🙂"), min_size=1, max_size=12) | st.sampled_from(
    ["default", "user:", "user:1:a/s1", "user:7:default/s1", "a/", "/", ":"]
)


@pytest.mark.parametrize(
    ("user_id", "session_id", "expected"),
    [
        ("default", "s1", "s1"),
        ("default", "user:x", "user:7:default/user:x"),
        ("default", "user", "user"),
        ("李雷", "s1", "user:2:李雷/s1"),
        ("u1", "s1", "user:2:u1/s1"),
        ("u1", "a/b", "user:2:u1/a/b"),
    ],
)
def test_names(user_id, session_id, expected):
    assert conversation_of(user_id, session_id) == expected


class User(str, Enum):  # noqa: UP042 - the older way, in which str() gives the name
    ALICE = "alice"
    DEFAULT = "default"


def test_ids_that_are_enums_of_text():
    assert conversation_of(User.ALICE, "s1") == conversation_of("alice", "s1")
    assert conversation_of(User.DEFAULT, User.ALICE) == "alice"
    assert user_conversations(User.ALICE) == user_conversations("alice")


@given(ids, ids, ids, ids)
@example("default", "user:1:a/s", "a", "s")
@example("a", "b/c", "a/b", "c")
@example("1", "2:x/s", "1:2", "x/s")
def test_no_two_conversations_have_the_same_name(user_id, session_id, other_user, other_session):
    assume((user_id, session_id) != (other_user, other_session))
    assert conversation_of(user_id, session_id) != conversation_of(other_user, other_session)


@given(ids, ids, ids)
@example("a", "default", "user:1:a/s")
@example("u1", "u10", "s")
@example("a", "a/", "s")
def test_the_range_of_a_user_holds_that_users_conversations_only(user_id, other_user, session_id):
    low, high = (bound.encode() for bound in user_conversations(user_id))
    own = conversation_of(user_id, session_id)
    if own != session_id:
        assert low <= own.encode() < high
    if other_user != user_id:
        assert not low <= conversation_of(other_user, session_id).encode() < high


def test_the_range_holds_sessions_of_any_text():
    low, high = (bound.encode() for bound in user_conversations("u1"))
    for session_id in ("\x00", "\U0010ffff", "/", "0", "~", "x" * 900):
        assert low <= conversation_of("u1", session_id).encode() < high


def test_the_bare_session_id_on_request():
    assert conversation_of("u1", "s1", isolated=False) == "s1"
    assert conversation_of(DEFAULT_USER, "s1", isolated=False) == "s1"


@pytest.mark.parametrize("user_id", ["u1", "default"])
def test_the_bare_session_id_is_never_a_named_users_conversation(user_id):
    with pytest.raises(InvalidArgumentError, match="isolate_users"):
        conversation_of(user_id, "user:2:u2/s1", isolated=False)


def test_both_ids_together_have_a_limit():
    longest = "s" * (1024 - len("user:2:u1/"))
    assert len(conversation_of("u1", longest)) == 1024
    with pytest.raises(InvalidArgumentError, match="1025 bytes"):
        conversation_of("u1", longest + "s")
    with pytest.raises(InvalidArgumentError, match="together"):
        conversation_of("用" * 200, "户" * 200)
    assert conversation_of(DEFAULT_USER, "s" * 1024) == "s" * 1024


@pytest.mark.parametrize("bad", ["", None, 5, "x" * 1025, "\ud800"], ids=ascii)
def test_ids_are_checked(bad):
    with pytest.raises(InvalidArgumentError, match="user_id"):
        conversation_of(bad, "s1")
    with pytest.raises(InvalidArgumentError, match="session_id"):
        conversation_of("u1", bad)
    with pytest.raises(InvalidArgumentError, match="session_id"):
        conversation_of("u1", bad, isolated=False)
