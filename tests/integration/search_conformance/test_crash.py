"""A process killed while it indexes leaves rows and index in agreement: fields, text, arrays, vectors and scores."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tablestore import (
    INF_MAX,
    INF_MIN,
    ExistsQuery,
    FieldSchema,
    FieldType,
    KnnVectorQuery,
    MatchAllQuery,
    MatchPhraseQuery,
    MatchQuery,
    NoRetryPolicy,
    RangeQuery,
    TermQuery,
)

from langchain_tablestore_memory.local import Tablestore, ots_client

from .support import BY_SCORE, Table, text_field, vector_field
from .writer import WORDS

RUNS = 20
FIELDS = [
    FieldSchema("k", FieldType.KEYWORD),
    FieldSchema("ks", FieldType.KEYWORD, is_array=True),
    FieldSchema("n", FieldType.LONG),
    FieldSchema("ns", FieldType.LONG, is_array=True),
    text_field("text"),
    FieldSchema("texts", FieldType.TEXT, is_array=True),
    vector_field("v", 2),
]
QUERIES = [
    *(ExistsQuery(field.field_name) for field in FIELDS),
    *(TermQuery(field, word) for field in ("k", "ks", "text", "texts") for word in WORDS),
    *(MatchQuery(field, "red 茶") for field in ("text", "texts")),
    *(MatchPhraseQuery(field, "red one") for field in ("text", "texts")),
    *(TermQuery("ns", number) for number in range(7)),
    RangeQuery("n", 100_010, None),
    KnnVectorQuery("v", 1000, [1.0, 2.0]),
]


def rows_of(client):
    found, start = {}, [("pk", INF_MIN)]
    while start:
        _, start, rows, _ = client.get_range("t", "FORWARD", start, [("pk", INF_MAX)])
        found |= {row.primary_key[0][1]: {name: value for name, value, _ in row.attribute_columns} for row in rows}
    return found


def every_hit(table, query, index, **options):
    """Keys and scores, in order, of all that a query finds."""
    table.index = index
    hits, token = [], None
    while True:
        found = table.search(query, limit=1000, next_token=token, **options)
        hits += [(hit.row[0][0][1], hit.score) for hit in found.search_hits]
        token, options = found.next_token, {}
        if not token or isinstance(query, KnnVectorQuery):
            return hits


def check(service):
    """An index made anew over the rows that are there finds the same, with the same scores, as the one kept up."""
    table = Table.__new__(Table)
    table.client, table.name = ots_client(service, retry_policy=NoRetryPolicy()), "t"
    rows = rows_of(table.client)
    assert [key for key, _ in every_hit(table, MatchAllQuery(), "i")] == list(rows)
    table.index = "anew"
    table.create_index(FIELDS)
    for query in QUERIES:
        found = every_hit(table, query, "i", sort=BY_SCORE)
        assert found == every_hit(table, query, "anew", sort=BY_SCORE), vars(query)
    table.client.delete_search_index("t", "anew")
    assert [key for key, _ in every_hit(table, TermQuery("k", "red"), "i")] == [
        key for key, row in rows.items() if row.get("k") == "red"
    ]
    assert [key for key, _ in every_hit(table, TermQuery("ks", "blue"), "i")] == [
        key for key, row in rows.items() if '"blue"' in row.get("ks", "")
    ]
    return rows


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rows_and_index_agree(tmp_path):
    with Tablestore(tmp_path) as service:
        Table(ots_client(service, retry_policy=NoRetryPolicy()), FIELDS)
    chance = random.Random()
    acknowledged = []
    for run in range(1, RUNS + 1):
        command = [sys.executable, str(Path(__file__).with_name("writer.py")), str(tmp_path), str(run)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
            assert writer.stdout.readline() == b"writing\n", writer.stderr.read()
            timer = threading.Timer(chance.uniform(0.0, 0.08), writer.kill)
            timer.start()
            # Read all the while, so that it is killed when it writes and not when it waits to report.
            reported = [int(line) for line in writer.stdout.read().split(b"\n")[:-1]]
            timer.join()
        acknowledged += reported
        with Tablestore(tmp_path) as service:
            rows = check(service)
        # Rows are deleted three steps after they were written.
        assert set(reported[-3:]) <= rows.keys()
    assert len(acknowledged) > RUNS


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_index_killed_while_it_is_made(tmp_path):
    """It is there as a whole, or not at all."""
    with Tablestore(tmp_path) as service:
        table = Table(ots_client(service, retry_policy=NoRetryPolicy()), FIELDS)
        table.put_many(
            {key: {"k": WORDS[key % 5], "n": key, "text": "red one " * 5, "v": [key, 1]} for key in range(2000)}
        )
        table.client.delete_search_index("t", "i")
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from langchain_tablestore_memory.local import Tablestore, ots_client\n"
        "from search_conformance.test_crash import FIELDS\n"
        "from tablestore import SearchIndexMeta\n"
        "client = ots_client(Tablestore(Path(sys.argv[1])))\n"
        "print('ready', flush=True)\n"
        "client.create_search_index('t', 'i', SearchIndexMeta(FIELDS))\n"
        "print('made', flush=True)\n"
    )
    chance = random.Random()
    for _ in range(8):
        command = [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parents[1])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n", process.stderr.read()
            timer = threading.Timer(chance.uniform(0.0, 0.3), process.kill)
            timer.start()
            done = b"made" in process.stdout.read()
            timer.join()
        with Tablestore(tmp_path) as service:
            client = ots_client(service, retry_policy=NoRetryPolicy())
            there = [index for _, index in client.list_search_index("t")]
            assert there == ["i"] or (there == [] and not done)
            if there:
                assert len(check(service)) == 2000
                client.delete_search_index("t", "i")
