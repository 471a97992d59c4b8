"""Adding more documents than one request takes: what is under way at the same time, and in which order it counts."""

from __future__ import annotations

import threading

import pytest

from langchain_tablestore_memory import TablestoreVectorStore, WriteError


def numbered(count):
    return [f"tea {n}" for n in range(count)]


def test_requests_are_in_flight_together(engine, model):
    store = TablestoreVectorStore(model, connection=engine.connection("sync"))
    meeting, seen = threading.Barrier(4), []

    def meet(api):
        if api == "BatchWriteRow":
            seen.append(api)
            # The first goes alone: it may have to make the table.
            if len(seen) > 1:
                meeting.wait(timeout=10)

    store.setup()
    engine.before = meet
    store.add_texts(numbered(1000), ids=[f"i{n}" for n in range(1000)])
    assert len(seen) == 5
    assert len(store.similarity_search("tea", k=1000)) == 1000


def test_no_more_is_in_flight_than_is_asked_for(engine, model):
    store = TablestoreVectorStore(model, connection=engine.connection("sync"), batch_size=400)
    current, most, lock = 0, 0, threading.Lock()
    handle = engine.handle

    def counted(path, headers, body):
        nonlocal current, most
        with lock:
            current += 1
            most = max(most, current)
        try:
            return handle(path, headers, body)
        finally:
            with lock:
                current -= 1

    engine.handle = counted
    store.add_texts(numbered(1500))
    assert most == 2


async def test_of_one_id_the_last_counts_however_many_are_in_flight(store):
    ids = [f"i{n % 150}" for n in range(1500)]
    await store.add_texts(numbered(1500), ids=ids, batch_size=1000)
    documents = await store.get_by_ids(ids[-150:])
    assert [document.page_content for document in documents] == numbered(1500)[-150:]


def test_of_one_id_the_last_counts_also_where_the_model_is_slow_with_the_first(engine, model):
    store = TablestoreVectorStore(model, connection=engine.connection("sync"))
    last = threading.Event()

    def answer(texts, vectors):
        if texts == ["tea 3"]:
            last.set()
        else:
            assert last.wait(timeout=10)
        return vectors

    model.answer = answer
    store.add_texts(numbered(4), ids=["a"] * 4, embedding_batch_size=1, concurrency=4)
    assert [document.page_content for document in store.get_by_ids(["a"])] == ["tea 3"]


async def test_a_failing_write_does_not_undo_those_beside_it(store, engine):
    await store.setup()
    engine.fail_at("BatchWriteRow", 2)
    ids = [f"i{n}" for n in range(1500)]
    with pytest.raises(WriteError) as raised:
        await store.add_texts(numbered(1500), ids=ids)
    engine.before = None
    assert set(ids[:200]) <= set(raised.value.stored)
    assert len(raised.value.failed) >= 200
    assert set(raised.value.stored) | set(raised.value.failed) == set(ids)
    assert {document.id for document in await store.get_by_ids(ids)} == set(raised.value.stored)
