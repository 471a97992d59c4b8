"""Lists: newest first, page by page, with the number of all."""

from __future__ import annotations

import random

import pytest
from core.support import Face

from langchain_tablestore_memory import CursorError, Document, Filters, InvalidArgumentError, KnowledgeStore

from .support import SECOND, START, texts_of


async def pages_of(memory, user_id, **options):
    """All pages."""
    pages = [await memory.list(user_id, **options)]
    while pages[-1].cursor is not None:
        pages.append(await memory.list(user_id, cursor=pages[-1].cursor, **options))
        assert len(pages) < 1000
    return pages


@pytest.mark.slow
async def test_newest_first_with_the_true_total(words, clock):
    for n in range(57):
        await words.remember("u1", f"fact {n}", session_id=f"s{n % 3}")
        clock.pass_seconds(n % 2)  # every other two are of one time
    expected = [f"fact {n}" for n in reversed(range(57))]
    for limit in (1, 7, 19, 57, 58, 1000):
        pages = await pages_of(words, "u1", limit=limit)
        assert {page.total for page in pages} == {57}
        assert [len(page.items) for page in pages[:-1]] == [limit] * (len(pages) - 1)
        assert len(pages) == -(-57 // limit)
        texts = [text for page in pages for text in texts_of(page)]
        assert sorted(texts) == sorted(expected)
        times = [memory.created_at for page in pages for memory in page.items]
        assert times == sorted(times, reverse=True)
    page = await words.list("u1")
    assert (len(page.items), page.cursor, page.total) == (57, None, 57)


async def test_what_was_told_together_has_an_order(words):
    await words.remember("u1", ["one", "two", "three"])
    assert texts_of(await words.list("u1")) == ["three", "two", "one"]


async def test_more_than_one_search_returns(words):
    await words.remember("u1", [f"fact {n}" for n in range(250)])
    pages = await pages_of(words, "u1", limit=120)
    assert [len(page.items) for page in pages] == [120, 120, 10]
    assert [text for page in pages for text in texts_of(page)] == [f"fact {n}" for n in reversed(range(250))]


async def test_many_of_one_time(open_memory):
    """As after an import: ids decide."""
    memories = [open_memory(clock=lambda: START) for _ in range(2)]
    for n in range(25):
        await memories[n % 2].remember("u1", f"fact {n}")
    pages = await pages_of(memories[0], "u1", limit=4)
    assert sorted(text for page in pages for text in texts_of(page)) == sorted(f"fact {n}" for n in range(25))


async def test_conditions(memory, clock):
    for n in range(12):
        await memory.remember("u1", f"fact {n}", session_id=f"s{n % 2}", metadata={"year": n, "topic": "x" * (n % 3)})
        clock.pass_seconds(1)
    conditions = {"session_id": "s0", "filter": {"year": {"$gte": 3}}, "until": START + 9 * SECOND}
    pages = await pages_of(memory, "u1", limit=2, **conditions)
    assert [texts_of(page) for page in pages] == [["fact 8", "fact 6"], ["fact 4"]]
    assert {page.total for page in pages} == {3}
    assert await memory.count("u1", **conditions) == 3
    assert texts_of(await memory.list("u1", since=START + 10 * SECOND)) == ["fact 11", "fact 10"]
    assert await memory.count("u1", since=START + 10 * SECOND) == 2
    assert (await memory.list("u1", session_id="none")).total == await memory.count("u1", session_id="none") == 0


async def test_while_memories_arrive(words, clock):
    await words.remember("u1", [f"fact {n}" for n in range(20)])
    clock.pass_seconds(1)
    seen, totals, cursor = [], [], None
    for n in range(10):
        page = await words.list("u1", limit=2, cursor=cursor)
        seen += texts_of(page)
        totals.append(page.total)
        cursor = page.cursor
        await words.remember("u1", f"new {n}")
    assert seen == [f"fact {n}" for n in reversed(range(20))]
    assert totals == list(range(20, 30))
    assert cursor is None


async def test_while_memories_expire(words, clock):
    """All pages are of the time when the first one was asked for."""
    for n in range(20):
        await words.remember("u1", f"fact {n}", ttl=100 - n)
    clock.pass_seconds(79)
    seen, cursor = [], None
    for _ in range(10):
        page = await words.list("u1", limit=2, cursor=cursor)
        assert page.total == 20
        seen += texts_of(page)
        cursor = page.cursor
        clock.pass_seconds(2)
    assert sorted(seen) == sorted(f"fact {n}" for n in range(20))
    assert await words.count("u1") == 1


async def test_while_memories_are_forgotten(words):
    stored = await words.remember("u1", [f"fact {n}" for n in range(12)])
    page = await words.list("u1", limit=4)
    await words.forget("u1", [page.items[-1].memory_id, stored[0].memory_id, stored[5].memory_id])
    following = await words.list("u1", limit=4, cursor=page.cursor)
    assert texts_of(following) == ["fact 7", "fact 6", "fact 4", "fact 3"]
    assert following.total == 9


async def test_what_other_tools_wrote_comes_last(words, connection, mode, clock):
    """It has no time. It is listed, once, all the same."""
    await words.remember("u1", [f"fact {n}" for n in range(3)])
    store = Face(KnowledgeStore(connection, enable_multi_tenant=True, table_name="memory"), mode)
    await store.put_documents([Document(f"d{n}", "u1", f"document {n}", metadata={"n": n}) for n in range(3)])
    await store.put_documents([Document("odd", "u1", metadata={"created_at": "today", "expires_at": "tomorrow"})])
    for limit in (1, 2, 3, 100):
        memories = [memory for page in await pages_of(words, "u1", limit=limit) for memory in page.items]
        assert texts_of(memories)[:3] == ["fact 2", "fact 1", "fact 0"]
        assert sorted(texts_of(memories)[3:]) == ["", "document 0", "document 1", "document 2"]
        assert {memory.created_at for memory in memories[3:]} == {0}
    [told] = await words.remember("u1", "document 1")
    assert told.memory_id != "d1"
    assert await words.forget("u1", ["d0", "odd"]) == 2
    clock.pass_seconds(1e9)
    assert await words.forget_expired() == 0
    assert await words.forget_user("u1") == 6


async def test_cursors_are_short(memory):
    await memory.remember("u" * 500, ["one", "two"], session_id="s" * 500)
    page = await memory.list("u" * 500, session_id="s" * 500, filter=Filters.eq("topic", "t") | Filters.all(), limit=1)
    assert page.cursor is not None
    assert len(page.cursor) < 130
    assert page.cursor.isascii()


async def test_cursors_of_something_else(memory, open_memory, embeddings):
    for user in ("u1", "u2"):
        await memory.remember(user, [f"fact {n}" for n in range(6)], session_id="s1")
    options = {"session_id": "s1", "since": START, "until": START + SECOND, "filter": {"topic": {"$exists": False}}}
    cursor = (await memory.list("u1", limit=2, **options)).cursor
    assert (await memory.list("u1", limit=3, cursor=cursor, **options)).total == 6
    refused = [
        ("u2", options),
        ("u1", {**options, "session_id": None}),
        ("u1", {**options, "session_id": "s2"}),
        ("u1", {**options, "since": START - 1}),
        ("u1", {**options, "until": None}),
        ("u1", {**options, "filter": None}),
        ("u1", {**options, "filter": {"topic": {"$exists": True}}}),
        ("u1", {}),
    ]
    for user, other in refused:
        with pytest.raises(CursorError, match="another user, conversation or listing"):
            await memory.list(user, cursor=cursor, **other)
    other = open_memory(embeddings, table_name="other")
    with pytest.raises(CursorError):
        await other.list("u1", cursor=cursor, **options)


async def test_cursors_that_were_changed(words):
    await words.remember("u1", [f"fact {n}" for n in range(6)])
    cursor = (await words.list("u1", limit=2)).cursor
    chance = random.Random(3)
    for _ in range(100):
        position = chance.randrange(len(cursor))
        changed = cursor[:position] + chance.choice("abcXYZ019-_") + cursor[position + 1 :]
        if changed != cursor:
            with pytest.raises(CursorError):
                await words.list("u1", cursor=changed)
    for nonsense in ("", "x", "fact", "汉字", cursor + "A", cursor[:-4], 5, b"x"):
        with pytest.raises(CursorError):
            await words.list("u1", cursor=nonsense)


@pytest.mark.parametrize("limit", [0, -1, 1001, True, "5", None])
async def test_limits(words, limit):
    with pytest.raises(InvalidArgumentError, match="limit"):
        await words.list("u1", limit=limit)
