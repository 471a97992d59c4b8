"""Time-to-live: what has expired is never found, never returned, and does not stay in the file."""

from __future__ import annotations

import sqlite3

import pytest
from tablestore import (
    BatchWriteRowRequest,
    ColumnReturnType,
    ColumnsToGet,
    Condition,
    ExistsQuery,
    KnnVectorQuery,
    MatchAllQuery,
    MatchQuery,
    PutRowItem,
    Row,
    TableInBatchWriteRowItem,
    TableOptions,
    TermQuery,
)

from langchain_tablestore_memory.local import Tablestore, ots_client
from langchain_tablestore_memory.local.engine import Engine

from .support import EVERYTHING, Table, refused

DAY = 86_400
FILE = "local.sqlite3"


class Clocked(Tablestore):
    """A service whose time is set by tests."""

    now = 1_700_000_000.0

    def __init__(self, folder, **options):
        super().__init__(folder, **options)
        delay = options.get("index_delay", 0.0)
        self._engines["local"] = Engine(folder / FILE, clock=lambda: self.now, index_delay=delay)


@pytest.fixture
def service(tmp_path):
    with Clocked(tmp_path) as service:
        yield service


def make_table(service, table_life, index_life):
    options = TableOptions(table_life, allow_update=False, max_time_deviation=DAY)
    return Table(ots_client(service), options=options, index_time_to_live=index_life)


def put_many(table, keys, **columns):
    request = BatchWriteRowRequest()
    rows = [PutRowItem(Row([("id", key)], list(columns.items())), Condition("IGNORE")) for key in keys]
    request.add(TableInBatchWriteRowItem("t", rows))
    assert table.client.batch_write_row(request).is_all_succeed()


def stored(folder):
    """How many rows the SQLite tables of the index have, by the last part of their names."""
    connection = sqlite3.connect(folder / FILE)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    counts = {
        name.partition("_0_")[2]: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        for name in names
        if name.endswith(("_docs", "_values", "_text_4", "_vectors_8"))
    }
    connection.close()
    return counts


ROW = {"text": "green tea", "word": "a", "tags": '["x"]', "vector": "[1, 0]"}


def seen(table):
    queries = (
        MatchAllQuery(),
        MatchQuery("text", "tea"),
        TermQuery("tags", "x"),
        KnnVectorQuery("vector", 99, [1.0, 0.0]),
    )
    assert len({tuple(table.ids(query)) for query in queries}) == 1
    return table.ids(queries[0])


@pytest.mark.parametrize(("table_life", "index_life"), [(DAY, -1), (2 * DAY, DAY), (-1, DAY)])
def test_expired_rows_are_not_found_and_get_swept(service, tmp_path, table_life, index_life):
    table = make_table(service, table_life, index_life)
    put_many(table, range(60), **ROW)
    service.now += DAY - 1
    put_many(table, range(100, 110), **ROW)
    assert len(seen(table)) == 70
    service.now += 2
    assert seen(table) == list(range(100, 110))
    # The writes of others sweep.
    put_many(table, range(200, 260), **ROW)
    assert set(stored(tmp_path).values()) == {70}
    assert seen(table) == [*range(100, 110), *range(200, 260)]


def test_a_swept_row_that_is_written_again_is_found_again(service):
    table = make_table(service, -1, DAY)
    put_many(table, [1], **ROW)
    service.now += 2 * DAY
    put_many(table, range(100, 160), **ROW)
    assert seen(table) == list(range(100, 160))
    # Though none of its columns has changed.
    put_many(table, [1], **ROW)
    assert seen(table) == [1, *range(100, 160)]


def test_expired_cells_are_not_returned(service):
    table = make_table(service, 2 * DAY, -1)
    old = int((service.now - DAY) * 1000)
    table.client.put_row("t", Row([("id", 1)], [("word", "a", old), ("text", "green tea")]))
    service.now += 1.5 * DAY
    for columns in (EVERYTHING, ColumnsToGet(["word", "text"], ColumnReturnType.SPECIFIED)):
        [(_, cells)] = table.search(ExistsQuery("text"), columns).rows
        assert [name for name, *_ in cells] == ["text"]


def test_the_life_of_an_index_is_within_its_tables(service):
    table = make_table(service, 3 * DAY, 2 * DAY)
    with refused(containing="must not be more than its table's"):
        table.client.update_table("t", TableOptions(DAY))
    with refused():
        table.client.update_table("t", TableOptions(allow_update=True))
    table.client.update_table("t", TableOptions(2 * DAY))


def test_sweeping_does_not_end_a_delay(tmp_path):
    with Clocked(tmp_path, index_delay=100.0) as service:
        table = make_table(service, DAY, -1)
        put_many(table, [1], **ROW)
        service.now += 2 * DAY
        put_many(table, range(100, 160), **ROW)
        assert seen(table) == []
        service.now += 101
        assert seen(table) == list(range(100, 160))
        assert set(stored(tmp_path).values()) == {60}
