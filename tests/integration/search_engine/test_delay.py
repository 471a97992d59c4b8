"""The switch that delays the search index: by `Tablestore`, by `connect`, and on the command line."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from tablestore import KnnVectorQuery, MatchAllQuery, MatchQuery, NoRetryPolicy, OTSClient, Row, TermQuery

from langchain_tablestore_memory import connect
from langchain_tablestore_memory.errors import ConfigurationError
from langchain_tablestore_memory.local import Tablestore, ots_client

from .support import Table

LONG = 3600.0


def lag(client):
    """How many seconds the index is behind, as DescribeSearchIndex tells."""
    state = client.describe_search_index("t", "i", include_sync_stat=True)[1]
    return time.time() - state.current_sync_timestamp / 1e9


def attach(client):
    table = Table.__new__(Table)
    table.client, table.name = client, "t"
    return table


def test_connect(tmp_path):
    with connect(f"local:{tmp_path}", index_delay=LONG) as late, connect(f"local:{tmp_path}") as prompt:
        table = Table(late.client)
        table.put(1, text="tea", vector=[1, 0])
        assert table.ids(MatchAllQuery()) == []
        assert lag(late.client) > 0
        # One without a delay waits for nothing.
        assert attach(prompt.client).ids(MatchQuery("text", "tea")) == [1]
        assert table.ids(KnnVectorQuery("vector", 5, [1.0, 0.0])) == [1]


def test_connect_in_memory():
    with connect("local::memory:", index_delay=LONG) as connection:
        table = Table(connection.client)
        table.put(1, word="a")
        assert table.ids(MatchAllQuery()) == []


@pytest.mark.parametrize("delay", [-1, float("inf"), float("nan"), "1", True, None])
def test_connect_refuses(delay):
    with pytest.raises(ConfigurationError, match=r"index_delay is .*\. Give seconds, 0 for none"):
        connect("local::memory:", index_delay=delay)


def test_only_the_embedded_engine_has_a_delay():
    with pytest.raises(ConfigurationError, match="serve --index-delay"):
        connect("https://instance.cn-hangzhou.ots.aliyuncs.com", instance_name="instance", index_delay=1)
    with pytest.raises(ConfigurationError, match="serve --index-delay"):
        connect(index_delay=1)


def test_sync_stat_tells_what_is_searchable(tmp_path):
    with Tablestore(tmp_path, index_delay=LONG) as service:
        client = ots_client(service)
        table = Table(client)
        assert lag(client) == pytest.approx(0, abs=5)
        before = time.time_ns()
        table.put(1, word="a")
        time.sleep(0.01)
        table.put(2, word="a")
        state = client.describe_search_index("t", "i", include_sync_stat=True)[1]
        # Up to the first write that waits.
        assert before - 10**6 <= state.current_sync_timestamp <= time.time_ns() - 10**7
    with Tablestore(tmp_path) as service:
        client = ots_client(service)
        assert attach(client).ids(TermQuery("word", "a")) == [1, 2]
        assert lag(client) == pytest.approx(0, abs=5)


def test_changes_become_visible_in_their_order():
    with Tablestore(None, index_delay=0.25) as service:
        table = Table(ots_client(service))
        table.put(1, word="a", text="one", vector=[1, 0])
        table.put(1, word="b", text="two")
        table.client.update_row("t", Row([("id", 1)], {"PUT": [("word", "c")]}), None)
        table.put(2, word="a")
        table.client.delete_row("t", Row([("id", 2)]), None)
        deadline = time.monotonic() + 30
        while table.ids(MatchAllQuery()) != [1] and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        assert (
            table.ids(MatchAllQuery())
            == table.ids(TermQuery("word", "c"))
            == table.ids(MatchQuery("text", "two"))
            == [1]
        )
        assert table.ids(MatchQuery("text", "one")) == table.ids(KnnVectorQuery("vector", 5, [1.0, 0.0])) == []


@pytest.mark.slow
def test_command_line(tmp_path):
    command = [
        sys.executable,
        "-m",
        "langchain_tablestore_memory.cli",
        "serve",
        "--port",
        "0",
        "--index-delay",
        str(LONG),
    ]
    with subprocess.Popen([*command, "--data", tmp_path], stdout=subprocess.PIPE, text=True) as process:
        try:
            endpoint = process.stdout.readline().split()[-1]
            client = OTSClient(endpoint, "local", "local", "local", retry_policy=NoRetryPolicy())
            table = Table(client)
            table.put(1, word="a")
            assert table.ids(MatchAllQuery()) == []
            assert lag(client) > 0
        finally:
            process.terminate()
    with Tablestore(tmp_path) as service:
        assert attach(ots_client(service)).ids(TermQuery("word", "a")) == [1]
