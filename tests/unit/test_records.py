"""Sessions, messages, pages and orders as plain records."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import time

import pytest
from tablestore import Direction

from langchain_tablestore_memory import Message, Order, Page, Session, microseconds_timestamp


def test_a_session_is_of_now_and_has_no_metadata():
    before = microseconds_timestamp()
    session = Session("u1", "s1")
    assert before <= session.update_time <= microseconds_timestamp()
    assert (session.user_id, session.session_id, session.metadata) == ("u1", "s1", {})
    assert (session.title, session.message_count, session.preview) == (None, None, None)


def test_a_message_has_neither_time_nor_text_before_it_is_given_one():
    message = Message("s1", "m1")
    assert (message.session_id, message.message_id) == ("s1", "m1")
    assert (message.create_time, message.content, message.metadata, message.body) == (None, None, {}, None)


def test_names_and_order_of_the_fields_are_the_peers():
    assert Session("u", "s", 1, {"a": 1}) == Session(user_id="u", session_id="s", update_time=1, metadata={"a": 1})
    assert Message("s", "m", 1, "c", {"a": 1}) == Message(
        session_id="s", message_id="m", create_time=1, content="c", metadata={"a": 1}
    )


def test_defaults_are_made_anew_for_each_record():
    first, second = Session("u1", "s1"), Session("u1", "s1")
    first.metadata["a"] = 1
    assert second.metadata == {}
    time.sleep(0.002)
    assert Session("u1", "s1").update_time > first.update_time
    one, other = Message("s1", "m1"), Message("s1", "m1")
    one.metadata["a"] = 1
    assert other.metadata == {}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            Session("1", "2", 1743669966419601, {"meta_boolean": True, "meta_bytes": bytearray(b"China")}),
            (
                "Session(user_id='1', session_id='2', update_time=1743669966419601, "
                "metadata={'meta_boolean': True, 'meta_bytes': bytearray(b'China')})"
            ),
        ),
        (
            Session("1", "2", 0, title="t", message_count=0, preview=""),
            "Session(user_id='1', session_id='2', update_time=0, metadata={}, title='t', message_count=0, preview='')",
        ),
        (
            Message("会话", "m", 204946059, "最大朋友", {"a": 1}),
            "Message(session_id='会话', message_id='m', create_time=204946059, content='最大朋友', metadata={'a': 1})",
        ),
        (Message("s", "m"), "Message(session_id='s', message_id='m', create_time=None, content=None, metadata={})"),
        (
            Message("s", "m", body="{}"),
            "Message(session_id='s', message_id='m', create_time=None, content=None, metadata={}, body='{}')",
        ),
    ],
    ids=["session", "session with everything", "message", "message with nothing", "message with a body"],
)
def test_reprs_are_the_peers_and_leave_out_what_is_not_set(record, expected):
    assert repr(record) == expected


@pytest.mark.parametrize("record", [Session("u", "s", 1, {"a": [1]}, title="t"), Message("s", "m", 1, "c", body="b")])
def test_records_can_be_compared_copied_and_sent_to_other_processes(record):
    for other in (copy.deepcopy(record), pickle.loads(pickle.dumps(record)), dataclasses.replace(record)):
        assert other == record
        assert other is not record
    assert record != dataclasses.replace(record, metadata={"other": 1})


@pytest.mark.parametrize("record", [Session("u", "s"), Message("s", "m")])
def test_a_slip_in_the_name_of_a_field_is_an_error(record):
    with pytest.raises(AttributeError):
        record.sesion_id = "s2"


def test_what_only_the_registry_sets_is_given_by_name():
    with pytest.raises(TypeError):
        Session("u", "s", 1, {}, "title")
    with pytest.raises(TypeError):
        Message("s", "m", 1, "c", {}, "body")


def test_a_page_by_both_names():
    page = Page([1, 2], "next")
    assert page.items is page.hits
    assert (page.hits, page.next_token, page.cursor) == ([1, 2], "next", "next")
    assert Page([]).next_token is None


def test_orders_are_directions_of_the_sdk():
    assert (Order.ASC.value, Order.DESC.value) == (Direction.FORWARD, Direction.BACKWARD)


def test_times_are_microseconds():
    assert abs(microseconds_timestamp() - time.time() * 1_000_000) < 5_000_000
    assert type(microseconds_timestamp()) is int
