"""How long items last: what can be configured, and sweeping now and then."""

from __future__ import annotations

import asyncio
import logging
import math
import threading

import pytest

from langchain_tablestore_memory import ConfigurationError, InvalidArgumentError
from langchain_tablestore_memory.langgraph.stores.ttl import Lifetimes, Sweeper, check_lifetime

SOON = 0.001 / 60


def test_minutes():
    assert check_lifetime(None) is None
    assert check_lifetime(1) == 60_000_000
    assert check_lifetime(0.5) == 30_000_000
    assert check_lifetime(1e-12) == 1
    for minutes in (0, -1, math.nan, math.inf, "1", True, 10**30, [1]):
        with pytest.raises(InvalidArgumentError, match="ttl"):
            check_lifetime(minutes)


def test_settings():
    assert Lifetimes.of(None) == Lifetimes.of({}) == Lifetimes(omit_expired=True, sweep_interval=5.0)
    assert Lifetimes.of({"omit_expired": False, "sweep_interval_minutes": 2, "default_ttl": None}) == Lifetimes(
        omit_expired=False, sweep_interval=2.0
    )


@pytest.mark.parametrize(
    "config",
    [
        5,
        [],
        {"default_ttl": 0},
        {"default_ttl": "1"},
        {"sweep_interval_minutes": -1},
        {"omit_expired": 1},
        {"refresh_on_read": None},
        {"refresh": True},
    ],
    ids=str,
)
def test_bad_settings(config):
    with pytest.raises(ConfigurationError, match="ttl"):
        Lifetimes.of(config)


class Sweeps:
    """Sweeps that are counted, the first of which fails."""

    def __init__(self):
        self.count = 0
        self.enough = threading.Event()

    def __call__(self):
        self.count += 1
        if self.count == 1:
            raise ConnectionError("gone")
        if self.count == 3:
            self.enough.set()
        return 1

    async def awaited(self):
        return self()


def test_a_thread(caplog):
    caplog.set_level(logging.INFO)
    sweeps = Sweeps()
    sweeper = Sweeper(sweeps, sweeps.awaited)
    ended = sweeper.start(SOON)
    assert sweeper.start(SOON) is ended
    assert sweeps.enough.wait(20)
    assert sweeper.stop(20)
    assert ended.done()
    # A sweep that failed is told of, and was not the last.
    assert "A sweep of expired items failed" in caplog.text
    assert "1 expired items were removed" in caplog.text
    assert sweeper.stop(None)
    # It can be started anew.
    assert sweeper.start(60) is not ended
    assert sweeper.stop(20)


def test_a_thread_is_cancelled():
    sweeps = Sweeps()
    sweeper = Sweeper(sweeps, sweeps.awaited)
    sweeper.start(60).cancel()
    assert sweeper.stop(20)
    assert Sweeper(sweeps, sweeps.awaited).stop(None)


async def test_a_task(caplog):
    sweeps = Sweeps()
    sweeper = Sweeper(sweeps, sweeps.awaited)
    task = sweeper.astart(SOON)
    assert sweeper.astart(SOON) is task
    assert await asyncio.to_thread(sweeps.enough.wait, 20)
    await sweeper.astop()
    assert task.cancelled()
    assert "A sweep of expired items failed" in caplog.text
    await sweeper.astop()


def test_started_anew_while_the_last_sweep_is_under_way():
    begun, go_on = threading.Event(), threading.Event()

    def sweep():
        begun.set()
        assert go_on.wait(20)
        return 0

    sweeper = Sweeper(sweep, Sweeps().awaited)
    first = sweeper.start(SOON)
    assert begun.wait(20)
    assert not sweeper.stop(0.001)
    second = sweeper.start(60)
    assert second is not first
    go_on.set()
    assert first.result(20) is None
    # The one that was started last goes on.
    assert not second.done()
    assert sweeper.stop(20)
