"""Killed in the middle of writing, again and again: rows and index agree, vectors and what waits included."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tablestore import (
    BatchWriteRowRequest,
    Condition,
    DeleteRowItem,
    ExistsQuery,
    FieldSchema,
    FieldType,
    KnnVectorQuery,
    MatchAllQuery,
    MatchQuery,
    PutRowItem,
    Row,
    TableInBatchWriteRowItem,
    TermQuery,
    VectorDataType,
    VectorMetricType,
    VectorOptions,
)

from langchain_tablestore_memory.local import Tablestore, ots_client

from .support import EVERYTHING, Table

KILLS = 7
KEYS = 60
DIMENSION = 48
FIELDS = (
    FieldSchema("word", FieldType.KEYWORD),
    FieldSchema("tags", FieldType.KEYWORD, is_array=True),
    FieldSchema("text", FieldType.TEXT),
    FieldSchema(
        "vector",
        FieldType.VECTOR,
        vector_options=VectorOptions(
            data_type=VectorDataType.VD_FLOAT_32, dimension=DIMENSION, metric_type=VectorMetricType.VM_COSINE
        ),
    ),
)

WRITER = """
import random, sys
from pathlib import Path
from langchain_tablestore_memory.local import Tablestore, ots_client
from tests.integration.search_engine.test_crash import write_batch
client = ots_client(Tablestore(Path(sys.argv[1]), index_delay=float(sys.argv[2])))
chance = random.Random(int(sys.argv[3]))
write_batch(client, chance)
print("ready", flush=True)
while True:
    write_batch(client, chance)
"""


def write_batch(client, chance):
    """Put and delete some rows, each key once."""
    keys = chance.sample(range(KEYS), 12)
    items = [PutRowItem(Row([("id", key)], cells(chance)), Condition("IGNORE")) for key in keys[:9]]
    items += [DeleteRowItem(Row([("id", key)]), Condition("IGNORE")) for key in keys[9:]]
    request = BatchWriteRowRequest()
    request.add(TableInBatchWriteRowItem("t", items))
    assert client.batch_write_row(request).is_all_succeed()


def cells(chance):
    word = f"w{chance.randrange(5)}"
    vector = np.array([chance.gauss(0, 1) for _ in range(DIMENSION)], np.float32)
    numbers = "[" + ",".join(map(str, vector)) + "]"
    found = [("word", word), ("tags", json.dumps([word, "all"])), ("text", f"{word} same"), ("vector", numbers)]
    # Some rows have no vector, some no text.
    return found[: chance.choice([2, 3, 4, 4, 4])]


def check(folder):
    """All that the index finds is what the rows say."""
    with Tablestore(folder) as service:
        table = Table.__new__(Table)
        table.client, table.name = ots_client(service), "t"
        stored = {}
        for key in range(KEYS):
            row = table.client.get_row("t", [("id", key)])[1]
            if row is not None:
                stored[key] = {name: value for name, value, _ in row.attribute_columns}
        rows = table.search(MatchAllQuery(), EVERYTHING, limit=100).rows
        assert {key[0][1]: {name: value for name, value, _ in columns} for key, columns in rows} == stored
        for number in range(5):
            word = f"w{number}"
            having = [key for key, columns in stored.items() if columns["word"] == word]
            assert table.ids(TermQuery("word", word)) == table.ids(TermQuery("tags", word)) == having
            with_text = [key for key in having if "text" in stored[key]]
            assert table.ids(MatchQuery("text", word)) == sorted(table.scores(MatchQuery("text", word))) == with_text
        vectors = {key: json.loads(columns["vector"]) for key, columns in stored.items() if "vector" in columns}
        assert table.ids(ExistsQuery("vector")) == sorted(vectors)
        query = np.ones(DIMENSION)
        expected = {}
        for key, vector in vectors.items():
            array = np.array(vector, np.float32).astype(np.float64)
            expected[key] = (1 + array @ query / np.linalg.norm(array) / np.linalg.norm(query)) / 2
        assert table.scores(KnnVectorQuery("vector", 100, query.tolist())) == pytest.approx(expected, rel=1e-6)
        return len(stored)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("delay", [0.0, 0.03, 3600.0], ids=["at once", "soon", "late"])
def test_killed_while_writing(tmp_path, delay):
    with Tablestore(tmp_path) as service:
        Table(ots_client(service), FIELDS)
    chance = random.Random(f"{delay}")
    for attempt in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path, str(delay), str(attempt)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0, 0.08))
            process.send_signal(signal.SIGKILL)
        # Every other time what waits is found by the next writer, not by a search.
        if delay == 0 or attempt % 2:
            assert check(tmp_path)
    check(tmp_path)
