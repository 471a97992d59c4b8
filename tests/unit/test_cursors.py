"""Page cursors: what they hold, and where they are refused."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tablestore_memory.core.cursors import decode_cursor, encode_cursor
from langchain_tablestore_memory.errors import CursorError

SCOPE = ("messages", "message", "s1", "DESC")
KINDS = (int, str)

texts = st.text(st.characters(exclude_categories=["Cs"]))
times = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(texts, min_size=1), times, texts)
def test_a_cursor_returns_its_position(scope, time, message_id):
    cursor = encode_cursor(scope, (time, message_id))
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)
    assert decode_cursor(cursor, scope, KINDS) == [time, message_id]
    assert encode_cursor(scope, (time, message_id)) == cursor


@given(st.lists(texts, min_size=1), st.lists(texts, min_size=1), times, texts)
def test_a_cursor_is_refused_elsewhere(scope, other, time, message_id):
    cursor = encode_cursor(scope, (time, message_id))
    if other != scope:
        with pytest.raises(CursorError, match="belongs to another user, conversation or listing"):
            decode_cursor(cursor, other, KINDS)


@pytest.mark.parametrize(
    "other",
    [
        ("messages", "message", "s2", "DESC"),
        ("messages", "message", "s1", "ASC"),
        ("messages", "message2", "s1", "DESC"),
        ("history", "message", "s1", "DESC"),
        # Parts that would be the same if they were joined.
        ("messages", "messages1", "", "DESC"),
        ("messages", "message", "s1DESC"),
        ("messages", "message", "s1", "DESC", ""),
    ],
)
def test_scopes_that_look_alike(other):
    with pytest.raises(CursorError):
        decode_cursor(encode_cursor(SCOPE, (1, "m1")), other, KINDS)


@given(st.data())
def test_a_cursor_that_was_changed_is_refused(data):
    cursor = encode_cursor(SCOPE, (1_700_000_000_000_000, "m1"))
    position = data.draw(st.integers(0, len(cursor) - 1))
    letter = data.draw(st.sampled_from("ABCabc012-_"))
    changed = cursor[:position] + letter + cursor[position + 1 :]
    if _bytes(changed) != _bytes(cursor):
        with pytest.raises(CursorError):
            decode_cursor(changed, SCOPE, KINDS)


def _bytes(cursor):
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


@pytest.mark.parametrize(
    "cursor", ["", "x", "%%%", "not a cursor", "Ä" * 20, "=====", "AAAA", "A" * 5000, "null", "eyJhIjoxfQ==", "\n"]
)
def test_no_cursor(cursor):
    with pytest.raises(CursorError, match="with the page before"):
        decode_cursor(cursor, SCOPE, KINDS)


@pytest.mark.parametrize("cursor", [7, b"AAAA", ["AAAA"], True, object()])
def test_wrong_types(cursor):
    with pytest.raises(CursorError, match=f"The cursor is a {type(cursor).__name__}"):
        decode_cursor(cursor, SCOPE, KINDS)


@pytest.mark.parametrize("position", [("m1", 1), (1,), (1, "m1", 2), (True, "m1"), (1.5, "m1")])
def test_positions_of_another_kind(position):
    with pytest.raises(CursorError, match=r"of another version of this package\. Start again"):
        decode_cursor(encode_cursor(SCOPE, position), SCOPE, KINDS)


def test_a_cursor_names_nobody():
    cursor = encode_cursor(("history", "message", "user:5:alice/secret-project"), (1, "m1"))
    assert b"alice" not in _bytes(cursor)
    assert b"secret" not in _bytes(cursor)
