"""A process killed while it indexes leaves rows and index in agreement."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tablestore import INF_MAX, INF_MIN, FieldSchema, FieldType, MatchAllQuery, MatchQuery, NoRetryPolicy, TermQuery

from langchain_tablestore_memory.local import Tablestore, ots_client

from .support import Table, text_field, vector_field

RUNS = 20


def rows_of(client):
    found, start = {}, [("pk", INF_MIN)]
    while start:
        _, start, rows, _ = client.get_range("t", "FORWARD", start, [("pk", INF_MAX)])
        found |= {row.primary_key[0][1]: {name: value for name, value, _ in row.attribute_columns} for row in rows}
    return found


def keys_where(rows, **expected):
    return [key for key, row in rows.items() if expected.items() <= row.items()]


def every_key(table, query):
    found = table.search(query, limit=1000)
    rows = list(found.rows)
    while found.next_token:
        found = table.search(query, limit=1000, next_token=found.next_token)
        rows += found.rows
    return [row[0][0][1] for row in rows]


@pytest.mark.slow
def test_rows_and_index_agree(tmp_path):
    service = Tablestore(tmp_path)
    client = ots_client(service, retry_policy=NoRetryPolicy())
    fields = [FieldSchema("k", FieldType.KEYWORD), text_field("text"), vector_field("v", 2)]
    table = Table(client, fields)
    service.close()
    chance = random.Random()
    for run in range(RUNS):
        command = [sys.executable, str(Path(__file__).with_name("writer.py")), str(tmp_path), str(run)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout.readline() == "writing\n"
        time.sleep(chance.uniform(0.0, 0.15))
        writer.kill()
        writer.communicate()

        service = Tablestore(tmp_path)
        table.client = client = ots_client(service, retry_policy=NoRetryPolicy())
        rows = rows_of(client)
        assert every_key(table, MatchAllQuery()) == list(rows)
        for word in ("red", "blue"):
            assert every_key(table, TermQuery("k", word)) == keys_where(rows, k=word)
            assert every_key(table, MatchQuery("text", word)) == keys_where(rows, text=f"{word} text")
        service.close()
    assert rows
