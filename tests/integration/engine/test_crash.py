"""A process killed in the middle of writing loses nothing that was acknowledged."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import threading

import pytest
from tablestore import INF_MAX, INF_MIN, SecondaryIndexMeta

from .support import create, fetch, page
from .test_concurrency import open_folder, start

RUNS = 20


def all_keys(client, table, names):
    """The last key column of every row, over all pages, by key."""
    found, begin = [], [(name, INF_MIN) for name in names]
    while begin:
        current = page(client, table, begin, [(name, INF_MAX) for name in names], columns_to_get=["pk"])
        found += [dict(row.primary_key) for row in current.rows]
        begin = current.next_key
    return found


def kill(process):
    # One that has ended by itself is told by its exit code.
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


@pytest.mark.slow
def test_acknowledged_rows_survive(tmp_path):
    service, client = open_folder(tmp_path)
    create(client, defined=[("time", "INTEGER")], indexes=[SecondaryIndexMeta("i", ["time"], [])])
    service.close()
    chance = random.Random()
    acknowledged = set()
    writers = start("streams", tmp_path)
    for run in range(RUNS):
        writers.stdin.write(f"run{run:02}\n")
        writers.stdin.flush()
        writer = int(writers.stdout.readline())
        lines = [writers.stdout.readline()]
        timer = threading.Timer(chance.uniform(0.0, 0.3), kill, (writer,))
        timer.start()
        # The reader keeps up, so that the writer is killed while it writes rows, not while it waits to report.
        for line in writers.stdout:
            if line.startswith("end "):
                break
            lines.append(line)
        timer.join()
        assert line == f"end {-signal.SIGKILL}\n", line
        # The last one may have been cut.
        acknowledged |= {key for reported in lines[:-1] for key in reported.split()}

        service, client = open_folder(tmp_path)
        rows = {row["pk"] for row in all_keys(client, "t", ("pk",))}
        assert acknowledged - rows == set(), run
        assert {row["pk"] for row in all_keys(client, "i", ("time", "pk"))} == rows
        service.close()
    writers.communicate(timeout=60)
    assert writers.returncode == 0
    assert len(acknowledged) > RUNS
    (path,) = tmp_path.glob("*.sqlite3")
    connection = sqlite3.connect(path)
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.slow
def test_an_uncommitted_transaction_leaves_nothing(tmp_path):
    service, client = open_folder(tmp_path)
    create(client)
    service.close()
    writer = start("open_transaction", tmp_path)
    assert writer.stdout.readline() == "open\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=60)
    service, client = open_folder(tmp_path)
    assert fetch(client, "t", "open") is None
    service.close()
