"""Several processes change tables and indexes while they write and search, and are killed: what is left agrees."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tablestore import (
    INF_MAX,
    INF_MIN,
    ColumnReturnType,
    ColumnsToGet,
    MatchAllQuery,
    MatchQuery,
    SearchQuery,
    TermQuery,
)

from .changers import KNN, TABLES, WORDS
from .test_concurrency import open_folder

ROUNDS = 8
CHANGERS = Path(__file__).with_name("changers.py")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_killed_while_definitions_change(tmp_path):
    chance = random.Random()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", CHANGERS, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as parent:
        running, rows = [], 0
        for _ in range(ROUNDS):
            running = ask(parent, running, [chance.randrange(1 << 30) for _ in range(3)])
            time.sleep(chance.uniform(0.2, 1.0))
            for child in running:
                os.kill(child, signal.SIGKILL)
            running = ask(parent, running, [])
            rows += check(tmp_path)
        parent.stdin.close()
    assert rows > 0


def ask(parent, running, seeds):
    """Start changers; the ids of their processes. All before them must have been killed, not have ended."""
    parent.stdin.write(" ".join(map(str, seeds)) + "\n")
    parent.stdin.flush()
    ended = parent.stdout.readline().split()
    if ended != [str(-signal.SIGKILL)] * len(running):
        parent.stdin.close()
        raise AssertionError(parent.stderr.read())
    return [int(child) for child in parent.stdout.readline().split()]


def check(folder):
    """Compare every index with its table, and the file with the definitions; how many rows there are."""
    service, client = open_folder(folder)
    total = 0
    for table in set(TABLES) & set(client.list_table()):
        described = client.describe_table(table)
        names = [column[0] for column in described.table_meta.schema_of_primary_key]
        rows = scan(client, table, names)
        total += len(rows)
        for index in described.secondary_indexes:
            key = [*index.primary_key_names, *(name for name in names if name not in index.primary_key_names)]
            expected = [{name: row[name] for name in key} for row in rows.values() if row.keys() >= set(key)]
            assert scan(client, index.index_name, key).keys() == {tuple(row.values()) for row in expected}
        for _, index in client.list_search_index(table):
            check_search_index(client, table, index, {key: dict(row) for key, row in rows.items()})
    service.close()
    check_file(folder / "local.sqlite3")
    return total


def scan(client, table, names):
    """All rows by key, each with the columns of its key."""
    found, start = {}, [(name, INF_MIN) for name in names]
    while start:
        _, start, rows, _ = client.get_range(table, "FORWARD", start, [(name, INF_MAX) for name in names])
        for row in rows:
            key = dict(row.primary_key)
            found[tuple(key.values())] = key | {name: value for name, value, _ in row.attribute_columns}
    return found


def check_search_index(client, table, index, rows):
    assert search(client, table, index, MatchAllQuery()) == rows
    for word in WORDS:
        with_word = {key: row for key, row in rows.items() if row.get("word") == word}
        assert search(client, table, index, TermQuery("word", word)) == with_word
        with_text = {key: row for key, row in rows.items() if row.get("text", "").startswith(word)}
        assert search(client, table, index, MatchQuery("text", word)) == with_text
    with_vector = {key: row for key, row in rows.items() if "vector" in row}
    assert search(client, table, index, KNN) == with_vector


def search(client, table, index, query):
    found, token = {}, None
    while token != b"":
        page = client.search(
            table,
            index,
            SearchQuery(query, limit=100, next_token=token),
            ColumnsToGet([], ColumnReturnType.ALL),
        )
        for key, columns in page.rows:
            found[tuple(value for _, value in key)] = dict(key) | {name: value for name, value, _ in columns}
        token = page.next_token
    return found


def check_file(path):
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    tables = {number for (number,) in connection.execute("SELECT id FROM tables")}
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    connection.close()
    of_tables = [re.match(r"(?:rows|index|search)_(\d+)_", name) for name in names]
    assert {int(match[1]) for match in of_tables if match} <= tables
