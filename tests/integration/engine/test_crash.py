"""A process killed in the middle of writing loses nothing that was acknowledged."""

from __future__ import annotations

import random
import signal
import sqlite3
import time

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


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_acknowledged_rows_survive(tmp_path):
    service, client = open_folder(tmp_path)
    create(client, defined=[("time", "INTEGER")], indexes=[SecondaryIndexMeta("i", ["time"], [])])
    service.close()
    chance = random.Random()
    acknowledged = set()
    for run in range(RUNS):
        writer = start("stream", tmp_path, f"run{run:02}")
        lines = [writer.stdout.readline()]
        time.sleep(chance.uniform(0.0, 0.3))
        writer.send_signal(signal.SIGKILL)
        out, err = writer.communicate(timeout=60)
        assert writer.returncode == -signal.SIGKILL, err
        lines += out.splitlines(keepends=True)
        acknowledged |= {key for line in lines if line.endswith("\n") for key in line.split()}

        service, client = open_folder(tmp_path)
        rows = {row["pk"] for row in all_keys(client, "t", ("pk",))}
        assert acknowledged - rows == set(), run
        assert {row["pk"] for row in all_keys(client, "i", ("time", "pk"))} == rows
        service.close()
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
