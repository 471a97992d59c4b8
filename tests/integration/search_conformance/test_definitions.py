"""Search indexes are created, described, listed, updated and deleted; mistakes are refused (reference section 15)."""

from __future__ import annotations

import time

import pytest
from tablestore import (
    AnalyzerType,
    FieldSchema,
    FieldSort,
    FieldType,
    FuzzyAnalyzerParameter,
    IndexSetting,
    MatchAllQuery,
    OTSServiceError,
    PrimaryKeySort,
    SearchIndexMeta,
    SearchQuery,
    SingleWordAnalyzerParameter,
    Sort,
    SortOrder,
    SplitAnalyzerParameter,
    SyncPhase,
    VectorMetricType,
)

from .support import INVALID, Table, create_table, service_error, text_field, vector_field

KEYWORD = FieldSchema("k", FieldType.KEYWORD)


def describe(client, index="i", table="t"):
    return client.describe_search_index(table, index)


class TestDescription:
    @pytest.mark.parametrize(
        "field",
        [
            FieldSchema("f", FieldType.KEYWORD, index=True, enable_sort_and_agg=True, store=True),
            FieldSchema("f", FieldType.KEYWORD, is_array=True),
            FieldSchema("f", FieldType.LONG, index=True, enable_sort_and_agg=False),
            FieldSchema("f", FieldType.DOUBLE, store=False),
            FieldSchema("f", FieldType.BOOLEAN),
            FieldSchema("f", FieldType.DATE, date_formats=["yyyy-MM-dd", "epoch_millis"]),
            text_field("f", AnalyzerType.MAXWORD),
            text_field("f", AnalyzerType.MINWORD),
            text_field("f", AnalyzerType.SINGLEWORD, SingleWordAnalyzerParameter(True, True)),
            text_field("f", AnalyzerType.SPLIT, SplitAnalyzerParameter("|")),
            text_field("f", AnalyzerType.FUZZY, FuzzyAnalyzerParameter(2, 4)),
            vector_field("f", 4, VectorMetricType.VM_COSINE),
            vector_field("f", 8, VectorMetricType.VM_EUCLIDEAN),
            vector_field("f", 16, VectorMetricType.VM_DOT_PRODUCT),
        ],
        ids=lambda field: f"{field.field_type.name}-{field.analyzer}-{field.is_array}",
    )
    def test_a_field_is_told_as_given(self, client, field):
        Table(client, [field])
        (found,) = describe(client)[0].fields
        for name in ("field_name", "field_type", "date_formats"):
            assert getattr(found, name) == getattr(field, name)
        for name in ("index", "store", "is_array", "enable_sort_and_agg", "analyzer"):
            if getattr(field, name) is not None:
                assert getattr(found, name) == getattr(field, name), name
        for name in ("analyzer_parameter", "vector_options"):
            given = getattr(field, name)
            if given is not None:
                assert vars(getattr(found, name)) == vars(given), name

    def test_defaults(self, client):
        Table(client, [KEYWORD])
        meta, stat = describe(client)
        (field,) = meta.fields
        assert (field.enable_sort_and_agg, bool(field.is_array)) == (False, False)
        assert meta.index_setting.routing_fields == []
        (sorter,) = meta.index_sort.sorters
        assert isinstance(sorter, PrimaryKeySort)
        assert sorter.sort_order == SortOrder.ASC
        assert meta.time_to_live == -1
        assert stat.sync_phase == SyncPhase.INCR
        # Nanoseconds.
        assert abs(stat.current_sync_timestamp / 1e9 - time.time()) < 60

    def test_order_of_fields_is_kept(self, client):
        names = ["z", "a", "m", "B"]
        Table(client, [FieldSchema(name, FieldType.LONG) for name in names])
        assert [field.field_name for field in describe(client)[0].fields] == names

    def test_routing_and_sort(self, client):
        create_table(client, key=[("a", "STRING"), ("b", "INTEGER")])
        sort = Sort([FieldSort("n", SortOrder.DESC)])
        meta = SearchIndexMeta([FieldSchema("n", FieldType.LONG, enable_sort_and_agg=True)], IndexSetting(["a"]), sort)
        client.create_search_index("t", "i", meta)
        found, _ = describe(client)
        assert found.index_setting.routing_fields == ["a"]
        assert found.index_sort.sorters[0].field_name == "n"
        assert found.index_sort.sorters[0].sort_order == SortOrder.DESC

    def test_primary_key_sort_descending(self, client):
        table = Table(client, [KEYWORD], rows={1: {}, 2: {}}, index_sort=Sort([PrimaryKeySort(SortOrder.DESC)]))
        assert describe(client)[0].index_sort.sorters[0].sort_order == SortOrder.DESC
        assert table.keys(MatchAllQuery()) == [2, 1]

    def test_index_sort_is_the_order_of_results(self, client):
        field = FieldSchema("n", FieldType.LONG, enable_sort_and_agg=True)
        table = Table(client, [field], index_sort=Sort([FieldSort("n", SortOrder.DESC)]))
        table.put_many({1: {"n": 5}, 2: {"n": 9}, 3: {"n": 7}})
        assert table.keys(MatchAllQuery()) == [2, 3, 1]

    def test_without_sync_stat(self, client):
        Table(client, [KEYWORD])
        meta, _ = client.describe_search_index("t", "i", False)
        assert [field.field_name for field in meta.fields] == ["k"]


class TestList:
    def test_of_all_and_of_one_table(self, client):
        Table(client, [KEYWORD])
        Table(client, [KEYWORD], name="v", index="j")
        assert sorted(client.list_search_index()) == [("t", "i"), ("v", "j")]
        assert client.list_search_index("v") == [("v", "j")]

    def test_several_of_one_table(self, client):
        Table(client, [KEYWORD])
        client.create_search_index("t", "j", SearchIndexMeta([FieldSchema("n", FieldType.LONG)]))
        assert sorted(client.list_search_index("t")) == [("t", "i"), ("t", "j")]

    def test_none(self, client):
        create_table(client)
        assert client.list_search_index("t") == []
        assert client.list_search_index() == []

    def test_missing_table(self, client):
        with pytest.raises(OTSServiceError, match="does not exist"):
            client.list_search_index("nothing")


class TestRefusals:
    def test_missing_table(self, client):
        with pytest.raises(OTSServiceError, match="does not exist"):
            client.create_search_index("nothing", "i", SearchIndexMeta([KEYWORD]))

    def test_repeated_index(self, client):
        Table(client, [KEYWORD])
        with pytest.raises(OTSServiceError):
            client.create_search_index("t", "i", SearchIndexMeta([KEYWORD]))
        assert client.list_search_index() == [("t", "i")]

    @pytest.mark.parametrize("call", ["describe_search_index", "delete_search_index"])
    def test_missing_index(self, client, call):
        create_table(client)
        with service_error("OTSMetaNotMatch", r"search index \[nothing\] does not exist"):
            getattr(client, call)("t", "nothing")

    def test_searching_a_missing_index(self, client):
        create_table(client)
        with service_error("OTSMetaNotMatch", r"search index \[nothing\] does not exist"):
            client.search("t", "nothing", SearchQuery(MatchAllQuery()))

    def test_searching_a_missing_table(self, client):
        with pytest.raises(OTSServiceError, match="not exist"):
            client.search("nothing", "i", SearchQuery(MatchAllQuery()))

    def test_several_versions(self, client):
        create_table(client, max_version=2)
        with service_error(INVALID):
            client.create_search_index("t", "i", SearchIndexMeta([KEYWORD]))

    def test_time_to_live_of_an_updatable_table(self, client):
        create_table(client, time_to_live=86400 * 2)
        with service_error(INVALID):
            client.create_search_index("t", "i", SearchIndexMeta([KEYWORD]))

    def test_routing_by_a_column_outside_the_key(self, client):
        create_table(client)
        with service_error(INVALID, "k"):
            client.create_search_index("t", "i", SearchIndexMeta([KEYWORD], IndexSetting(["k"])))

    @pytest.mark.parametrize(
        "fields",
        [
            [KEYWORD, FieldSchema("k", FieldType.LONG)],
            [FieldSchema("", FieldType.LONG)],
            [FieldSchema("x", FieldType.VECTOR)],
            [vector_field("x", 0)],
            [vector_field("x", 4097)],
            [vector_field(f"x{number}") for number in range(6)],
            [FieldSchema("x", FieldType.DATE)],
            [text_field("x", "no_such_analyser")],
            [text_field("x", AnalyzerType.FUZZY, FuzzyAnalyzerParameter(1, 8))],
        ],
        ids=["twice", "unnamed", "options", "dimension 0", "dimension 4097", "6 vectors", "date", "analyser", "fuzzy"],
    )
    def test_fields(self, client, fields):
        create_table(client)
        with service_error(INVALID):
            client.create_search_index("t", "i", SearchIndexMeta(fields))
        assert client.list_search_index() == []

    def test_largest_vectors(self, client):
        Table(client, [vector_field("x", 4096), *(vector_field(f"x{number}") for number in range(4))])
        assert len(describe(client)[0].fields) == 5

    def test_index_sort_by_a_missing_field(self, client):
        create_table(client)
        with service_error(INVALID, "nothing"):
            client.create_search_index("t", "i", SearchIndexMeta([KEYWORD], index_sort=Sort([FieldSort("nothing")])))


class TestUpdate:
    def test_time_to_live(self, client):
        create_table(client, time_to_live=86400 * 3, allow_update=False)
        client.create_search_index("t", "i", SearchIndexMeta([KEYWORD], time_to_live=86400))
        assert describe(client)[0].time_to_live == 86400
        client.update_search_index("t", "i", SearchIndexMeta(None, time_to_live=86400 * 2))
        assert describe(client)[0].time_to_live == 86400 * 2
        assert [field.field_name for field in describe(client)[0].fields] == ["k"]

    @pytest.mark.parametrize("seconds", [0, 86399, 86400 * 4])
    def test_refused(self, client, seconds):
        create_table(client, time_to_live=86400 * 3, allow_update=False)
        client.create_search_index("t", "i", SearchIndexMeta([KEYWORD], time_to_live=86400))
        with service_error(INVALID):
            client.update_search_index("t", "i", SearchIndexMeta(None, time_to_live=seconds))
        assert describe(client)[0].time_to_live == 86400

    def test_missing_index(self, client):
        create_table(client)
        with service_error("OTSMetaNotMatch", r"search index \[nothing\] does not exist"):
            client.update_search_index("t", "nothing", SearchIndexMeta(None))


class TestDelete:
    def test_index_is_gone(self, client):
        table = Table(client, [KEYWORD], rows={1: {"k": "a"}})
        client.delete_search_index("t", "i")
        assert client.list_search_index() == []
        with service_error("OTSMetaNotMatch"):
            table.search(MatchAllQuery())
        table.put(2, k="b")
        table.create_index([KEYWORD])
        assert table.keys(MatchAllQuery()) == [1, 2]

    def test_table_with_an_index_stays(self, client):
        table = Table(client, [KEYWORD], rows={1: {"k": "a"}})
        with service_error(INVALID, r"Table\[t\] who has at least one search index cannot be deleted"):
            client.delete_table("t")
        assert table.keys(MatchAllQuery()) == [1]
        client.delete_search_index("t", "i")
        client.delete_table("t")
        assert client.list_table() == ()

    def test_a_new_table_of_the_same_name_starts_empty(self, client):
        Table(client, [KEYWORD], rows={1: {"k": "a"}})
        client.delete_search_index("t", "i")
        client.delete_table("t")
        assert Table(client, [KEYWORD]).keys(MatchAllQuery()) == []
