"""Searches while others write: each sees one state of the index, at least as new as its beginning."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from tablestore import KnnVectorQuery, MatchPhraseQuery, MatchQuery, NoRetryPolicy, OTSServiceError

from langchain_tablestore_memory.local import Tablestore, ots_client

from .support import Table

WRITES = 60
QUERIES = [MatchQuery("text", "tea"), MatchPhraseQuery("text", "green tea"), KnnVectorQuery("vector", 1000, [1.0, 0.5])]


def attach(service):
    table = Table.__new__(Table)
    table.client, table.name = ots_client(service, retry_policy=NoRetryPolicy()), "t"
    return table


def test_searches_while_rows_are_written(tmp_path):
    written = [0]
    problems = []
    done = threading.Event()

    def search(query):
        table = attach(service)
        while not done.is_set():
            least = written[0]
            found = len(table.scores(query, limit=1000))
            most = written[0] + 1
            if not least <= found <= most:
                problems.append((query, least, found, most))

    def run(query):
        try:
            search(query)
        except Exception as error:
            problems.append(error)
            raise

    with Tablestore(tmp_path, durability="normal") as service:
        Table(ots_client(service))
        writer = attach(service)
        threads = [threading.Thread(target=run, args=(query,)) for query in QUERIES * 2]
        for thread in threads:
            thread.start()
        try:
            for number in range(WRITES):
                writer.put(number, text="green tea", vector=[1, number])
                written[0] = number + 1
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert problems == []
        for query in QUERIES:
            assert writer.ids(query) == list(range(WRITES))


def test_a_search_that_is_interrupted(monkeypatch):
    """By Ctrl-C, or for want of memory, while it takes over what has been written: the next one takes all of it."""

    def write(table, numbers, length):
        for number in numbers:
            table.put(number, text="tea " * length)

    def interrupt(*_):
        raise MemoryError

    query = MatchQuery("text", "tea")
    with Tablestore(None) as service, Tablestore(None) as other:
        table, expected = Table(ots_client(service, retry_policy=NoRetryPolicy())), Table(ots_client(other))
        write(table, range(6), 2)
        table.scores(query)
        write(table, range(3), 9)
        with monkeypatch.context() as interrupted:
            interrupted.setattr(np, "count_nonzero", interrupt)
            with pytest.raises(OTSServiceError):
                table.scores(query)
        write(expected, range(3), 9)
        write(expected, range(3, 6), 2)
        assert table.scores(query) == expected.scores(query)


@pytest.mark.parametrize("query", QUERIES, ids=["words", "phrase", "vector"])
def test_a_search_that_is_always_overtaken(tmp_path, query):
    """It finds what it sees, by itself: here others claim to have seen states that never come."""
    with Tablestore(tmp_path) as service:
        table = Table(ots_client(service))
        table.put(1, text="green tea", vector=[1, 0])
        expected = table.scores(query)
        caches = service._engine("local")._calls["Search"].__self__._caches
        [index] = caches._indexes.values()
        for kept in (*index._matrices.values(), *index._postings.values()):
            kept._seq += 1000
        assert table.scores(query) == expected
        assert list(expected) == [1]
