"""Forgetting: what was meant, all of it, and nothing else."""

from __future__ import annotations

import datetime as dt

import pytest
from tablestore import INF_MAX, INF_MIN, Direction

from langchain_tablestore_memory import FilterError, Filters, InvalidArgumentError, LongTermMemory

from .support import SECOND, START, texts_of


def stored(engine):
    """The users and texts of all rows of the table, expired ones included."""
    client = engine.connection("sync").client
    low, high = [[("document_id", end), ("tenant_id", end)] for end in (INF_MIN, INF_MAX)]
    _, _, rows, _ = client.get_range("memory", Direction.FORWARD, low, high)
    return sorted((row.primary_key[1][1], dict(c[:2] for c in row.attribute_columns)["text"]) for row in rows)


@pytest.fixture
async def filled(memory, clock):
    await memory.remember("u2", [f"fact {n}" for n in range(6)], session_id="s1", metadata={"topic": "x"})
    for n in range(6):
        await memory.remember("u1", f"fact {n}", session_id=f"s{n % 2}", metadata={"year": n, "topic": "x"})
        clock.pass_seconds(1)
    return memory


async def test_by_id(filled, engine):
    [first, second, *_] = (await filled.list("u1")).items
    assert await filled.forget("u1", first.memory_id) == 1
    assert await filled.get("u1", first.memory_id) == [None]
    assert await filled.forget("u1", first.memory_id) == 0
    assert await filled.forget("u1", [second.memory_id, second.memory_id, "absent", first.memory_id]) == 1
    assert await filled.forget("u1", []) == 0
    assert await filled.forget("u1", iter(["absent"])) == 0
    assert texts_of(await filled.list("u1")) == ["fact 3", "fact 2", "fact 1", "fact 0"]
    assert await filled.count("u2") == 6
    assert texts_of(await filled.recall("u1", "fact", k=100)) != []
    assert not {"fact 5", "fact 4"} & set(texts_of(await filled.recall("u1", "fact", k=100)))


async def test_ids_of_another_user(filled):
    [newest, *_] = (await filled.list("u2")).items
    assert await filled.forget("u3", newest.memory_id) == 0
    # The same text has the same id with every user, and each has their own.
    assert await filled.forget("u1", newest.memory_id) == 1
    assert await filled.get("u2", newest.memory_id) == [newest]


@pytest.mark.parametrize(
    ("conditions", "left"),
    [
        ({"session_id": "s1"}, [0, 2, 4]),
        ({"session_id": "absent"}, [0, 1, 2, 3, 4, 5]),
        ({"since": START + 2 * SECOND}, [0, 1]),
        ({"until": START + 2 * SECOND}, [3, 4, 5]),
        ({"since": START + SECOND, "until": START + 3 * SECOND, "session_id": "s1"}, [0, 2, 4, 5]),
        ({"since": dt.datetime.fromtimestamp(START // SECOND + 1, dt.UTC)}, [0]),
        ({"filter": {"year": {"$in": [0, 5, 7]}}}, [1, 2, 3, 4]),
        ({"filter": Filters.not_eq("year", 1), "session_id": "s1"}, [0, 1, 2, 4]),
        ({"filter": {"text": {"$text": "3"}}}, [0, 1, 2, 4, 5]),
        ({"filter": Filters.all()}, []),
        ({"filter": {"tenant_id": "u2"}}, [0, 1, 2, 3, 4, 5]),
    ],
)
async def test_by_conditions(filled, conditions, left):
    assert await filled.forget("u1", **conditions) == 6 - len(left)
    assert sorted(texts_of(await filled.list("u1"))) == [f"fact {n}" for n in left]
    assert await filled.count("u2") == 6
    assert await filled.forget("u1", **conditions) == 0


async def test_hundreds(words):
    """More than one request takes, and more than one search shows."""
    await words.remember("u1", [f"fact {n}" for n in range(300)], session_id="s1")
    await words.remember("u1", [f"other {n}" for n in range(150)], session_id="s2")
    assert await words.forget("u1", session_id="s1") == 300
    assert (await words.list("u1", limit=1)).total == 150
    assert await words.forget_user("u1") == 150
    assert await words.count("u1") == 0


async def test_a_user(filled, engine):
    assert await filled.forget_user("u1") == 6
    assert await filled.count("u1") == 0
    assert await filled.forget_user("u1") == 0
    assert await filled.forget_user("nobody") == 0
    assert await filled.count("u2") == 6
    assert {user for user, _ in stored(engine)} == {"u2"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"memory_ids": "m1", "session_id": "s1"},
        {"memory_ids": [], "filter": {"topic": "x"}},
        {"memory_ids": None, "filter": None},
    ],
)
async def test_either_ids_or_conditions(filled, engine, given):
    engine.calls.clear()
    with pytest.raises(InvalidArgumentError, match=r"forget takes memory_ids, or conditions .*forget_user"):
        await filled.forget("u1", **given)
    assert engine.calls == []


async def test_fields_that_are_not_declared(filled, engine):
    engine.calls.clear()
    with pytest.raises(FilterError, match=r"(?s)'mood'.*topic"):
        await filled.forget("u1", filter={"mood": "bad"})
    assert engine.writes == []


async def test_told_again_later(filled):
    await filled.forget("u1", session_id="s1")
    [again] = await filled.remember("u1", "fact 1")
    assert (again.session_id, again.metadata) == (None, {})
    assert await filled.count("u1") == 4


# What has expired


@pytest.fixture
async def expired(memory, clock):
    for user in ("u1", "u2", "用户"):
        await memory.remember(user, ["old 1", "old 2"], ttl=10)
        await memory.remember(user, "later", ttl=1000)
        await memory.remember(user, "for ever")
    clock.pass_seconds(10)
    return memory


async def test_expired_ones_of_all_users_are_removed(expired, engine):
    assert len(stored(engine)) == 12
    assert await expired.forget_expired() == 6
    assert stored(engine) == sorted((user, text) for user in ("u1", "u2", "用户") for text in ("later", "for ever"))
    assert await expired.forget_expired() == 0
    for user in ("u1", "u2", "用户"):
        assert sorted(texts_of(await expired.list(user))) == ["for ever", "later"]


@pytest.mark.slow
async def test_those_of_thousands(words, engine, clock):
    await words.remember("u1", [f"old {n}" for n in range(1100)], ttl=10)
    await words.remember("u2", [f"new {n}" for n in range(20)])
    clock.pass_seconds(10)
    assert await words.forget_expired() == 1100
    assert {user for user, _ in stored(engine)} == {"u2"}


async def test_in_a_process_that_did_nothing_before(expired, open_memory, engine):
    fresh = open_memory(connection=engine.connection(expired.mode))
    assert await fresh.forget_expired() == 6


async def test_in_an_instance_without_tables(memory):
    assert await memory.forget_expired() == 0


@pytest.mark.parametrize("change", ["told again", "told again for a while", "told again after it was removed"])
async def test_told_again_while_it_is_removed(expired, open_memory, engine, clock, change):
    """After the removal has read that it expired, and before it removes it."""
    other = LongTermMemory(connection=engine.connection("sync"), clock=clock)

    def before(api):
        if api == "BatchWriteRow":
            engine.before = None
            if change == "told again after it was removed":
                other.forget("u1", session_id=None, filter={"expires_at": {"$lte": clock.now}})
            other.remember("u1", "old 1", ttl=None if change == "told again" else 500)

    engine.before = before
    assert await expired.forget_expired() == 5
    assert sorted(texts_of(await expired.list("u1"))) == ["for ever", "later", "old 1"]
    assert ("u1", "old 1") in stored(engine)
    assert ("u1", "old 2") not in stored(engine)


async def test_removed_while_it_is_told_again(expired, engine, clock):
    """After `remember` has found the expired one, and before it writes."""
    other = LongTermMemory(connection=engine.connection("sync"), clock=clock)

    def before(api):
        if api == "BatchWriteRow":
            engine.before = None
            assert other.forget_expired() == 6

    engine.before = before
    [told] = await expired.remember("u1", "old 1")
    assert await expired.get("u1", told.memory_id) == [told]


async def test_removed_while_it_gets_more_time(memory, engine, clock):
    """`remember` has found it alive. Then its time is over, and it is removed, before it gets more time."""
    [told] = await memory.remember("u1", "fact", metadata={"topic": "x"}, ttl=10)
    other = LongTermMemory(connection=engine.connection("sync"), clock=lambda: clock.now + 10 * SECOND)

    def before(api):
        if api == "BatchWriteRow":
            engine.before = None
            assert other.forget_expired() == 1

    engine.before = before
    [again] = await memory.remember("u1", "fact", ttl=60)
    assert again.expires_at == clock.now + 60 * SECOND
    assert await memory.get("u1", told.memory_id) == [again]
