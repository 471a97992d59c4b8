"""Many at once, from threads, tasks and processes' worth of connections: a whole put wins, never a mixture."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from langgraph.store.base import GetOp, PutOp
from tablestore import INF_MAX, INF_MIN, Direction

from langchain_tablestore_memory.langgraph import TablestoreStore
from langchain_tablestore_memory.local import ots_client

from .support import TOPICS, keys_of, topic_index

MANY = 8
NS = ("docs",)
FIELDS = ["texts[*]"]


@pytest.fixture
def stores(engine, mode):
    """As many stores, each with a connection of its own: none knows of another."""
    return [
        TablestoreStore(engine.connection(mode), index=topic_index(fields=FIELDS), filterable={"by": int})
        for _ in range(MANY)
    ]


@pytest.fixture
def reader(engine):
    return TablestoreStore(engine.connection("sync"), index=topic_index(fields=FIELDS), filterable={"by": int})


def at_once(mode, works):
    """Run functions of a caller (`call(store, name, *args)`), in threads or as tasks."""
    if mode == "sync":

        def run(store, steps):
            return [getattr(store, name)(*args) for name, *args in steps]

        with ThreadPoolExecutor(len(works)) as pool:
            return [future.result() for future in [pool.submit(run, *work) for work in works]]

    async def arun(store, steps):
        return [await getattr(store, f"a{name}")(*args) for name, *args in steps]

    async def gather():
        return await asyncio.gather(*(arun(*work) for work in works))

    return asyncio.run(gather())


def value_of(number):
    """A value whose texts are as many as its number says, of a topic of its own."""
    topic = TOPICS[number % len(TOPICS)]
    return {"by": number, "texts": [f"{topic} {topic} {number} {n}" for n in range(number % 5)]}


def rows_of(engine):
    names = ("namespace", "key", "part")
    low, high = [(name, INF_MIN) for name in names], [(name, INF_MAX) for name in names]
    _, _, rows, _ = ots_client(engine).get_range("store", Direction.FORWARD, low, high)
    return [tuple(value for _, value in row.primary_key) for row in rows]


def check_whole(reader, engine, value):
    """The item's vectors are those of its value, and no others are in the table."""
    assert value == value_of(value["by"])
    for topic in TOPICS:
        best = 1.0 if value["texts"] and topic in value["texts"][0] else None
        [found] = reader.search(NS, query=f"{topic} {topic}")
        assert found.value == value
        if best is not None:
            assert found.score > 0.99
        elif value["texts"]:
            assert found.score < 0.9
        else:
            assert found.score is None
    assert len(rows_of(engine)) == max(1, len(value["texts"]))


def test_one_item(stores, reader, engine, mode):
    """Also where the table is not there yet."""
    at_once(
        mode, [(store, [("put", NS, "k", value_of(n * 10 + i)) for i in range(4)]) for n, store in enumerate(stores)]
    )
    value = reader.get(NS, "k").value
    # The last of somebody
    assert value["by"] % 10 == 3
    check_whole(reader, engine, value)


@pytest.mark.slow
def test_one_item_again_and_again(stores, reader, engine, mode):
    for round_ in range(10):
        at_once(mode, [(store, [("put", NS, "k", value_of(round_ * 100 + n))]) for n, store in enumerate(stores)])
        check_whole(reader, engine, reader.get(NS, "k").value)


def test_one_object(stores, reader, engine, mode):
    at_once(mode, [(stores[0], [("put", NS, "k", value_of(n))]) for n in range(MANY)])
    check_whole(reader, engine, reader.get(NS, "k").value)


def test_put_and_deleted(stores, reader, engine, mode):
    """Afterwards it is there as a whole, or nothing of it is."""
    chance = random.Random(5)
    works = []
    for n, store in enumerate(stores):
        steps = [("put", NS, "k", value_of(n * 10 + 4)), ("delete", NS, "k")] * 2
        chance.shuffle(steps)
        works.append((store, steps))
    at_once(mode, works)
    item = reader.get(NS, "k")
    if item is None:
        assert rows_of(engine) == []
        assert reader.search(NS, query="tea") == []
    else:
        check_whole(reader, engine, item.value)


def test_created_once(stores, reader, mode):
    """Whoever is first made it; who comes after does not change when."""
    at_once(mode, [(store, [("put", NS, "k", {"texts": []}), ("get", NS, "k")]) for store in stores])
    first = reader.get(NS, "k")
    at_once(mode, [(store, [("put", NS, "k", {"texts": []})]) for store in stores])
    assert reader.get(NS, "k").created_at == first.created_at


def test_batches_that_overlap(stores, reader, mode):
    """Each item is from one of them; where an item was in nobody else's, it is that one's."""
    ops = [
        [PutOp(NS, f"shared {i}", {"by": n, "texts": [f"{n}"]}) for i in range(10)]
        + [PutOp(NS, f"own {n}", {"by": n, "texts": []})]
        for n in range(MANY)
    ]
    at_once(mode, [(store, [("batch", ops[n])]) for n, store in enumerate(stores)])
    items = reader.batch([GetOp(NS, f"shared {i}") for i in range(10)] + [GetOp(NS, f"own {n}") for n in range(MANY)])
    assert all(item.value["texts"] == [str(item.value["by"])] for item in items[:10])
    assert [item.value["by"] for item in items[10:]] == list(range(MANY))


def test_read_meanwhile(stores, reader, mode):
    """Who reads sees one whole put or another, with and without a query."""
    reader.put(NS, "k", value_of(1))
    works = [(store, [("put", NS, "k", value_of(n * 10 + i)) for i in range(5)]) for n, store in enumerate(stores[:4])]
    works += [(store, [("get", NS, "k"), ("search", NS)] * 5) for store in stores[4:]]
    for answers in at_once(mode, works)[4:]:
        for answer in answers:
            [item] = answer if isinstance(answer, list) else [answer]
            assert item.value == value_of(item.value["by"])


def test_reading_lets_items_last_while_they_are_put(engine, mode, stores):
    """That an item was read never brings back what it was."""
    lasting = [TablestoreStore(engine.connection(mode), ttl={"default_ttl": 5}) for _ in range(MANY)]
    lasting[0].put(NS, "k", {"n": 0}) if mode == "sync" else asyncio.run(lasting[0].aput(NS, "k", {"n": 0}))
    works = [(store, [("get", NS, "k"), ("search", NS)] * 4) for store in lasting[1:]]
    at_once(mode, [(lasting[0], [("put", NS, "k", {"n": n}) for n in range(1, 8)]), *works])
    [[last]] = at_once(mode, [(lasting[1], [("get", NS, "k")])])
    assert last.value == {"n": 7}


def test_setting_up(stores, reader, mode):
    at_once(mode, [(store, [("setup",)]) for store in stores])
    assert reader.search(()) == []


def test_one_store_on_several_loops(engine):
    """A connection has a client for each loop."""
    from langchain_tablestore_memory import connect

    with connect("local::memory:") as connection:
        store = TablestoreStore(connection)

        def work(n):
            async def run():
                await store.aput(NS, f"k{n}", {"n": n})
                return keys_of(await store.asearch(NS, filter={"n": n}))

            return asyncio.run(run())

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(4))) == [[f"k{n}"] for n in range(4)]
        assert len(store.search(NS)) == 4
