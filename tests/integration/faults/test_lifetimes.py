"""One connection, and everything that may share it: threads, tasks, event loops one after the other and at once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
from langchain_core.messages import HumanMessage

from langchain_tablestore_memory import (
    ConfigurationError,
    MessageStore,
    SessionRegistry,
    TablestoreChatMessageHistory,
    TablestoreMemoryError,
    connect,
)
from langchain_tablestore_memory.local import Server, Tablestore

from .operations import spoken

KEYS = {"instance_name": "local", "access_key_id": "local", "access_key_secret": "local"}


@pytest.fixture(params=["memory", pytest.param("folder", marks=pytest.mark.slow), "http"])
def connection(request, tmp_path):
    if request.param == "memory":
        with connect("local::memory:") as connection:
            yield connection
    elif request.param == "folder":
        with connect(f"local:{tmp_path}") as connection:
            yield connection
    else:
        with Tablestore(None) as service, Server(service, port=0) as server, connect(server.url, **KEYS) as connection:
            yield connection


@pytest.fixture(autouse=True)
def sessions(monkeypatch):
    """Every HTTP session that is opened is closed in the end, and none is left to the garbage collector."""
    opened = []
    original = aiohttp.ClientSession.__init__

    def init(session, *args, **kwargs):
        original(session, *args, **kwargs)
        opened.append(weakref.ref(session))

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", init)
    yield opened
    assert all(session() is None or session().closed for session in opened)
    gc.collect()


def texts(connection, session_id):
    return [message.content for message in TablestoreChatMessageHistory(session_id, connection=connection).messages]


def test_one_loop_after_the_other(connection, sessions):
    history = TablestoreChatMessageHistory("s1", connection=connection)
    for n in range(5):
        asyncio.run(history.aadd_messages([HumanMessage(f"async {n}")]))
        assert all(session().closed for session in sessions if session() is not None)
        history.add_messages([HumanMessage(f"sync {n}")])
    assert texts(connection, "s1") == [f"{kind} {n}" for n in range(5) for kind in ("async", "sync")]
    assert connection._async_clients == {}


def test_a_loop_that_fails(connection, sessions):
    history = TablestoreChatMessageHistory("s1", connection=connection)

    async def fail():
        await history.aadd_messages([HumanMessage("one")])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(fail())
    asyncio.run(history.aadd_messages([HumanMessage("two")]))
    assert texts(connection, "s1") == ["one", "two"]


def test_loops_in_several_threads(connection):
    async def talk(name):
        history = TablestoreChatMessageHistory(name, connection=connection)
        for n in range(5):
            await history.aadd_messages([HumanMessage(f"{name} {n}")])
        return [message.content for message in await history.aget_messages()]

    names = [f"s{n}" for n in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        # Twice each, so that loops end while others begin.
        for _ in range(2):
            told = list(pool.map(lambda name: asyncio.run(talk(name)), names))
            assert [each[-1] for each in told] == [f"{name} 4" for name in names]
    assert connection._async_clients == {}
    counted = {session.session_id: session.message_count for session in SessionRegistry(connection).list().items}
    assert counted == dict.fromkeys(names, 10)


def test_many_threads(connection):
    begin = threading.Barrier(16)

    def talk(n):
        begin.wait()
        # Two threads to each conversation.
        history = TablestoreChatMessageHistory(f"s{n % 8}", connection=connection)
        for turn in range(4):
            history.add_messages(spoken(f"q{n}-{turn}", f"a{n}-{turn}"))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(talk, range(16)))
    for session in SessionRegistry(connection).list().items:
        ids = [
            message.id for message in TablestoreChatMessageHistory(session.session_id, connection=connection).messages
        ]
        n = int(session.session_id[1:])
        for writer in (n, n + 8):
            own = [message_id for message_id in ids if message_id[1:].split("-")[0] == str(writer)]
            assert own == [f"{kind}{writer}-{turn}" for turn in range(4) for kind in "qa"]
        assert session.message_count == len(ids) == 16


async def test_many_tasks(connection):
    async def talk(n):
        history = TablestoreChatMessageHistory(f"s{n}", connection=connection)
        await history.aadd_messages(spoken(f"q{n}", f"a{n}"))
        return [message.id for message in await history.aget_messages()]

    told = await asyncio.gather(*(talk(n) for n in range(40)))
    assert told == [[f"q{n}", f"a{n}"] for n in range(40)]
    assert len(connection._async_clients) == 1
    await connection.aclose()
    assert connection._async_clients == {}


async def test_one_history_in_many_tasks(connection):
    history = TablestoreChatMessageHistory("s1", connection=connection)
    await asyncio.gather(*(history.aadd_messages(spoken(f"q{n}", f"a{n}")) for n in range(20)))
    ids = [message.id for message in await history.aget_messages()]
    assert sorted(ids) == sorted(f"{kind}{n}" for n in range(20) for kind in "qa")
    assert all(ids[ids.index(f"q{n}") :].count(f"a{n}") == 1 for n in range(20))
    [session] = (await SessionRegistry(connection).alist()).items
    assert session.message_count == 40


async def test_sync_methods_while_a_loop_runs(connection):
    history = TablestoreChatMessageHistory("s1", connection=connection)
    await asyncio.gather(
        history.aadd_messages([HumanMessage("one")]),
        asyncio.to_thread(
            TablestoreChatMessageHistory("s2", connection=connection).add_messages, [HumanMessage("two")]
        ),
    )
    assert await asyncio.to_thread(texts, connection, "s1") == ["one"]
    assert await asyncio.to_thread(texts, connection, "s2") == ["two"]


async def test_cancelled_tasks_leave_the_connection_usable(connection):
    store = MessageStore(connection)
    await store.asetup()
    for n in range(30):
        task = asyncio.create_task(
            TablestoreChatMessageHistory("s1", connection=connection).aadd_messages(spoken(f"m{n}"))
        )
        for _ in range(n % 6):
            await asyncio.sleep(0.0005)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    async with asyncio.timeout(20):
        history = TablestoreChatMessageHistory("s1", connection=connection)
        await history.aadd_messages(spoken("last"))
        ids = [message.id for message in await history.aget_messages()]
    assert ids[-1] == "last"
    assert len(ids) == len(set(ids))


async def test_a_time_limit(connection):
    history = TablestoreChatMessageHistory("s1", connection=connection)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await history.aadd_messages(spoken("m1"))
    await history.aadd_messages(spoken("m1"))
    assert [message.id for message in await history.aget_messages()] == ["m1"]


async def test_an_iteration_that_is_given_up(connection):
    store = MessageStore(connection)
    history = TablestoreChatMessageHistory("s1", connection=connection)
    await history.aadd_messages(spoken(*(f"m{n}" for n in range(20))))
    async for entry in history.aentries():
        assert entry.id == "m0"
        break
    listing = store.alist("s1", page_size=5)
    assert (await anext(listing)).message_id == "m19"
    await listing.aclose()
    assert await store.acount("s1") == 20


def test_a_loop_that_is_closed_by_hand(connection):
    """As notebooks and old programs do it: async generators are not shut down."""
    history = TablestoreChatMessageHistory("s1", connection=connection)
    for n in range(3):
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(history.aadd_messages([HumanMessage(f"{n}")]))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
    assert texts(connection, "s1") == ["0", "1", "2"]


async def test_closing_twice_at_once(connection):
    await MessageStore(connection).aget("s1", "m1", 1)
    await asyncio.gather(*(connection.aclose() for _ in range(5)))
    assert connection.closed
    with pytest.raises(ConfigurationError, match="closed"):
        await MessageStore(connection).aget("s1", "m1", 1)


async def test_closing_while_others_work(connection):
    """Whoever is in the middle is told so, or is done; nobody hangs."""
    histories = [TablestoreChatMessageHistory(f"s{n}", connection=connection) for n in range(10)]
    await histories[0].aadd_messages([HumanMessage("first")])
    tasks = [asyncio.create_task(history.aadd_messages([HumanMessage("one")])) for history in histories]
    await asyncio.sleep(0.002)
    async with asyncio.timeout(30):
        await connection.aclose()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(outcome, TablestoreMemoryError) for outcome in failed), failed


def test_a_connection_that_is_forgotten(sessions):
    """Without close(): what it opened is closed all the same."""
    with Tablestore(None) as service, Server(service, port=0) as server:

        async def use():
            connection = connect(server.url, **KEYS)
            await TablestoreChatMessageHistory("s1", connection=connection).aadd_messages([HumanMessage("one")])
            return weakref.ref(connection)

        forgotten = asyncio.run(use())
        gc.collect()
        assert forgotten() is None
        assert [session for session in sessions if session() is not None and not session().closed] == []
