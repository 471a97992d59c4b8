"""Threads expire as a whole; idle ones are deleted as a whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from core.support import Face
from memory.support import Clock

from .support import State, Thread, place, rows

TTL = timedelta(hours=1)
HOUR = 3600


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_expiring(open_saver: Callable[..., Face], clock: Clock) -> Callable[..., Face]:
    return lambda **options: open_saver(**{"ttl": TTL, "clock": clock} | options)


@pytest.fixture
def expiring(open_expiring: Callable[..., Face]) -> Face:
    return open_expiring()


async def stored(saver: Face, thread: Thread, steps: int = 3, before: State | None = None) -> State:
    """Checkpoints with writes; each says where it is."""
    for number in range(steps):
        step = thread.step(before, {"n": number, "log": [f"{thread.thread_id} {number} " * 30] * (30 * number)})
        await saver.put(*step.arguments)
        await saver.put_writes(step.state.config, [("n", number)], "task")
        before = step.state
    assert before is not None
    return before


def everything(thread_id: str = "t1") -> dict[str, Any]:
    return {"configurable": {"thread_id": thread_id}}


async def seen(saver: Face) -> dict[str, int]:
    """How many checkpoints are listed of each thread."""
    threads: dict[str, int] = {}
    for found in await saver.list(None):
        thread_id, *_ = place(found.config)
        threads[thread_id] = threads.get(thread_id, 0) + 1
    return threads


async def test_nothing_of_an_expired_thread_is_read(expiring, open_expiring, clock):
    thread = Thread()
    last = await stored(expiring, thread)
    await stored(expiring, Thread(namespace="sub:1"))
    await stored(expiring, Thread("other"))
    clock.pass_seconds(HOUR - 10)
    await stored(expiring, Thread("other", numbers=count(10)))
    clock.pass_seconds(20)
    for saver in (expiring, open_expiring()):
        assert await saver.get_tuple(thread.config()) is None
        assert await saver.get_tuple(last.config) is None
        assert await saver.get_tuple(Thread(namespace="sub:1").config()) is None
        assert await saver.list(everything()) == []
        assert await saver.list(thread.config()) == []
        assert await saver.list(last.config) == []
        assert await seen(saver) == {"other": 6}
        assert await saver.get_delta_channel_history(config=last.config, channels=["n"]) == {"n": {"writes": []}}


async def test_a_thread_lives_until_its_time_is_over(expiring, open_expiring, clock):
    thread = Thread()
    await stored(expiring, thread)
    clock.pass_seconds(HOUR - 1)
    assert await open_expiring().get_tuple(thread.config())
    assert len(await open_expiring().list(everything())) == 3
    clock.pass_seconds(2)
    assert await open_expiring().get_tuple(thread.config()) is None
    assert await expiring.get_tuple(thread.config()) is None


async def test_reading_does_not_keep_a_thread_alive(expiring, clock):
    thread = Thread()
    await stored(expiring, thread)
    for _ in range(3):
        clock.pass_seconds(HOUR / 2 - 1)
        found = await expiring.get_tuple(thread.config())
    assert found is None


@pytest.mark.parametrize("written", ["put", "put_writes", "special", "elsewhere"])
async def test_whatever_is_written_keeps_the_whole_thread(expiring, open_expiring, clock, written):
    thread, sub = Thread(), Thread(namespace="sub:1")
    last = await stored(expiring, thread)
    last_of_sub = await stored(expiring, sub)
    clock.pass_seconds(HOUR - 10)
    match written:
        case "put":
            await expiring.put(*thread.step(last, {"n": 9}).arguments)
        case "put_writes":
            await expiring.put_writes(last.config, [("n", 9)], "another")
        case "special":
            await expiring.put_writes(last.config, [("__interrupt__", 9)], "task")
        case "elsewhere":
            await expiring.put_writes(last_of_sub.config, [("n", 9)], "another")
    clock.pass_seconds(HOUR - 10)
    reader = open_expiring()
    assert await reader.get_tuple(thread.config())
    assert await reader.get_tuple(sub.config())
    assert len(await reader.list(everything())) == 6 + (written == "put")
    # The oldest is there, with all that it holds.
    assert (await reader.list(thread.config()))[-1].checkpoint["channel_values"]["n"] == 0
    clock.pass_seconds(20)
    assert await open_expiring().list(everything()) == []


@pytest.mark.parametrize("first", ["put", "put_writes", "copy"])
async def test_what_has_expired_does_not_come_back(expiring, open_expiring, clock, first):
    thread = Thread()
    last = await stored(expiring, thread)
    await stored(expiring, Thread(namespace="sub:1"))
    clock.pass_seconds(HOUR + 1)
    writer = open_expiring()
    if first == "put":
        step = thread.step(None, {"n": 100})
        await writer.put(*step.arguments)
        assert [found.checkpoint for found in await writer.list(everything())] == [step.checkpoint]
    elif first == "put_writes":
        # Of a run that was under way when its thread expired.
        await writer.put_writes(last.config, [("n", 100)], "task")
        assert await writer.list(everything()) == []
    else:
        await stored(writer, Thread("source"), 2)
        await writer.copy_thread("source", "t1")
        assert len(await writer.list(everything())) == 2
    assert await open_expiring().get_tuple(Thread(namespace="sub:1").config()) is None


async def test_a_run_goes_on_while_its_thread_expires(expiring, open_expiring, clock):
    """It reads the state, thinks for longer than threads live, and stores the next checkpoint: that is whole or not there."""
    thread = Thread()
    last = await stored(expiring, thread)
    clock.pass_seconds(HOUR + 1)
    step = thread.step(last, {"n": 100})
    await expiring.put(*step.arguments)
    found = await open_expiring().list(everything())
    assert [each.checkpoint for each in found] in ([], [step.checkpoint])
    assert len(found) == 1


async def test_an_expired_thread_is_not_copied(expiring, clock):
    await stored(expiring, Thread())
    clock.pass_seconds(HOUR + 1)
    await expiring.copy_thread("t1", "t2")
    assert await expiring.list(None) == []


async def test_a_copy_is_as_young_as_the_copying(expiring, open_expiring, clock):
    await stored(expiring, Thread())
    clock.pass_seconds(HOUR - 10)
    await expiring.copy_thread("t1", "t2")
    clock.pass_seconds(20)
    assert await seen(open_expiring()) == {"t2": 3}


async def test_pruning_makes_no_thread_younger(expiring, open_expiring, clock):
    """Also where what others need of the pruned is set aside in new rows."""
    thread = Thread()
    first = thread.step(None, {"kept": "k" * 2000, "n": 0})
    await expiring.put(*first.arguments)
    last = await stored(expiring, thread, before=first.state)
    clock.pass_seconds(HOUR - 10)
    await expiring.prune(["t1"])
    assert (await open_expiring().get_tuple(thread.config())).checkpoint == last.checkpoint
    await stored(expiring, Thread("t3"))
    clock.pass_seconds(5)
    assert await seen(open_expiring()) == {"t1": 1, "t3": 3}
    clock.pass_seconds(10)
    assert await seen(open_expiring()) == {"t3": 3}
    assert await expiring.delete_idle() == 1


async def test_idle_threads_are_deleted_whole(engine, expiring, open_expiring, clock):
    names = [f"t{number}" for number in range(10)]
    for name in names:
        await stored(expiring, Thread(name))
        await stored(expiring, Thread(name, "sub:1"))
        clock.pass_seconds(HOUR / 10)
    late = Thread("t0", "sub:1").config(Thread.checkpoint(2, {}, {})["id"])
    await expiring.put_writes(late, [("n", 1)], "late")
    clock.pass_seconds(HOUR / 10 + 1)
    assert await open_expiring().delete_idle() == 1
    assert await seen(expiring) == {name: 6 for name in names if name != "t1"}
    assert await expiring.delete_idle(timedelta(minutes=28)) == 5
    assert await seen(expiring) == dict.fromkeys(["t0", "t7", "t8", "t9"], 6)
    clock.pass_seconds(2 * HOUR)
    assert await open_expiring().delete_idle() == 4
    assert await expiring.delete_idle() == 0
    assert rows(engine) == 0


async def test_a_saver_without_ttl_deletes_idle_threads_too(open_saver, clock):
    saver = open_saver(clock=clock)
    await stored(saver, Thread())
    clock.pass_seconds(HOUR)
    assert await saver.get_tuple(Thread().config())
    await stored(saver, Thread("t2"))
    assert await saver.delete_idle(timedelta(minutes=30)) == 1
    assert await seen(saver) == {"t2": 3}


async def test_all_that_a_thread_leaves_is_deleted(engine, expiring, open_expiring, clock):
    """Also pieces of what was never stored, and what pruning set aside."""
    thread = Thread()
    last = await stored(expiring, thread)
    await expiring.put(*thread.step(last, {"large": b"x" * 3_000_000}).arguments)
    await expiring.prune(["t1"])
    await expiring.put_writes(Thread("t2").config("absent"), [("n", b"y" * 3_000_000)], "task")
    clock.pass_seconds(HOUR + 1)
    assert await open_expiring().delete_idle() == 2
    assert rows(engine) == 0


async def test_deleting_idle_threads_reads_no_values(engine, expiring, open_expiring, clock):
    for number in range(20):
        thread = Thread(f"t{number}")
        await expiring.put(*thread.step(None, {"large": bytes(range(256)) * 400}).arguments)
    engine.taken()
    engine.answered = 0
    assert await open_expiring().delete_idle() == 0
    assert len(engine.taken()) <= 3
    assert engine.answered < 10_000


async def test_threads_that_never_expire_ask_for_nothing_more(engine, saver, expiring):
    thread, costs = Thread("plain"), []
    for each, name in ((saver, "plain"), (expiring, "expiring")):
        thread = Thread(name)
        step = thread.step(None, {"n": 0})
        await each.put(*step.arguments)
        engine.taken()
        for number in range(5):
            step = thread.step(step.state, {"n": number})
            await each.put(*step.arguments)
            await each.put_writes(step.state.config, [("n", 1)], "task")
            await each.get_tuple(thread.config())
        costs.append(len(engine.taken()))
    # Nor do those that do, while they are used.
    assert costs[0] == costs[1]
