"""Removing and copying that is cut off at each of its writes: what is read then is whole, and calling it again ends it.

Every operation meets every fault in ``tests/integration/faults``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from langchain_tablestore_memory import ServiceError
from langchain_tablestore_memory.langgraph import TablestoreSaver

from .support import MeasuredTablestore, State, Thread, by_line, rows

LARGE = os.urandom(60_000)


def stored(saver: TablestoreSaver) -> dict[str, list[State]]:
    """Threads of some checkpoints, whose first one holds what all need, by thread and namespace."""
    lines: dict[str, list[State]] = {}
    for thread_id, namespace in (("t1", ""), ("t1", "sub:1")):
        thread, states = Thread(thread_id, namespace), []
        for number in range(5):
            changes: dict[str, Any] = {"log": [f"{entry} " * 500 for entry in range(3 * number + 5)], "n": number}
            if number == 0:
                changes |= {"large": LARGE, "kept": "k" * 1000}
            step = thread.step(states[-1] if states else None, changes, run_id=f"run-{number % 2}")
            saver.put(*step.arguments)
            saver.put_writes(step.state.config, [("n", number)], "task")
            states.append(step.state)
        lines[f"{thread_id} {namespace}"] = states
    return lines


ACTS: dict[str, Callable[[TablestoreSaver], Any]] = {
    "prune": lambda saver: saver.prune(["t1"]),
    "delete": lambda saver: saver.prune(["t1"], strategy="delete"),
    "delete_thread": lambda saver: saver.delete_thread("t1"),
    "delete_for_runs": lambda saver: saver.delete_for_runs(["run-0"]),
    "delete_for_other_runs": lambda saver: saver.delete_for_runs(["run-1"]),
    "copy_thread": lambda saver: saver.copy_thread("t1", "t9"),
}


def whole(saver: TablestoreSaver, lines: dict[str, list[State]]) -> None:
    """All that is read is as it was stored, and in the same order."""
    for (thread_id, namespace), found in by_line(saver.list(None)).items():
        states = lines[f"{'t1' if thread_id == 't9' else thread_id} {namespace}"]
        ids = [place[2] for place, *_ in found]
        assert ids == sorted(ids, reverse=True)
        for each in ids:
            [state] = [state for state in states if state.checkpoint["id"] == each]
            read = saver.get_tuple(Thread(thread_id, namespace).config(each))
            assert read is not None
            assert read.checkpoint == state.checkpoint


def seen(saver: TablestoreSaver) -> dict[Any, list[Any]]:
    """Checkpoints with their values and writes; versions are in part chance."""
    found = by_line(saver.list(None))
    return {line: [(where, values, writes) for where, _, values, _, _, writes in each] for line, each in found.items()}


@pytest.mark.parametrize(
    ("name", "when"),
    [
        pytest.param(name, when, marks=[] if (name, when) == ("prune", "before") else [pytest.mark.slow])
        for name in ACTS
        for when in ("before", "after")
    ],
)
def test_what_was_cut_off(name: str, when: str) -> None:
    act = ACTS[name]
    with MeasuredTablestore() as engine:
        saver = TablestoreSaver(engine.connection("sync"))
        stored(saver)
        engine.taken()
        act(saver)
        writes = len(engine.writes)
        expected, left = seen(saver), rows(engine)
    assert writes
    for position in range(1, writes + 1):
        with MeasuredTablestore() as engine:
            saver = TablestoreSaver(engine.connection("sync"))
            lines = stored(saver)
            with engine.cut_off_at(position, when), pytest.raises(ServiceError):
                act(TablestoreSaver(engine.connection("sync")))
            whole(TablestoreSaver(engine.connection("sync")), lines)
            act(TablestoreSaver(engine.connection("sync")))
            assert seen(saver) == expected
            assert rows(engine) == left


def test_pruning_that_was_cut_off() -> None:
    """What was set aside of the oldest checkpoint is beside its row, which is still there."""
    with MeasuredTablestore() as engine:
        saver = TablestoreSaver(engine.connection("sync"))
        thread = Thread()
        first = thread.step(None, {"kept": "k" * 1000, "n": 0})
        second = thread.step(first.state, {"n": 1})
        for step in (first, second):
            saver.put(*step.arguments)
        engine.taken()
        # The first write sets aside; then nothing more is written.
        with engine.cut_off_at(2, "before"), pytest.raises(ServiceError):
            saver.prune(["t1"])
        for config in (None, {"configurable": {"thread_id": "t1"}}, thread.config()):
            assert [each.checkpoint for each in saver.list(config)] == [second.checkpoint, first.checkpoint]


@pytest.mark.slow
def test_a_large_checkpoint_is_whole_or_not_there() -> None:
    """It takes several requests."""
    thread = Thread()
    first = thread.step(None, {"n": 0})
    second = thread.step(first.state, {"large": os.urandom(5_000_000), "n": 1})
    for when in ("before", "after"):
        for position in (1, 2, 3):
            with MeasuredTablestore() as engine:
                saver = TablestoreSaver(engine.connection("sync"))
                saver.put(*first.arguments)
                with engine.cut_off_at(position, when), pytest.raises(ServiceError):
                    saver.put(*second.arguments)
                reader = TablestoreSaver(engine.connection("sync"))
                found = [each.checkpoint for each in reader.list(None)]
                last = position == 3 and when == "after"
                assert found == [second.checkpoint, first.checkpoint][0 if last else 1 :]
                saver.put(*second.arguments)
                assert [each.checkpoint for each in reader.list(None)] == [second.checkpoint, first.checkpoint]
