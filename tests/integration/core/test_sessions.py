"""Sessions through MemoryStore: every call, sync and async."""

from __future__ import annotations

import time

import pytest

from langchain_tablestore_memory import (
    Filters,
    InvalidArgumentError,
    MemoryStore,
    Message,
    MetaType,
    Session,
    microseconds_timestamp,
)

from .support import MODES, metadata_with_types

SCALARS = {"text": "4", "whole": 5, "real": 6.6, "yes": True, "raw": bytearray(b"China")}
CARRIED = {
    "text": MetaType.STRING,
    "whole": MetaType.INTEGER,
    "real": MetaType.DOUBLE,
    "yes": MetaType.BOOLEAN,
    "raw": MetaType.BINARY,
}


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


async def put(store, user_id, **times):
    for session_id, update_time in times.items():
        await store.put_session(Session(user_id, session_id, update_time, {"n": update_time}))


def ids(sessions):
    return [session.session_id for session in sessions]


async def test_put_and_get(store):
    session = Session("u1", "s1", 7, dict(SCALARS))
    assert await store.put_session(session) is None
    read = await store.get_session("u1", "s1")
    assert read == session
    assert metadata_with_types(read.metadata) == metadata_with_types(SCALARS)


async def test_metadata_returns_sorted_by_key(store):
    await store.put_session(Session("u1", "s1", 7, {"b": 1, "a": 2, "文": 3, "C": None}))
    read = await store.get_session(user_id="u1", session_id="s1")
    assert list(read.metadata) == ["C", "a", "b", "文"]


async def test_get_of_a_session_that_does_not_exist_is_none(store):
    assert await store.get_session("u1", "s1") is None
    await put(store, "u1", s1=1)
    assert await store.get_session("u2", "s1") is None
    assert await store.get_session("u1", "s2") is None


async def test_put_replaces_the_whole_session(store):
    await store.put_session(Session("u1", "s1", 7, {"a": 1, "b": [1]}))
    await store.put_session(Session("u1", "s1", 6, {"c": 2}))
    assert await store.get_session("u1", "s1") == Session("u1", "s1", 6, {"c": 2})


async def test_update_sets_what_is_given_and_leaves_the_rest(store):
    await store.put_session(Session("u1", "s1", 7, {"a": 1, "b": 2, "页": 3}))
    await store.update_session(Session("u1", "s1", 8, {"b": 20, "c": 30}))
    assert await store.get_session("u1", "s1") == Session("u1", "s1", 8, {"a": 1, "b": 20, "c": 30, "页": 3})


async def test_update_makes_a_session_that_does_not_exist(store):
    await store.update_session(Session("u1", "s1", 8, {"b": 20}))
    await store.update_session(Session("u1", "s2", 9, {"b": [20]}))
    assert await store.get_session("u1", "s1") == Session("u1", "s1", 8, {"b": 20})
    assert await store.get_session("u1", "s2") == Session("u1", "s2", 9, {"b": [20]})


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("theirs", [{"their": 1}, {"它": [1]}], ids=repr)
async def test_what_others_change_meanwhile_is_kept(store, engine, exists, theirs):
    """Metadata that shares one column has to be read before it can be written."""
    before = {"a": 1, "页": 1} if exists else {}
    if exists:
        await store.put_session(Session("u1", "s1", 1, before))
    other = MemoryStore(engine.connection("sync"))
    other.init_table()

    def come_between(api):
        if api in {"UpdateRow", "BatchWriteRow"}:
            engine.before = None
            other.update_session(Session("u1", "s1", 1, theirs))

    engine.before = come_between
    await store.update_session(Session("u1", "s1", 2, {"页": [2]}))
    assert engine.before is None
    expected = Session("u1", "s1", 2, {**before, **theirs, "页": [2]})
    assert await store.get_session("u1", "s1") == expected


@pytest.mark.parametrize("update", [False, True], ids=["put", "update"])
async def test_a_session_without_a_time_is_of_now(store, update):
    session = Session("u1", "s1", None)
    before = microseconds_timestamp()
    await (store.update_session if update else store.put_session)(session)
    assert before <= session.update_time <= microseconds_timestamp()
    assert (await store.get_session("u1", "s1")).update_time == session.update_time


def test_sessions_made_one_after_the_other_have_times_of_their_own():
    first = Session("u1", "s1")
    time.sleep(0.001)
    assert first.update_time < Session("u1", "s2").update_time


async def test_delete(store):
    await put(store, "u1", s1=1, s2=2)
    await put(store, "u2", s1=3)
    assert await store.delete_session("u1", "s1") is None
    assert await store.get_session("u1", "s1") is None
    assert ids(await store.list_all_sessions()) == ["s2", "s1"]
    await store.delete_session(user_id="u1", session_id="s1")  # not there: fine


async def test_delete_of_a_session_leaves_its_messages(store):
    await put(store, "u1", s1=1)
    await store.put_message(Message("s1", "m1", 1))
    await store.delete_session("u1", "s1")
    assert len(await store.list_messages("s1")) == 1


async def test_delete_with_messages_leaves_those_of_other_sessions(store):
    await put(store, "u1", s1=1, s2=2)
    for session_id in ("s1", "s2"):
        await store.put_message(Message(session_id, "m1", 1))
    await store.delete_session_and_messages("u1", "s1")
    assert await store.list_messages("s1") == []
    assert len(await store.list_messages("s2")) == 1
    assert ids(await store.list_sessions("u1")) == ["s2"]


async def test_delete_with_messages_does_nothing_for_somebody_without_such_a_session(store):
    await put(store, "u1", s1=1)
    await store.put_message(Message("s1", "m1", 1))
    await store.delete_session_and_messages("u2", "s1")
    assert len(await store.list_messages("s1")) == 1
    assert await store.get_session("u1", "s1")


async def test_delete_with_messages_can_be_repeated_after_a_failure(store, engine):
    await put(store, "u1", s1=1)
    for number in range(3):
        await store.put_message(Message("s1", f"m{number}", number))
    engine.fail_at("BatchWriteRow", 2)  # the messages are deleted first, then the session
    with pytest.raises(Exception, match="OTSNoPermissionAccess"):
        await store.delete_session_and_messages("u1", "s1")
    engine.before = None
    assert await store.list_messages("s1") == []
    assert await store.get_session("u1", "s1")
    await store.delete_session_and_messages("u1", "s1")
    assert await store.get_session("u1", "s1") is None


async def test_delete_all_of_a_user(store):
    await put(store, "u1", s1=1, s2=2)
    await put(store, "u2", s1=3)
    await store.put_message(Message("s1", "m1", 1))
    await store.delete_sessions("u1")
    assert ids(await store.list_sessions("u1")) == []
    assert ids(await store.list_sessions("u2")) == ["s1"]
    assert len(await store.list_messages("s1")) == 1


async def test_delete_all_of_everybody(store):
    await put(store, "u1", s1=1)
    await put(store, "u2", s1=2)
    await store.delete_all_sessions()
    assert await store.list_all_sessions() == []


async def test_delete_of_sessions_that_cannot_be_read(store, engine, mode):
    """What another tool has damaged can still be got rid of."""
    from tablestore import Row

    from langchain_tablestore_memory.local import ots_client

    await put(store, "u1", s1=1)
    client = ots_client(engine)
    client.put_row(
        "session", Row([("user_id", "u1"), ("session_id", "s2")], [("lc_metadata", "{"), ("update_time", 5)])
    )
    await store.delete_sessions("u1")
    client.put_row(
        "session", Row([("user_id", "u1"), ("session_id", "s2")], [("lc_metadata", "{"), ("update_time", 5)])
    )
    await store.delete_all_sessions()
    assert await store.list_all_sessions() == []


async def test_list_goes_by_id_and_keeps_to_the_user(store):
    await put(store, "u1", b=1, c=3, a=2)
    await put(store, "u2", d=9)
    assert ids(await store.list_sessions("u1")) == ["a", "b", "c"]
    assert ids(await store.list_sessions("u1", max_count=2)) == ["a", "b"]
    assert ids(await store.list_sessions(user_id="u1", metadata_filter=Filters.gte("n", 2), batch_size=1)) == ["a", "c"]
    assert ids(await store.list_sessions("u1", {"n": {"$gte": 2}}, 1)) == ["a"]


async def test_list_of_everybody(store):
    await put(store, "u2", a=1)
    await put(store, "u1", b=1)
    assert [(s.user_id, s.session_id) for s in await store.list_all_sessions()] == [("u1", "b"), ("u2", "a")]


async def test_recent_list_is_newest_first(store):
    await put(store, "u1", a=5, b=-3, c=0, d=9)
    await put(store, "u2", e=7)
    assert ids(await store.list_recent_sessions("u1")) == ["d", "a", "c", "b"]
    assert ids(await store.list_recent_sessions("u1", max_count=2)) == ["d", "a"]
    assert ids(await store.list_recent_sessions("u3")) == []


async def test_recent_list_moves_with_update_time(store):
    await put(store, "u1", a=1, b=2)
    await store.update_session(Session("u1", "a", 3))
    assert [(s.session_id, s.update_time) for s in await store.list_recent_sessions("u1")] == [("a", 3), ("b", 2)]


async def test_sessions_of_the_same_time_are_all_listed(store):
    await put(store, "u1", a=1, b=1, c=1)
    assert ids(await store.list_recent_sessions("u1", max_count=10, batch_size=1)) == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, [9, 5, 0, -3]),
        (5, None, [5, 0, -3]),
        (4, None, [0, -3]),
        (None, 0, [9, 5, 0]),
        (None, 1, [9, 5]),
        (5, 0, [5, 0]),
        (5, 5, [5]),
        (0, 0, [0]),
        (-1, -3, [-3]),
        (8, 6, []),
        (2**63 - 1, -(2**63), [9, 5, 0, -3]),
    ],
)
async def test_recent_list_between_times_that_are_included(store, start, end, expected):
    await put(store, "u1", a=5, b=-3, c=0, d=9)
    found = await store.list_recent_sessions("u1", inclusive_start_update_time=start, inclusive_end_update_time=end)
    assert [session.update_time for session in found] == expected


async def test_recent_list_carries_the_chosen_metadata(open_store):
    store = open_store(session_secondary_index_meta=CARRIED)
    await store.put_session(Session("u1", "s1", 7, {**SCALARS, "other": 1}))
    (session,) = await store.list_recent_sessions("u1")
    assert metadata_with_types(session.metadata) == metadata_with_types(dict(sorted(SCALARS.items())))
    assert session.update_time == 7


async def test_recent_list_filters_by_what_the_index_carries_and_by_what_it_does_not(open_store):
    store = open_store(session_secondary_index_meta=CARRIED)
    for number in range(6):
        metadata = {"whole": number, "other": number, "页": number}
        await store.put_session(Session("u1", f"s{number}", number, metadata))
    for key in ("whole", "other", "页"):
        found = await store.list_recent_sessions("u1", metadata_filter={key: {"$gte": 3}}, max_count=2)
        assert ids(found) == ["s5", "s4"]


@pytest.mark.parametrize(
    ("value", "condition", "matches"),
    [
        (None, {"text": None}, True),
        (None, {"text": {"$exists": False}}, False),
        (None, {"text": {"$ne": "a"}}, True),
        (["a", "b"], {"text": {"$contains": "a"}}, True),
        (["a", "b"], {"text": {"$exists": True}}, True),
        (2**70, {"text": {"$gt": 5}}, True),
        (2**70, {"text": {"$nin": [2**70]}}, False),
        (b"ab", {"text": b"ab"}, True),
        (b"ab", {"text": {"$ne": b"ab"}}, False),
        (float("inf"), {"text": {"$gt": 1}}, True),
        (7, {"text": 7}, True),
    ],
    ids=repr,
)
async def test_recent_list_filters_by_values_that_no_column_holds(open_store, value, condition, matches):
    """Also where the index carries the column for other sessions: the answer is that of `list_sessions`."""
    store = open_store(session_secondary_index_meta={"text": MetaType.STRING})
    await store.put_session(Session("u1", "s1", 1, {"text": value}))
    expected = ["s1"] if matches else []
    assert ids(await store.list_sessions("u1", condition)) == expected
    assert ids(await store.list_recent_sessions("u1", metadata_filter=condition)) == expected


async def test_empty_metadata_filter_matches_all(store):
    await put(store, "u1", a=1)
    for everything in (None, {}, Filters.all()):
        assert ids(await store.list_sessions("u1", everything)) == ["a"]
        assert ids(await store.list_recent_sessions("u1", metadata_filter=everything)) == ["a"]


@pytest.mark.parametrize("batch_size", [1, 2, 7, 5000])
@pytest.mark.parametrize("max_count", [None, 1, 6, 7, 100])
async def test_batch_size_changes_nothing_but_the_requests(store, batch_size, max_count):
    await put(store, "u1", **{f"s{number}": number for number in range(7)})
    expected = [f"s{number}" for number in range(7)][:max_count]
    assert ids(await store.list_sessions("u1", batch_size=batch_size, max_count=max_count)) == expected
    recent = await store.list_recent_sessions(
        "u1", batch_size=batch_size, max_count=max_count, metadata_filter={"n": {"$lt": 5}}
    )
    assert ids(recent) == ["s4", "s3", "s2", "s1", "s0"][:max_count]


async def test_ids_of_any_text(store):
    awkward = ["s/1", "会话 1", "a\nb", "'", "%", "\x00", "🙂", "x" * 1024, " "]
    for session_id in awkward:
        await store.put_session(Session("用户/1", session_id, 1))
    assert sorted(ids(await store.list_sessions("用户/1"))) == sorted(awkward)
    for session_id in awkward:
        assert (await store.get_session("用户/1", session_id)).session_id == session_id
    await store.delete_sessions("用户/1")
    assert await store.list_all_sessions() == []


async def test_deletes_with_the_longest_ids(store):
    """The two ids together would not fit one key of the message table; there is then nothing to delete there."""
    user_id, session_id = "u" * 1024, "s" * 1024
    await store.put_session(Session(user_id, session_id, 1))
    await store.put_message(Message(session_id, "m1", 1))
    await store.delete_session_and_messages(user_id, session_id)
    assert await store.get_session(user_id, session_id) is None
    assert await store.list_messages(session_id) == []


@pytest.mark.parametrize("call", ["list_sessions", "list_recent_sessions", "delete_sessions"])
async def test_no_user_is_never_every_user(store, call):
    await put(store, "u1", a=1)
    for nobody in (None, ""):
        with pytest.raises(InvalidArgumentError, match="user_id"):
            await getattr(store, call)(nobody)
    assert ids(await store.list_all_sessions()) == ["a"]
