"""Lists, of which only what is new is stored: every version of them is read as it was, whatever became of them."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from .support import NEVER, State, Thread, place, told


def entry(number: int, size: int = 1000) -> dict[str, Any]:
    return {"number": number, "text": chr(97 + number % 26) * size}


LONG = [entry(number) for number in range(40)]

HISTORIES: dict[str, list[Any]] = {
    "grows": [LONG[:n] for n in range(41)],
    "grows by more and more": [LONG[:n] for n in (1, 2, 4, 8, 16, 40)],
    "grows by less and less": [LONG[:n] for n in (20, 30, 35, 38, 39, 40)],
    "shrinks": [LONG[:n] for n in range(40, -1, -3)],
    "breathes": [LONG[:n] for n in (40, 10, 30, 5, 40, 0, 40)],
    "loses its first": [LONG[n:] for n in range(0, 40, 3)],
    "is a window": [LONG[n : n + 10] for n in range(30)],
    "changes in the middle": [[*LONG[:n], entry(n, 7), *LONG[n + 1 :]] for n in range(0, 40, 3)],
    "changes in the middle for good": [[*([entry(99)] * n), *LONG[n:]] for n in range(0, 40, 3)],
    "gets more in the middle": [[*LONG[:20], *[entry(99)] * n, *LONG[20:]] for n in range(10)],
    "is replaced": [LONG, [entry(n, 500) for n in range(40)], LONG[::-1], LONG],
    "is emptied": [LONG, [], LONG, [], []],
    "is removed": [LONG, NEVER, LONG, NEVER, LONG[:20]],
    "is other things too": [LONG, tuple(LONG), LONG, {"list": LONG}, LONG[:39], None, LONG, "text", LONG, LONG[0]],
    "has equal entries": [[entry(1)] * n for n in range(20)],
    "has entries that only look equal": [
        [*LONG[:10], *same] for same in ([1, True, 1.0, "1", b"1"], [True, 1, 1.0, b"1", "1"], [1.0, 1.0, 1, "1", "1"])
    ],
    "has empty entries": [[*LONG[:10], *same] for same in ([None, "", b"", [], {}], [None], [[], {}, b"", "", None])],
    "has lists": [[[*LONG[:n]], [LONG[n:]], [[]]] for n in range(0, 40, 5)],
    "has large entries": [[os.urandom(60_000) for _ in range(n)] for n in range(4)],
    "ends with large entries": [[*LONG[:n], b"x" * 100_000 * n] for n in range(12)],
    "is of many": [list(range(n)) for n in (0, 1500, 1501, 3000, 1499, 3001)],
}


QUICK = {"grows", "breathes", "changes in the middle", "is other things too", "has entries that only look equal"}

each_history = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in HISTORIES]
)


class Xor(CipherProtocol):
    """No two texts of one message are the same."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        key = os.urandom(16)
        return "xor", key + bytes(a ^ b for a, b in zip(plaintext, itertools.cycle(key)))

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "xor"
        return bytes(a ^ b for a, b in zip(ciphertext[16:], itertools.cycle(ciphertext[:16])))


@pytest.fixture(params=["sync", pytest.param("async", marks=pytest.mark.slow)])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def stored(saver: Any, thread: Thread, values: list[Any], before: State | None = None) -> list[State]:
    """Checkpoints of which each has the next value."""
    states = []
    for number, value in enumerate(values):
        step = thread.step(before, {"list": value, "n": number})
        await saver.put(*step.arguments)
        before = step.state
        states.append(before)
    return states


async def check(saver: Any, states: list[State]) -> None:
    """Each is read as it was, in a list and alone. LangGraph's serializer turns tuples into lists."""
    serde = JsonPlusSerializer(pickle_fallback=True)
    configurable = states[0].config["configurable"]
    config = {"configurable": {key: configurable[key] for key in ("thread_id", "checkpoint_ns")}}
    listed = {place(found.config): found for found in await saver.list(config)}
    for state in states:
        found = await saver.get_tuple(state.config)
        expected = {channel: serde.loads_typed(serde.dumps_typed(value)) for channel, value in state.values.items()}
        values = found.checkpoint["channel_values"]
        assert repr(sorted(values.items())) == repr(sorted(expected.items()))
        assert told(listed[place(state.config)]) == told(found)


@each_history
async def test_every_version_of_a_list_is_there(saver, open_saver, name):
    states = await stored(saver, Thread(), HISTORIES[name])
    await check(saver, states)
    await check(open_saver(), states)


@pytest.mark.slow
@pytest.mark.parametrize("name", HISTORIES)
async def test_each_step_by_a_saver_of_its_own(open_saver, name):
    thread, states = Thread(), []
    for value in HISTORIES[name]:
        another = open_saver()
        if states:
            await another.get_tuple(thread.config())
        states += await stored(another, thread, [value], states[-1] if states else None)
    await check(open_saver(), states)


@each_history
async def test_what_pruning_leaves_is_whole_and_goes_on(saver, open_saver, name):
    thread, values = Thread(), HISTORIES[name]
    half = len(values) // 2
    states = await stored(saver, thread, values[:half] or values[:1])
    await open_saver().prune([thread.thread_id])
    await check(open_saver(), states[-1:])
    later = await stored(saver, thread, values[half:], states[-1])
    await check(open_saver(), [states[-1], *later])
    await saver.prune([thread.thread_id])
    await check(open_saver(), later[-1:])
    again = await stored(open_saver(), thread, values, later[-1])
    await check(open_saver(), [later[-1], *again])


@pytest.mark.parametrize(
    "name",
    [
        "breathes",
        "has equal entries",
        pytest.param("grows", marks=pytest.mark.slow),
        pytest.param("changes in the middle for good", marks=pytest.mark.slow),
    ],
)
async def test_what_deleted_runs_leave_is_whole(saver, open_saver, name):
    """Runs are deleted one by one, until one checkpoint is left."""
    thread, states = Thread(), []
    for number, value in enumerate(HISTORIES[name]):
        step = thread.step(states[-1] if states else None, {"list": value}, run_id=f"run-{number * 7 % 5}")
        await saver.put(*step.arguments)
        states.append(step.state)
    for run in range(4):
        await open_saver().delete_for_runs([f"run-{run}"])
        left = [state for number, state in enumerate(states) if number * 7 % 5 > run]
        assert len(await saver.list(thread.config())) == len(left)
        await check(open_saver(), left)


async def test_branches_grow_apart(saver, open_saver):
    thread = Thread()
    trunk = await stored(saver, thread, [LONG[:n] for n in range(1, 20)])
    branches = []
    for start in (18, 9, 0, 18):
        value = list(trunk[start].values["list"])
        values = [[*value, *(entry(1000 * start + n) for n in range(m))] for m in range(1, 12)]
        branches += await stored(saver, thread, values, trunk[start])
    await check(open_saver(), [*trunk, *branches])
    await saver.prune(["t1"])
    await check(open_saver(), branches[-1:])


async def test_what_goes_on_from_a_checkpoint_that_is_being_pruned_is_left_out(saver, open_saver):
    """Of the old checkpoint something else is kept, and not the list that the new one goes on with."""
    thread = Thread()
    first = thread.step(None, {"list": LONG[:20], "kept": "k" * 1000})
    await saver.put(*first.arguments)
    [second] = await stored(saver, thread, [LONG[:20:-1]], first.state)
    await open_saver().prune(["t1"])
    [lost] = await stored(saver, thread, [LONG[:21]], first.state)
    for reader in (saver, open_saver()):
        assert await reader.get_tuple(lost.config) is None
        assert place((await reader.get_tuple(thread.config())).config) == place(second.config)
        await check(reader, [second])
    await check(open_saver(), [second, *await stored(saver, thread, [LONG], second)])


@pytest.mark.parametrize("name", ["breathes", "is other things too"])
@pytest.mark.parametrize(
    "serde",
    [
        pytest.param(lambda: EncryptedSerializer(Xor()), id="encrypted"),
        pytest.param(lambda: JsonPlusSerializer(pickle_fallback=True), id="pickle"),
    ],
)
async def test_other_serializers(open_saver, name, serde: Callable[[], Any]):
    saver = open_saver(serde=serde())
    states = await stored(saver, Thread(), HISTORIES[name])
    await check(open_saver(serde=serde()), states)
    await saver.prune(["t1"])
    await check(open_saver(serde=serde()), states[-1:])


async def test_what_a_caller_changes_afterwards_is_not_stored(saver, open_saver):
    """LangGraph's reducers may hand on the list that they were given."""
    thread, values = Thread(), [entry(n) for n in range(10)]
    step = thread.step(None, {"list": values})
    await saver.put(*step.arguments)
    values.append(entry(10))
    values[3]["text"] = "changed"
    second = thread.step(step.state, {"list": list(values)})
    await saver.put(*second.arguments)
    first = await open_saver().get_tuple(step.state.config)
    assert first.checkpoint["channel_values"]["list"] == [entry(n) for n in range(10)]
    found = await open_saver().get_tuple(thread.config())
    assert found.checkpoint["channel_values"]["list"] == values


@pytest.mark.parametrize("mode", ["async"], indirect=True)
async def test_what_changes_while_it_is_stored(saver, open_saver):
    """LangGraph's graphs go on meanwhile, and some of their channels change in place."""
    thread = Thread()
    first = thread.step(None, {"set": {"a"}, "list": ["a"]})
    await saver.put(*first.arguments)
    second = thread.step(first.state, {"set": {"a", "b"}, "list": ["a", "b"]})
    # It has to ask first for what is there.
    storing = asyncio.create_task(open_saver().put(*second.arguments))
    await asyncio.sleep(0)
    second.checkpoint["channel_values"]["set"].add("late")
    second.checkpoint["channel_values"]["list"].append("late")
    second.checkpoint["channel_versions"]["set"] = "late"
    await storing
    found = await open_saver().get_tuple(thread.config())
    assert found.checkpoint["channel_values"] == {"set": {"a", "b"}, "list": ["a", "b"]}
    assert found.checkpoint["channel_versions"] == second.new_versions


TURNS = 100


async def test_a_growing_list_costs_little(engine, saver, open_saver):
    thread, state = Thread(), None
    total = 0
    for _ in range(TURNS):
        before = list(state.values["list"]) if state else []
        # Nothing that would compress.
        step = thread.step(state, {"list": [*before, os.urandom(1000)]})
        engine.sent = 0
        await saver.put(*step.arguments)
        total += engine.sent
        state = step.state
    # Each entry is written as often as its run is merged with another.
    assert total < 1000 * TURNS * (math.log2(TURNS) + 1)
    engine.taken()
    found = await open_saver().get_tuple(thread.config())
    assert found.checkpoint["channel_values"] == state.values
    # The latest row, and the rows and pieces with the runs at once.
    assert len(engine.taken()) <= 4
