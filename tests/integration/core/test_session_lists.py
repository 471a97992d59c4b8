"""Many sessions through SessionRegistry: listed, and removed together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from langchain_tablestore_memory import (
    CursorError,
    Filters,
    InvalidArgumentError,
    Message,
    MetaType,
    Session,
    SessionRegistry,
    microseconds_timestamp,
)
from langchain_tablestore_memory.core.conversations import conversation_of

from .support import Face


def ids(sessions):
    return [session.session_id for session in sessions]


@pytest.fixture
async def filled(registry):
    """Seven sessions of one user at times that are partly the same, and one of another."""
    for number, time in enumerate([5, -3, 0, 9, 9, 9, 2]):
        await registry.create("u1", f"s{number}", title=f"title {number}", metadata={"n": number, "页": [number]})
        await registry.touch(f"s{number}", "u1", time)
    await registry.create("u2", "s0", title="another user's")
    return registry


RECENT_FIRST = ["s5", "s4", "s3", "s0", "s6", "s2", "s1"]


async def test_list_is_newest_first_and_keeps_to_the_user(filled):
    page = await filled.list("u1")
    assert ids(page.items) == RECENT_FIRST
    assert page.cursor is None
    assert [s.update_time for s in page.items] == [9, 9, 9, 5, 2, 0, -3]
    assert ids((await filled.list("u2")).items) == ["s0"]
    assert (await filled.list("u3")).items == []
    assert (await filled.list()).items == []


async def test_list_carries_titles_and_on_request_everything(filled):
    (first, *_) = (await filled.list("u1", limit=1)).items
    assert (first.title, first.metadata) == ("title 5", {})
    (first, *_) = (await filled.list("u1", limit=1, full=True)).items
    assert first == await filled.get("s5", "u1")
    assert first.metadata == {"n": 5, "页": [5]}


async def test_list_is_one_request(filled, engine):
    engine.taken()
    await filled.list("u1")
    assert engine.taken() == ["GetRange"]
    await filled.list("u1", full=True)
    assert engine.taken() == ["GetRange", "BatchGetRow"]


def moment(microseconds):
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, RECENT_FIRST),
        (5, None, ["s5", "s4", "s3", "s0"]),
        (6, None, ["s5", "s4", "s3"]),
        (None, 0, ["s2", "s1"]),
        (0, 5, ["s0", "s6", "s2"]),
        (9, 9, ["s5", "s4", "s3"]),
        (0, 0, ["s2"]),
        (10, None, []),
        (None, -4, []),
        (moment(2), moment(5), ["s0", "s6"]),
    ],
)
async def test_list_between_times_that_are_included(filled, since, until, expected):
    assert ids((await filled.list("u1", since=since, until=until)).items) == expected
    assert ids(await filled.iterate("u1", since=since, until=until)) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 1000])
@pytest.mark.parametrize("options", [{}, {"full": True}, {"metadata_filter": {"n": {"$ne": 4}}}, {"since": 0}])
async def test_all_pages_together_are_the_list(filled, limit, options):
    expected = await filled.iterate("u1", **options)
    found, cursor = [], None
    while True:
        page = await filled.list("u1", limit=limit, cursor=cursor, **options)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            break
    assert found == expected


async def test_cursors_are_refused_for_others(filled, store, engine):
    cursor = (await filled.list("u1", limit=2)).cursor
    engine.taken()
    for wrong in [cursor[:-2], cursor[1:], "", "x", 5, b"x"]:
        with pytest.raises(CursorError):
            await filled.list("u1", cursor=wrong)
    with pytest.raises(CursorError, match="another user"):
        await filled.list("u2", cursor=cursor)
    assert engine.calls == []
    # The same listing by its other name is no other listing.
    page = await store.list_recent_sessions_paginated("u1", 100, cursor)
    assert ids(page.hits) == RECENT_FIRST[2:]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"n": {"$gte": 4}}, ["s5", "s4", "s6"]),
        (Filters.contains("页", 3), ["s3"]),
        ({"n": {"$lt": 3}, "页": {"$exists": True}}, ["s0", "s2", "s1"]),
        ({"other": {"$exists": False}}, RECENT_FIRST),
    ],
    ids=repr,
)
@pytest.mark.parametrize("carried", [False, True])
async def test_list_under_a_filter(engine, connection, mode, condition, expected, carried):
    columns = {"n": MetaType.INTEGER} if carried else None
    registry = Face(SessionRegistry(connection, metadata_columns=columns), mode)
    for number, time in enumerate([5, -3, 0, 9, 9, 9, 2]):
        await registry.create("u1", f"s{number}", title=f"title {number}", metadata={"n": number, "页": [number]})
        await registry.touch(f"s{number}", "u1", time)
    found = await registry.iterate("u1", metadata_filter=condition)
    assert ids(found) == expected
    assert [s.title for s in found] == [s.replace("s", "title ") for s in expected]
    assert ids(await registry.iterate("u1", metadata_filter=condition, limit=2)) == expected[:2]


async def test_a_filter_by_what_the_index_carries_reads_nothing_else(connection, mode, engine):
    registry = Face(SessionRegistry(connection, metadata_columns={"n": MetaType.INTEGER}), mode)
    for number in range(3):
        await registry.create("u1", f"s{number}", metadata={"n": number, "other": 1})
    engine.taken()
    page = await registry.list("u1", metadata_filter={"n": {"$gte": 1}})
    assert engine.taken() == ["GetRange"]
    assert [session.metadata for session in page.items] == [{"n": 2}, {"n": 1}]


@pytest.mark.parametrize("limit", [0, -1, 1001, True, 1.5, "2", None])
async def test_limits_that_are_none(registry, engine, limit):
    with pytest.raises(InvalidArgumentError, match="limit"):
        await registry.list("u1", limit=limit)
    assert engine.calls == []


async def test_iterate_reads_as_it_goes(engine, mode, filled):
    engine.taken()
    target = filled.target
    if mode == "sync":
        iterator = target.iterate("u1")
        assert engine.calls == []
        assert next(iterator).session_id == "s5"
    else:
        stream = target.aiterate("u1")
        assert engine.calls == []
        assert (await anext(stream)).session_id == "s5"
    assert engine.taken() == ["GetRange"]


@pytest.mark.slow
def test_more_than_a_page_of_the_service(engine):
    """A page of the service has at most 5,000 rows, and a read of rows by their keys 100."""
    registry = SessionRegistry(engine.connection("sync"))
    registry.setup()
    put_many_sessions(engine, "u1", 5003)
    assert [s.update_time for s in registry.iterate("u1")] == list(reversed(range(5003)))
    assert sum(1 for _ in registry.iterate("u1", limit=5001)) == 5001
    found = registry.iterate("u1", metadata_filter={"n": {"$lt": 3}})
    assert [s.update_time for s in found] == [2, 1, 0]


@pytest.mark.slow
async def test_delete_user_with_more_sessions_than_one_request_takes(registry, engine):
    await registry.setup()
    put_many_sessions(engine, "u1", 203)
    assert await registry.delete_user("u1") == 203
    assert await registry.iterate("u1") == []


def put_many_sessions(engine, user_id, count):
    """Rows as another tool would write them, in few requests."""
    from tablestore import (
        BatchWriteRowRequest,
        Condition,
        PutRowItem,
        Row,
        RowExistenceExpectation,
        TableInBatchWriteRowItem,
    )

    from langchain_tablestore_memory.local import ots_client

    client = ots_client(engine)
    anyhow = Condition(RowExistenceExpectation.IGNORE)
    for start in range(0, count, 200):
        items = [
            PutRowItem(
                Row([("user_id", user_id), ("session_id", f"s{number}")], [("update_time", number), ("n", number)]),
                anyhow,
            )
            for number in range(start, min(start + 200, count))
        ]
        request = BatchWriteRowRequest()
        request.add(TableInBatchWriteRowItem("session", items))
        assert client.batch_write_row(request).is_all_succeed()


async def test_delete_user_takes_everything_the_user_owns_and_nothing_else(registry, messages, store):
    for user_id in ("u1", "u10", "u", "u2", "default", "u1/s1"):
        for session_id in ("s1", "s2"):
            await registry.create(user_id, session_id)
            await messages.put([Message(conversation_of(user_id, session_id), "m1", 1, f"of {user_id}")])
    # Messages whose session was never written, or is gone.
    await messages.put([Message(conversation_of("u1", "lost"), "m1", 1, "lost")])
    await messages.put([Message(conversation_of("u1", "user:2:u2/s1"), "m1", 1, "lost")])
    assert await registry.delete_user("u1") == 2
    others = ["u10", "u", "u2", "default", "u1/s1"]
    assert sorted({m.content for m in await store.list_all_messages()}) == sorted(f"of {user_id}" for user_id in others)
    assert len(await store.list_all_messages()) == 2 * len(others)
    assert await registry.iterate("u1") == []
    for user_id in others:
        assert ids(await registry.iterate(user_id)) == ["s2", "s1"]
    assert await registry.delete_user("u1") == 0
    assert await registry.delete_user("default") == 2
    assert len(await store.list_all_messages()) == 2 * len(others) - 2


async def test_delete_user_where_there_is_nothing(registry):
    assert await registry.delete_user("u1") == 0


async def test_delete_user_with_the_longest_ids(registry, store):
    user_id = "用" * 341
    await store.put_session(Session(user_id, "s1", 1))
    assert await registry.delete_user(user_id) == 1
    assert await store.list_all_sessions() == []


@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_delete_user_can_be_repeated_after_a_failure(registry, store, messages, engine, failing):
    for session_id in ("s1", "s2"):
        await registry.create("u1", session_id)
        await messages.put([Message(conversation_of("u1", session_id), f"m{number}", number) for number in range(3)])
    engine.fail_at("BatchWriteRow", failing)
    with pytest.raises(Exception, match="OTSNoPermissionAccess"):
        await registry.delete_user("u1")
    engine.before = None
    await registry.delete_user("u1")
    assert await registry.iterate("u1") == []
    assert await store.list_all_messages() == []


@pytest.mark.parametrize(
    ("before", "left"),
    [
        (5, ["s5", "s4", "s3", "s0"]),
        (-3, RECENT_FIRST),
        (0, RECENT_FIRST[:-1]),
        (100, []),
        (moment(9), RECENT_FIRST[:3]),
    ],
)
async def test_delete_idle_leaves_who_was_active_since(filled, messages, store, before, left):
    for session_id in RECENT_FIRST:
        await messages.put([Message(conversation_of("u1", session_id), "m1", 1, session_id)])
    assert await filled.delete_idle(before) == len(RECENT_FIRST) - len(left)
    assert ids(await filled.iterate("u1")) == left
    assert sorted(m.content for m in await store.list_all_messages()) == sorted(left)
    assert ids(await filled.iterate("u2")) == ["s0"]


async def test_delete_idle_by_age_and_for_one_user(registry):
    now = microseconds_timestamp()
    for user_id in ("u1", "u2"):
        for name, age in [("new", 0), ("old", 3600)]:
            await registry.create(user_id, name)
            await registry.touch(name, user_id, now - age * 1_000_000)
    assert await registry.delete_idle(timedelta(hours=2)) == 0
    assert await registry.delete_idle(timedelta(minutes=30), user_id="u1") == 1
    assert ids(await registry.iterate("u1")) == ["new"]
    assert ids(await registry.iterate("u2")) == ["new", "old"]
    assert await registry.delete_idle(timedelta(minutes=30)) == 1
    assert ids(await registry.iterate("u2")) == ["new"]


async def test_delete_idle_can_be_repeated_after_a_failure(filled, engine, store):
    engine.fail_at("BatchWriteRow", 2)
    with pytest.raises(Exception, match="OTSNoPermissionAccess"):
        await filled.delete_idle(100)
    engine.before = None
    assert 0 < len(await filled.iterate("u1")) < len(RECENT_FIRST)
    await filled.delete_idle(100)
    assert ids(await store.list_all_sessions()) == ["s0"]


async def test_a_session_that_becomes_active_meanwhile_is_not_idle(filled, engine):
    """Whoever wrote between the reading of the list and the deletion keeps the conversation."""
    other = SessionRegistry(engine.connection("sync"))

    def become_active(api):
        if api == "GetRow":
            engine.before = None
            other.touch("s1", "u1", 1000)

    engine.before = become_active
    await filled.delete_idle(100)
    assert ids(await filled.iterate("u1")) == ["s1"]
