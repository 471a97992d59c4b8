"""Many at once, from threads, tasks and processes' worth of connections: nothing is doubled, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from langchain_tablestore_memory import LongTermMemory, MemoryNotFoundError

from .support import texts_of

MANY = 12
TEXT = "I like Sichuan food"


def at_once(mode, calls):
    """Run calls of synchronous methods in threads, or of their twins as tasks."""
    if mode == "sync":
        with ThreadPoolExecutor(len(calls)) as pool:
            return [future.result() for future in [pool.submit(getattr(m, name), *a, **k) for m, name, a, k in calls]]

    async def gather():
        return await asyncio.gather(*(getattr(m, f"a{name}")(*a, **k) for m, name, a, k in calls))

    return asyncio.run(gather())


@pytest.fixture
def memories(engine, mode, clock, embeddings):
    """As many memories, each with a connection of its own: none knows of another."""
    return [LongTermMemory(embeddings, connection=engine.connection(mode), clock=clock) for _ in range(MANY)]


@pytest.fixture
def reader(engine, clock, embeddings):
    return LongTermMemory(embeddings, connection=engine.connection("sync"), clock=clock)


def test_the_same_text(memories, reader, mode):
    """Also where the table is not there yet. What each gave is there, as if one had told it after the other."""
    stored = at_once(
        mode,
        [
            (memory, "remember", ("u1", [TEXT, f"fact {n}"]), {"metadata": {f"from {n}": n}})
            for n, memory in enumerate(memories)
        ],
    )
    assert len({told[0].memory_id for told in stored}) == 1
    page = reader.list("u1")
    assert page.total == MANY + 1
    assert sorted(texts_of(page)) == sorted([TEXT, *(f"fact {n}" for n in range(MANY))])
    [told] = [memory for memory in page.items if memory.text == TEXT]
    assert told.metadata == {f"from {n}": n for n in range(MANY)}
    assert len({told[0].created_at for told in stored}) == 1


def test_one_object(memories, reader, mode):
    at_once(mode, [(memories[0], "remember", ("u1", [TEXT, f"fact {n % 3}"]), {}) for n in range(MANY)])
    assert reader.count("u1") == 4


def test_updates_of_metadata(memories, reader, mode):
    [told] = reader.remember("u1", TEXT)
    at_once(
        mode,
        [
            (memory, "update", ("u1", told.memory_id), {"metadata": {f"key {n}": n}})
            for n, memory in enumerate(memories[:6])
        ],
    )
    [now] = reader.get("u1", told.memory_id)
    assert now.metadata == {f"key {n}": n for n in range(6)}


def test_an_update_of_the_text_and_one_of_metadata(memories, reader, mode):
    [told] = reader.remember("u1", TEXT)
    at_once(
        mode,
        [
            (memories[0], "update", ("u1", told.memory_id), {"text": "new"}),
            (memories[1], "update", ("u1", told.memory_id), {"metadata": {"topic": "x"}}),
            (memories[2], "remember", ("u1", TEXT), {"metadata": {"year": 1}}),
        ],
    )
    [now] = reader.get("u1", told.memory_id)
    assert (now.text, now.metadata["topic"]) == ("new", "x")
    # Told before its text was changed, or after: then it is a memory of its own.
    assert [memory.metadata.get("year") for memory in reader.list("u1").items].count(1) == 1


def test_told_and_forgotten(memories, reader, mode):
    """Afterwards each text is there once or not at all, and all of it."""
    calls = []
    for n, memory in enumerate(memories):
        calls.append((memory, "remember", ("u1", [f"fact {n % 3}"]), {"metadata": {"whole": ["a", None]}}))
        if n % 3 == 0:
            calls.append((memory, "forget_user", ("u1",), {}))
    at_once(mode, calls)
    items = reader.list("u1").items
    assert len(set(texts_of(items))) == len(items) <= 3
    assert all(memory.metadata == {"whole": ["a", None]} for memory in items)


def test_updated_and_forgotten(memories, reader, mode):
    """An update never brings back half of what was forgotten."""
    [told] = reader.remember("u1", TEXT)
    calls = [(memory, "update", ("u1", told.memory_id), {"metadata": {"a": 1}}) for memory in memories[:6]]
    forgotten = []

    def update_or_not(memory, name, args, options):
        with contextlib.suppress(MemoryNotFoundError):
            getattr(memory, name)(*args, **options)

    async def aupdate_or_not(memory, name, args, options):
        with contextlib.suppress(MemoryNotFoundError):
            await getattr(memory, f"a{name}")(*args, **options)

    async def run_tasks():
        tasks = [asyncio.create_task(aupdate_or_not(*call)) for call in calls]
        forgotten.append(await memories[6].aforget("u1", told.memory_id))
        await asyncio.gather(*tasks)

    if mode == "async":
        asyncio.run(run_tasks())
    else:
        with ThreadPoolExecutor(MANY) as pool:
            updates = [pool.submit(update_or_not, *call) for call in calls]
            forgotten.append(memories[6].forget("u1", told.memory_id))
        for update in updates:
            update.result()
    assert forgotten == [1]
    assert reader.get("u1", told.memory_id) == [None]
    assert reader.count("u1") == 0


def test_setting_up(memories, reader, mode):
    at_once(mode, [(memory, "setup", (), {}) for memory in memories])
    assert reader.count("u1") == 0
