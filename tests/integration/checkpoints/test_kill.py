"""``kill -9`` in the middle of graphs: they go on after the last complete step, and nothing half-written is read."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from langchain_tablestore_memory import connect
from langchain_tablestore_memory.langgraph import TablestoreSaver

from .runner import ROUNDS, config_of, go_on, graph, log_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

KILLS = 20


class Runner:
    """A process that runs graphs. It is made ahead of time, because imports take longer than what it is made for."""

    def __init__(self, folder: Path, durability: str, position: int, when: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("runner.py"), folder, durability, str(position), when],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, seconds: float) -> list[list[str]]:
        """Let it run until it is killed, by itself or after some time; what it reported."""
        with self.process as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            assert process.stdout.readline() == b"ready\n"
            process.stdin.write(b"go\n")
            process.stdin.flush()
            timer = threading.Timer(seconds, process.kill)
            timer.start()
            reported = process.stdout.read()
            timer.cancel()
            errors = process.stderr.read().decode()
        assert process.returncode == -signal.SIGKILL, errors
        # What follows the last line break was cut.
        return [line.split() for line in reported.decode().split("\n")[:-1]]

    def discard(self) -> None:
        with self.process as process:
            process.kill()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Callable[[], Runner]]:
    """Gives the next process, and makes the one after it."""
    chance = random.Random(20)

    def make(number: int) -> Runner:
        # Every fourth is killed whenever it is; the others at a write, in the middle of which it may be.
        position = 0 if number % 4 == 3 else chance.randint(1, 14)
        durability = "sync" if number % 2 else "async"
        return Runner(tmp_path, durability, position, chance.choice(["before", "after"]))

    waiting = [make(0)]

    def runner() -> Runner:
        waiting.append(make(len(waiting)))
        return waiting[-2]

    yield runner
    waiting[-1].discard()


def test_graphs_are_killed(tmp_path: Path, runner: Callable[[], Runner]) -> None:
    chance = random.Random(21)
    acknowledged: list[list[str]] = []
    for number in range(KILLS):
        current = runner()
        reported = current.run(chance.uniform(0, 1) if number % 4 == 3 else 60)
        acknowledged += reported
        with connect(f"local:{tmp_path}") as connection:
            for thread in {thread for thread, *_ in acknowledged[-1:] + reported}:
                check(TablestoreSaver(connection), thread, [each for each in acknowledged if each[0] == thread])
    assert len(acknowledged) > KILLS
    finish(tmp_path, acknowledged)


def check(saver: TablestoreSaver, thread: str, acknowledged: list[list[str]]) -> None:
    """What was acknowledged of a thread is there, and what is there is whole."""
    found = {each.checkpoint["id"]: each for each in saver.list({"configurable": {"thread_id": thread}})}
    for _, checkpoint_id, *task in acknowledged:
        # Where durability is not "sync", writes come before the checkpoint that they belong to.
        assert checkpoint_id in found or task
        if task and checkpoint_id in found:
            assert task[0] in {written_by for written_by, *_ in found[checkpoint_id].pending_writes or ()}
    for each in found.values():
        values = each.checkpoint["channel_values"]
        log = values.get("log", [])
        # Both have spoken, and are not counted yet.
        assert log == log_of(ROUNDS)[: len(log)]
        assert len(log) - 2 * values.get("round", 0) in {0, 2}
        assert set(values) <= set(each.checkpoint["channel_versions"])


def finish(folder: Path, acknowledged: list[list[str]]) -> None:
    """Each thread that was begun goes on to its end, with each step once."""
    with connect(f"local:{folder}") as connection:
        saver = TablestoreSaver(connection)
        running = graph(saver)
        for number in range(1 + max(int(thread[1:]) for thread, *_ in acknowledged)):
            config = config_of(number)
            go_on(running, config, "sync")
            assert running.get_state(config).values == {"log": log_of(ROUNDS), "round": ROUNDS}
            # No step is there twice: one for the input, and of each round two.
            steps = [each.metadata["step"] for each in running.get_state_history(config)]
            assert steps == sorted(set(steps), reverse=True)
