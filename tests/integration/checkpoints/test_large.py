"""Large states, many checkpoints, many writes: correct, and each request within the service's limits."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from langchain_tablestore_memory.langgraph import TablestoreSaver

from .support import Thread, filled, place, rows, told

MB = 1024 * 1024

MAX_REQUEST = 5 * MB
"""Bytes of a request's body on the wire: 4 MB of data, and what names it. The engine refuses what the service refuses."""


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size)


STATES: dict[str, Callable[[], dict[str, Any]]] = {
    "one value": lambda: {"v": noise(30 * MB)},
    "one text": lambda: {"v": "汉字かな" * (30 * MB // 12)},
    "600 values": lambda: {f"v{n}": noise(50_000, n) for n in range(600)},
    "3000 small values": lambda: {f"v{n}": noise(10_000, n) for n in range(3000)},
    "one list": lambda: {"v": [noise(100_000, n) for n in range(300)]},
    "a long list": lambda: {"v": [noise(100, n) for n in range(100_000)]},
    "a list of one": lambda: {"v": [noise(30 * MB)]},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "name"), [("async", "600 values"), *(("sync", name) for name in STATES)], indirect=["mode"]
)
async def test_30_mb_in_one_checkpoint(engine, saver, open_saver, name):
    thread = Thread()
    first = thread.step(None, STATES[name]())
    await saver.put(*first.arguments)
    # What did not change is not sent again; which versions there are is.
    engine.sent = 0
    second = thread.step(first.state, {"n": 1})
    await saver.put(*second.arguments)
    assert engine.sent < MB
    # Read by a saver that knows nothing.
    listed = await open_saver().list(thread.config())
    assert [each.checkpoint for each in listed] == [second.checkpoint, first.checkpoint]
    await saver.prune(["t1"])
    assert (await open_saver().get_tuple(thread.config())).checkpoint == second.checkpoint
    assert max(engine.sent, engine.answered) < MAX_REQUEST
    await saver.delete_thread("t1")
    assert await saver.get_tuple(thread.config()) is None
    assert rows(engine) == 0


@pytest.mark.parametrize(
    "size",
    [
        48 * 1024,
        256 * 1024,
        *(pytest.param(size, marks=pytest.mark.slow) for size in (MB, 2 * MB, 4 * MB)),
    ],
)
@pytest.mark.parametrize("off", [-400, 0, 1])
async def test_values_about_the_limits(saver, open_saver, size, off):
    value = noise(size + off)
    thread = Thread()
    step = thread.step(None, {"v": value, "list": [value[: size // 2], value[size // 2 :]], "n": 1})
    await saver.put(*step.arguments)
    await saver.put_writes(step.state.config, [("v", value), ("__interrupt__", value), ("__error__", value)], "task")
    found = await open_saver().get_tuple(thread.config())
    assert found.checkpoint["channel_values"] == step.checkpoint["channel_values"]
    assert sorted(found.pending_writes) == sorted(
        ("task", channel, value) for channel in ("v", "__interrupt__", "__error__")
    )


@pytest.mark.slow
async def test_large_metadata_and_many_channels(saver, open_saver):
    thread = Thread()
    step = thread.step(None, {f"channel {n}" * 10: n for n in range(5000)}, note="n" * 3 * MB)
    step.metadata["noise"] = noise(3 * MB)
    await saver.put(*step.arguments)
    found = await open_saver().get_tuple(thread.config())
    assert found.checkpoint == step.checkpoint
    assert found.metadata == step.metadata


CHECKPOINTS = 10_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_checkpoints_in_a_thread(engine):
    saver = TablestoreSaver(engine.connection("sync"))
    thread = Thread()
    log: list[dict[str, Any]] = []

    def steps():
        for number in range(CHECKPOINTS):
            log.append({"number": number, "text": "text " * 10})
            yield {"log": log[-200:], "n": number}

    states = filled(saver, thread, steps())
    writes = Counter(engine.taken())
    # One write each, and what it takes to make the table.
    assert writes["BatchWriteRow"] + writes["PutRow"] <= CHECKPOINTS + 2
    assert writes["GetRange"] + writes["BatchGetRow"] <= 5

    def ids(found: Any) -> list[str]:
        return [each.checkpoint["id"] for each in found]

    newest_first = [state.checkpoint["id"] for state in reversed(states)]
    reader = TablestoreSaver(engine.connection("sync"))
    assert ids(reader.list(thread.config())) == newest_first
    assert engine.answered < MAX_REQUEST
    assert len(engine.taken()) < CHECKPOINTS / 20
    # A page from the middle takes as many requests as one from the end.
    middle = states[CHECKPOINTS // 2].config
    assert ids(reader.list(thread.config(), before=middle, limit=10)) == newest_first[CHECKPOINTS // 2 :][:10]
    assert len(engine.taken()) < 5
    # What is rare is found without a request for each few rows.
    assert ids(reader.list(thread.config(), filter={"step": 5}, limit=1)) == [states[5].checkpoint["id"]]
    assert len(engine.taken()) < CHECKPOINTS / 20
    for state in (states[0], states[4321], states[-1]):
        assert reader.get_tuple(state.config).checkpoint == state.checkpoint
    reader.prune(["t1"])
    engine.taken()
    [left] = TablestoreSaver(engine.connection("sync")).list({"configurable": {"thread_id": "t1"}})
    assert left.checkpoint == states[-1].checkpoint
    following = thread.step(states[-1], {"log": log[:100]})
    reader.put(*following.arguments)
    assert reader.get_tuple(thread.config()).checkpoint == following.checkpoint
    reader.delete_thread("t1")
    assert rows(engine) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_checkpoints_are_copied_and_deleted(engine):
    saver = TablestoreSaver(engine.connection("sync"))
    thread = Thread()
    states = filled(saver, thread, ({"n": number} for number in range(CHECKPOINTS)))
    engine.taken()
    saver.copy_thread("t1", "t2")
    copied = list(saver.list({"configurable": {"thread_id": "t2"}}))
    assert [each.checkpoint for each in copied] == [state.checkpoint for state in reversed(states)]
    engine.taken()
    saver.delete_thread("t1")
    assert len(engine.taken()) < CHECKPOINTS / 50
    assert list(saver.list({"configurable": {"thread_id": "t1"}})) == []
    assert len(list(saver.list({"configurable": {"thread_id": "t2"}}))) == CHECKPOINTS


async def test_a_thousand_writes_in_one_step(engine, saver, open_saver):
    thread = Thread()
    step = thread.step(None, {"n": 1})
    await saver.put(*step.arguments)
    writes = [("log", {"number": number, "text": "x" * 500}) for number in range(1000)]
    engine.taken()
    await saver.put_writes(step.state.config, writes, "task")
    assert len(engine.taken()) <= 2
    found = await open_saver().get_tuple(thread.config())
    assert found.pending_writes == [("task", channel, value) for channel, value in writes]


@pytest.mark.slow
async def test_a_thousand_large_writes_in_one_step(engine, saver, open_saver):
    thread = Thread()
    step = thread.step(None, {"n": 1})
    await saver.put(*step.arguments)
    writes = [("log", noise(20_000, number)) for number in range(1000)]
    await saver.put_writes(step.state.config, writes, "task")
    await saver.put_writes(step.state.config, writes[:500], "task")
    found = await open_saver().get_tuple(thread.config())
    assert found.pending_writes == [("task", channel, value) for channel, value in writes]
    assert max(engine.sent, engine.answered) < MAX_REQUEST


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 5000])
async def test_a_thousand_tasks_write_in_one_step(engine, saver, open_saver, size):
    thread = Thread()
    step = thread.step(None, {"n": 1})
    await saver.put(*step.arguments)
    for number in range(1000):
        await saver.put_writes(
            step.state.config, [("log", noise(size, number))], f"task-{number * 7919 % 1000:03}", f"~{number:04}"
        )
    engine.taken()
    found = await open_saver().get_tuple(thread.config())
    expected = [(f"task-{number * 7919 % 1000:03}", "log", noise(size, number)) for number in range(1000)]
    assert found.pending_writes == expected
    assert len(engine.taken()) < 20
    [listed] = await open_saver().list(thread.config())
    assert told(listed) == told(found)
    assert len(engine.taken()) < 30
    assert max(engine.sent, engine.answered) < MAX_REQUEST
    following = thread.step(step.state, {"n": 2})
    await saver.put(*following.arguments)
    assert [place(each.config) for each in await saver.list(thread.config(), limit=1)] == [
        place(following.state.config)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("many", [40])
async def test_many_checkpoints_of_much_state_each(engine, saver, open_saver, many):
    """Each with a bundle of nearly a row's size, whose values later ones need."""
    thread = Thread(numbers=count(1))
    state = None
    for number in range(many):
        changes = {f"v{number}-{each}": noise(45_000, 100 * number + each) for each in range(20)}
        step = thread.step(state, changes)
        await saver.put(*step.arguments)
        state = step.state
    found = await open_saver().get_tuple(thread.config())
    assert found.checkpoint["channel_values"] == state.values
    assert max(engine.sent, engine.answered) < MAX_REQUEST
