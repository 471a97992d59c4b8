"""The service's search indexes are behind their tables: what that changes, and what it does not."""

from __future__ import annotations

import pytest
from core.support import MODES, Face

from langchain_tablestore_memory import Connection, LongTermMemory
from langchain_tablestore_memory.local import Tablestore, async_ots_client, ots_client

from .support import Clock, WordEmbeddings, texts_of

DELAY = 0.25
LIKES, BIRTHDAY = "I like Sichuan food", "My birthday is March 15th"


@pytest.fixture(params=MODES)
def lagging(request):
    """A memory over an index that shows writes a quarter of a second later."""
    make = ots_client if request.param == "sync" else async_ots_client
    with Tablestore(None, index_delay=DELAY) as service:
        connection = Connection.of(make(service))
        memory = LongTermMemory(WordEmbeddings(), connection=connection, clock=Clock(), filterable={"topic": str})
        memory_of = Face(memory, request.param)
        yield memory_of


@pytest.fixture
def clock(lagging):
    return lagging.target._now


async def test_waiting_until_searchable(lagging):
    [told] = await lagging.remember("u1", LIKES)
    assert await lagging.recall("u1", LIKES) == []
    assert await lagging.count("u1") == 0
    assert await lagging.get("u1", told.memory_id) == [told]
    await lagging.wait_until_searchable()
    for search_type in ("vector", "full_text", "hybrid"):
        assert texts_of(await lagging.recall("u1", LIKES, search_type=search_type)) == [LIKES]
    assert (await lagging.list("u1")).items == [told]
    assert await lagging.count("u1") == 1


async def test_told_again_at_once(lagging):
    [told] = await lagging.remember("u1", LIKES)
    assert await lagging.remember("u1", LIKES) == [told]
    [again] = await lagging.remember("u1", LIKES, metadata={"topic": "food"})
    assert again.memory_id == told.memory_id
    await lagging.wait_until_searchable()
    assert (await lagging.list("u1")).items == [again]


async def test_updated_and_forgotten_at_once(lagging):
    one, two = await lagging.remember("u1", [LIKES, BIRTHDAY])
    changed = await lagging.update("u1", one.memory_id, text="new", metadata={"topic": "x"})
    assert await lagging.get("u1", one.memory_id) == [changed]
    assert await lagging.forget("u1", two.memory_id) == 1
    await lagging.wait_until_searchable()
    assert (await lagging.list("u1")).items == [changed]


@pytest.mark.parametrize("how", [{"session_id": "s1"}, {"filter": {"topic": "food"}}, None])
async def test_what_searches_do_not_show_is_forgotten_too(lagging, how):
    await lagging.remember("u1", [LIKES, BIRTHDAY], session_id="s1", metadata={"topic": "food"})
    await lagging.remember("u2", LIKES, session_id="s1", metadata={"topic": "food"})
    assert await (lagging.forget_user("u1") if how is None else lagging.forget("u1", **how)) == 2
    await lagging.wait_until_searchable()
    assert (await lagging.count("u1"), await lagging.count("u2")) == (0, 1)


async def test_a_text_that_searches_still_show_elsewhere(lagging):
    """The index says that a memory has this text. The table knows that it has another one since."""
    [told] = await lagging.remember("u1", LIKES)
    await lagging.update("u1", told.memory_id, text=BIRTHDAY)
    await lagging.wait_until_searchable()
    await lagging.update("u1", told.memory_id, text="something else")
    [anew] = await lagging.remember("u1", BIRTHDAY)
    assert anew.memory_id != told.memory_id
    await lagging.wait_until_searchable()
    assert sorted(texts_of(await lagging.list("u1"))) == sorted([BIRTHDAY, "something else"])


async def test_a_text_of_a_forgotten_memory_that_searches_still_show(lagging):
    [told] = await lagging.remember("u1", LIKES)
    await lagging.update("u1", told.memory_id, text=BIRTHDAY)
    await lagging.wait_until_searchable()
    await lagging.forget("u1", told.memory_id)
    [anew] = await lagging.remember("u1", BIRTHDAY)
    assert await lagging.get("u1", anew.memory_id) == [anew]
    await lagging.wait_until_searchable()
    assert (await lagging.list("u1")).items == [anew]


async def test_expired_ones_that_were_told_again(lagging, clock):
    """The index says that they have expired. The table knows better."""
    told = await lagging.remember("u1", [LIKES, BIRTHDAY], ttl=10)
    await lagging.wait_until_searchable()
    clock.pass_seconds(20)
    [again] = await lagging.remember("u1", LIKES)
    assert await lagging.forget_expired() == 1
    assert await lagging.get("u1", [each.memory_id for each in told]) == [again, None]
    await lagging.wait_until_searchable()
    assert (await lagging.list("u1")).items == [again]


async def test_expired_ones_that_searches_do_not_show_yet(lagging, clock):
    [told] = await lagging.remember("u1", LIKES, ttl=1)
    clock.pass_seconds(1)
    assert await lagging.forget_expired() == 0
    assert await lagging.get("u1", told.memory_id) == [None]
    await lagging.wait_until_searchable()
    assert await lagging.forget_expired() == 1
