"""``kill -9`` in the middle of a conversation: of the process that writes, and of the server that it writes to."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from langchain_tablestore_memory import RetryPolicy, SessionRegistry, TablestoreChatMessageHistory, connect
from langchain_tablestore_memory.local import Tablestore, ots_client

from .operations import spoken
from .worlds import read_contents

pytestmark = pytest.mark.slow

KILLS = 20
CONVERSATION = "user:2:u1/chat"
SERVE = [sys.executable, "-c", "from langchain_tablestore_memory.cli import main; main()", "serve"]


class Writer:
    """A process that writes. It is made ahead of time, because imports take longer than what it is made for."""

    def __init__(self, folder: Path, first: int, script: str = "writer.py") -> None:
        self.first = first
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name(script), folder, "chat", str(first)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def kill_after(self, turns: int, seconds: float) -> list[int]:
        """Kill it so many turns, and then so many seconds, after it began; the numbers of the turns that it reported."""
        with self.process as process:
            assert process.stdout.readline() == b"ready\n"
            process.stdin.write(b"go\n")
            process.stdin.flush()
            # Read all the while, so that it is killed when it writes rows and not when it waits to report.
            reported = b"".join(process.stdout.readline() for _ in range(turns))
            timer = threading.Timer(seconds, process.kill)
            timer.start()
            reported += process.stdout.read()
            timer.join()
            errors = process.stderr.read().decode()
        assert process.returncode == -signal.SIGKILL, errors
        # What follows the last line break was cut.
        return [int(line) for line in reported.decode().split("\n")[:-1]]

    def discard(self) -> None:
        with self.process as process:
            process.kill()


@contextlib.contextmanager
def writers(folder: Path, script: str = "writer.py"):
    """Gives the next writer, and makes the one after it."""
    # Each has numbers of its own: a turn that was not acknowledged is not tried again.
    numbers = itertools.count(0, 100_000)
    waiting = [Writer(folder, next(numbers), script)]

    def writer() -> Writer:
        waiting.append(Writer(folder, next(numbers), script))
        return waiting.pop(0)

    try:
        yield writer
    finally:
        waiting.pop().discard()


@pytest.fixture
def writer(tmp_path):
    with writers(tmp_path) as writer:
        yield writer


def test_the_writer_is_killed(tmp_path, writer):
    chance = random.Random(20)
    acknowledged: set[int] = set()
    for kill in range(KILLS):
        current = writer()
        # The first turn opens the file, and the very first makes the tables: every fourth dies about then.
        turns, seconds = (0, chance.uniform(0, 0.2)) if kill % 4 == 0 else (chance.randint(1, 20), chance.random() / 50)
        reported = current.kill_after(turns, seconds)
        assert reported == list(range(current.first, current.first + len(reported)))
        acknowledged.update(reported)
        check(tmp_path, acknowledged)
    assert len(acknowledged) >= KILLS


def check(folder: Path, acknowledged: set[int]) -> None:
    """What was acknowledged is there once, in order, as pairs; the session's row tells so."""
    with Tablestore(folder) as service:
        contents = read_contents(ots_client(service))
    assert contents.faults == ()
    assert contents.miscounted() == []
    ids = contents.ids(CONVERSATION)
    numbers = [int(message_id[1:]) for message_id in ids[::2]]
    assert ids == [f"{kind}{number}" for number in numbers for kind in "qa"]
    assert numbers == sorted(set(numbers))
    assert acknowledged <= set(numbers)
    if ids:
        with connect(f"local:{folder}") as connection:
            assert SessionRegistry(connection).recount("chat", "u1") == len(ids)
            history = TablestoreChatMessageHistory("chat", user_id="u1", connection=connection)
            assert [message.id for message in history.messages] == ids


@contextlib.contextmanager
def serving(folder: Path, port: int):
    """A server in a process of its own, which is killed in the end."""
    command = [*SERVE, "--data", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert select.select([process.stdout], [], [], 60)[0], "the server printed nothing"
            assert b"listening" in process.stdout.readline(), process.stderr.read()
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def talk(connection, stop: threading.Event, session_id: str, mode: str) -> list[str]:
    """Adds turns until told to stop; none may fail. Returns the ids of what was acknowledged, in order."""
    history = TablestoreChatMessageHistory(session_id, user_id="u1", connection=connection, window=20)
    acknowledged: list[str] = []
    for number in itertools.count():
        if stop.is_set():
            return acknowledged
        turn = spoken(f"q{number}", f"a{number}")
        if mode == "sync":
            await asyncio.to_thread(history.add_messages, turn)
        else:
            await history.aadd_messages(turn)
        acknowledged += [f"q{number}", f"a{number}"]
    raise AssertionError


async def test_the_server_is_killed(tmp_path):
    port = free_port()
    stop = threading.Event()
    patient = RetryPolicy(attempts=200, connect_attempts=200, first_delay=0.05, max_delay=0.2)
    async with connect(
        f"http://127.0.0.1:{port}",
        instance_name="local",
        access_key_id="local",
        access_key_secret="local",
        retry=patient,
    ) as connection:
        talks = []
        for _ in range(3):
            with serving(tmp_path, port):
                talks = talks or [asyncio.create_task(talk(connection, stop, mode, mode)) for mode in ("sync", "async")]
                await asyncio.sleep(1.0)
        with serving(tmp_path, port):
            await asyncio.sleep(0.5)
            stop.set()
            acknowledged = dict(zip(("sync", "async"), await asyncio.gather(*talks), strict=True))
    with Tablestore(tmp_path) as service:
        contents = read_contents(ots_client(service))
    assert contents.faults == ()
    assert contents.miscounted() == []
    for mode, ids in acknowledged.items():
        assert len(ids) > 20
        assert contents.ids(f"user:2:u1/{mode}") == ids
