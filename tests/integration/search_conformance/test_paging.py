"""Order, pages, counts, columns, hits and routing (reference section 21)."""

from __future__ import annotations

import random

import pytest
from tablestore import (
    ColumnReturnType,
    ColumnsToGet,
    FieldSchema,
    FieldSort,
    FieldType,
    IndexSetting,
    MatchAllQuery,
    MatchQuery,
    PrimaryKeySort,
    RangeQuery,
    Row,
    ScoreSort,
    SearchIndexMeta,
    SearchQuery,
    Sort,
    SortMode,
    SortOrder,
    TermQuery,
)

from .support import (
    ALL,
    BY_SCORE,
    FROM_INDEX,
    IGNORE,
    INVALID,
    NOTHING,
    Table,
    by_field,
    columns_of,
    create_table,
    key_of,
    only,
    service_error,
    text_field,
)

FIELDS = [
    FieldSchema("n", FieldType.LONG),
    FieldSchema("k", FieldType.KEYWORD),
    FieldSchema("ns", FieldType.LONG, is_array=True),
    text_field("text"),
]
EVERY = MatchAllQuery()


@pytest.fixture
def rows():
    chance = random.Random(4)
    return {
        key: {
            "n": chance.choice([None, 1, 2, 3]),
            "k": chance.choice("abc"),
            "ns": [chance.randint(0, 9) for _ in range(chance.randint(0, 3))],
            "text": chance.choice(["red", "red blue", "blue blue"]),
            "other": key,
        }
        for key in range(25)
    }


@pytest.fixture
def table(client, rows):
    found = Table(client, FIELDS)
    found.put_many(rows)
    return found


def pages(table, query, columns=NOTHING, **options):
    """All pages by token, as lists of keys."""
    found = table.search(query, columns, **options)
    yield [key_of(row) for row in found.rows]
    options.pop("sort", None)
    while found.next_token:
        found = table.search(query, columns, next_token=found.next_token, **options)
        yield [key_of(row) for row in found.rows]


class TestOrder:
    def test_key_order_is_the_default(self, table, rows):
        assert table.keys(EVERY) == sorted(rows)
        assert table.keys(EVERY, sort=Sort([PrimaryKeySort(SortOrder.DESC)])) == sorted(rows, reverse=True)

    @pytest.mark.parametrize("order", SortOrder)
    def test_field_with_ties_by_key_and_missing_values_last(self, table, rows, order):
        sign = 1 if order == SortOrder.ASC else -1
        expected = sorted(rows, key=lambda key: (rows[key]["n"] is None, sign * (rows[key]["n"] or 0), key))
        assert table.keys(EVERY, sort=by_field("n", order)) == expected

    def test_several_fields(self, table, rows):
        expected = sorted(rows, key=lambda key: (rows[key]["k"], rows[key]["n"] is None, -(rows[key]["n"] or 0), key))
        assert table.keys(EVERY, sort=Sort([FieldSort("k"), FieldSort("n", SortOrder.DESC)])) == expected

    @pytest.mark.parametrize(("mode", "pick"), [(None, min), (SortMode.MIN, min), (SortMode.MAX, max)])
    def test_arrays(self, table, rows, mode, pick):
        expected = sorted(rows, key=lambda key: (not rows[key]["ns"], pick(rows[key]["ns"] or [0]), key))
        assert table.keys(EVERY, sort=by_field("ns", mode=mode)) == expected

    def test_score_then_field(self, table, rows):
        scores = table.scores(MatchQuery("text", "red"))
        sort = Sort([ScoreSort(), FieldSort("k", SortOrder.DESC)])
        expected = sorted(scores, key=lambda key: (-scores[key], -ord(rows[key]["k"]), key))
        assert table.keys(MatchQuery("text", "red"), sort=sort) == expected

    @pytest.mark.parametrize("name", ["nothing", "text", "other"])
    def test_refused(self, table, name):
        with service_error(INVALID, name):
            table.search(EVERY, sort=by_field(name))


class TestPages:
    def test_ten_by_default(self, table):
        assert table.keys(EVERY, limit=None) == list(range(10))

    def test_offset_and_limit(self, table):
        assert table.keys(EVERY, offset=5, limit=3) == [5, 6, 7]
        assert table.keys(EVERY, offset=24, limit=3) == [24]
        assert table.keys(EVERY, offset=25, limit=3) == []

    @pytest.mark.parametrize("limit", [1, 4, 5, 10, 25, 26])
    @pytest.mark.parametrize("sort", [None, by_field("n", SortOrder.DESC), by_field("ns"), BY_SCORE], ids=str)
    def test_tokens_lead_through_all(self, table, sort, limit):
        query = MatchQuery("text", "red blue")
        found = list(pages(table, query, limit=limit, sort=sort))
        assert [key for page in found for key in page] == table.keys(query, sort=sort)
        # A full page always has a token, even when nothing is left.
        assert all(len(page) == limit for page in found[:-1])
        assert len(found[-1]) < limit

    def test_no_token_on_a_short_page(self, table):
        assert table.search(EVERY, limit=26).next_token == b""
        assert table.search(EVERY, limit=25).next_token

    def test_sort_may_be_repeated(self, table):
        sort = by_field("n")
        first = table.search(EVERY, limit=5, sort=sort)
        second = table.search(EVERY, limit=5, sort=sort, next_token=first.next_token)
        assert [key_of(row) for row in (*first.rows, *second.rows)] == table.keys(EVERY, sort=sort)[:10]

    def test_writes_between_pages(self, table):
        first = table.search(EVERY, limit=5)
        table.delete(2)
        table.put(-1)
        second = table.search(EVERY, limit=5, next_token=first.next_token)
        assert [key_of(row) for row in second.rows] == [5, 6, 7, 8, 9]

    def test_token_and_offset(self, table):
        token = table.search(EVERY, limit=5).next_token
        with service_error(INVALID):
            table.search(EVERY, limit=5, offset=5, next_token=token)

    def test_broken_token(self, table):
        with service_error(INVALID):
            table.search(EVERY, next_token=b"no token")

    @pytest.mark.parametrize(
        "options", [{"limit": -1}, {"offset": -1}, {"limit": 1001}, {"offset": 100_000, "limit": 1}], ids=str
    )
    def test_limits(self, table, options):
        with service_error(INVALID):
            table.search(EVERY, **options)

    def test_total(self, table):
        assert table.search(EVERY, limit=3).total_count == -1
        assert table.search(EVERY, limit=3, get_total_count=True).total_count == 25
        assert table.search(RangeQuery("n", 2, None), limit=0, get_total_count=True).total_count == len(
            table.keys(RangeQuery("n", 2, None))
        )

    def test_none_asked(self, table):
        found = table.search(EVERY, limit=0)
        assert list(found.rows) == []
        assert found.next_token == b""


class TestColumns:
    @pytest.mark.parametrize("sort", [None, BY_SCORE, by_field("n")], ids=str)
    def test_selections(self, client, sort):
        table = Table(client, FIELDS, rows={1: {"n": 1, "text": "red", "ns": [1, 2], "other": "x", "k": None}})

        def columns(selection):
            (row,) = table.search(EVERY, selection, sort=sort).rows
            assert row[0] == [("pk", 1)]
            names = [name for name, *_ in row[1]]
            assert names == sorted(names)
            return columns_of(row)

        assert columns(ALL) == {"n": 1, "ns": "[1, 2]", "other": "x", "text": "red"}
        assert columns(FROM_INDEX) == {"n": 1, "ns": "[1, 2]", "text": "red"}
        assert columns(NOTHING) == {}
        assert columns(None) == {}
        assert columns(only("other", "n", "nothing")) == {"n": 1, "other": "x"}
        assert columns(only("pk", "n")) == {"n": 1}

    def test_a_column_that_does_not_fit_is_still_returned(self, client):
        table = Table(client, FIELDS, rows={1: {"n": "many"}})
        (row,) = table.search(EVERY, ALL).rows
        assert columns_of(row) == {"n": "many"}

    def test_specified_without_names(self, table):
        (row, *_) = table.search(EVERY, ColumnsToGet([], ColumnReturnType.SPECIFIED)).rows
        assert columns_of(row) == {}


class TestRouting:
    def test_routing_keys_do_not_filter(self, client):
        create_table(client, key=[("a", "STRING"), ("b", "INTEGER")])
        meta = SearchIndexMeta([FieldSchema("n", FieldType.LONG)], IndexSetting(["a"]))
        client.create_search_index("t", "i", meta)
        for number in range(6):
            client.put_row("t", Row([("a", f"u{number % 2}"), ("b", number)], [("n", number)]), IGNORE)
        for routing in (None, [[("a", "u0")]], [[("a", "u0")], [("a", "u1")]]):
            found = client.search("t", "i", SearchQuery(RangeQuery("n", 1, None)), NOTHING, routing)
            assert [row[0] for row in found.rows] == [
                [("a", f"u{number % 2}"), ("b", number)] for number in (2, 4, 1, 3, 5)
            ]

    def test_key_columns_are_searched_when_declared(self, client):
        table = Table(client, [FieldSchema("pk", FieldType.LONG)], rows={1: {}, 2: {}})
        assert table.keys(TermQuery("pk", 2)) == [2]
