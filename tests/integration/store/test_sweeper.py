"""Sweeping now and then: in a thread, or in a task."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading

import pytest

from langchain_tablestore_memory.langgraph import TablestoreStore

NS = ("cache",)
SOON = 0.0005
"""Minutes: 30 ms."""

LONG = 10
"""Seconds to wait for what is soon: this machine may be busy."""


@pytest.fixture
def sweeping(engine, clock):
    """A store with two items that have expired, and one that has not."""
    store = TablestoreStore(engine.connection("sync"), clock=clock, ttl={"default_ttl": 1, "refresh_on_read": False})
    for key in ("a", "b"):
        store.put(NS, key, {})
    store.put(NS, "c", {}, ttl=None)
    clock.pass_seconds(61)
    return store


@pytest.fixture
def swept(engine):
    """Set when items have been removed, which is looked for at the engine."""
    event = threading.Event()

    def before(api):
        if api == "BatchWriteRow":
            event.set()

    engine.before = before
    return event


def there(store, clock):
    """The items that are in the table, expired or not."""
    clock.pass_seconds(-61)
    try:
        return sorted(item.key for item in store.search(NS))
    finally:
        clock.pass_seconds(61)


def test_in_a_thread(sweeping, swept, clock):
    future = sweeping.start_ttl_sweeper(SOON)
    assert swept.wait(LONG)
    assert not future.done()
    assert sweeping.stop_ttl_sweeper(LONG)
    assert future.result(LONG) is None
    assert there(sweeping, clock) == ["c"]
    # Nothing goes on.
    assert not [thread for thread in threading.enumerate() if "sweeper" in thread.name]


def test_started_twice_is_started_once(sweeping):
    threads = threading.active_count()
    assert sweeping.start_ttl_sweeper(SOON) is sweeping.start_ttl_sweeper(SOON)
    assert threading.active_count() == threads + 1
    assert sweeping.stop_ttl_sweeper(LONG)
    assert sweeping.stop_ttl_sweeper(LONG)


def test_stopped_and_started_again(sweeping, swept, clock):
    sweeping.start_ttl_sweeper(60)
    assert sweeping.stop_ttl_sweeper(LONG)
    sweeping.start_ttl_sweeper(SOON)
    assert swept.wait(LONG)
    assert sweeping.stop_ttl_sweeper(LONG)
    assert there(sweeping, clock) == ["c"]


def test_started_again_while_the_last_sweep_is_under_way(sweeping, engine):
    """Who stops without waiting, and starts anew, has a sweeper."""
    begun, go_on, again = threading.Event(), threading.Event(), threading.Event()

    def before(api):
        if api == "GetRange" and threading.current_thread().name.endswith("sweeper"):
            if not begun.is_set():
                begun.set()
                go_on.wait(LONG)
            else:
                again.set()

    engine.before = before
    sweeping.start_ttl_sweeper(SOON)
    assert begun.wait(LONG)
    assert not sweeping.stop_ttl_sweeper(0.001)
    future = sweeping.start_ttl_sweeper(SOON)
    go_on.set()
    try:
        assert again.wait(LONG)
        assert not future.done()
    finally:
        assert sweeping.stop_ttl_sweeper(LONG)


def test_cancelled(sweeping):
    future = sweeping.start_ttl_sweeper(60)
    [thread] = [thread for thread in threading.enumerate() if "sweeper" in thread.name]
    assert future.cancel()
    thread.join(LONG)
    assert not thread.is_alive()
    assert concurrent.futures.wait([future], LONG).done == {future}
    assert sweeping.stop_ttl_sweeper(LONG)


def test_a_sweep_that_fails_is_told_and_the_next_one_comes(sweeping, engine, clock, caplog):
    from langchain_tablestore_memory.local.errors import RequestError

    failed, swept = threading.Event(), threading.Event()

    def before(api):
        if not failed.is_set():
            failed.set()
            raise RequestError(403, "OTSNoPermissionAccess", "You have no permission.")
        if api == "BatchWriteRow":
            swept.set()

    engine.before = before
    with caplog.at_level(logging.ERROR):
        sweeping.start_ttl_sweeper(SOON)
        assert swept.wait(LONG)
        assert sweeping.stop_ttl_sweeper(LONG)
    assert "sweep" in caplog.text
    assert there(sweeping, clock) == ["c"]


async def test_in_a_task(engine, sweeping, swept, clock):
    store = TablestoreStore(engine.connection("async"), clock=clock)
    task = await store.astart_ttl_sweeper(SOON)
    assert await store.astart_ttl_sweeper(SOON) is task
    assert await asyncio.to_thread(swept.wait, LONG)
    await store.astop_ttl_sweeper()
    assert task.done()
    await store.astop_ttl_sweeper()
    assert there(sweeping, clock) == ["c"]


@pytest.mark.parametrize("minutes", [0, -1, "1", True, float("nan")])
async def test_intervals_that_cannot_be(sweeping, minutes):
    with pytest.raises(ValueError, match="sweep_interval_minutes"):
        sweeping.start_ttl_sweeper(minutes)
    with pytest.raises(ValueError, match="sweep_interval_minutes"):
        await sweeping.astart_ttl_sweeper(minutes)
    assert sweeping.stop_ttl_sweeper()


def test_the_interval_of_the_configuration(engine, swept, clock, sweeping):
    store = TablestoreStore(engine.connection("sync"), clock=clock, ttl={"sweep_interval_minutes": SOON})
    store.start_ttl_sweeper()
    assert swept.wait(LONG)
    assert store.stop_ttl_sweeper(LONG)
