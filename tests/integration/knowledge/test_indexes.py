"""The search index is made, attached to, verified, and made again where it vanished."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import tablestore
from core.support import WatchedTablestore
from tablestore import SyncPhase

from langchain_tablestore_memory import ConfigurationError, Document, KnowledgeStore, SchemaMismatchError


@pytest.fixture
def sync(engine):
    """A connection in sync mode."""
    return WatchedTablestore.connection(engine, "sync")


async def test_setup_makes_table_and_index(store, engine, sync):
    await store.setup()
    await store.setup()
    assert sync.client.list_search_index("knowledge") == [("knowledge", "knowledge_search_index")]
    meta, _ = sync.client.describe_search_index("knowledge", "knowledge_search_index")
    fields = {field.field_name: field for field in meta.fields}
    assert list(fields) == [
        "document_id",
        "tenant_id",
        "text",
        "embedding",
        "year",
        "price",
        "lang",
        "public",
        "tags",
        "title",
    ]
    assert fields["embedding"].vector_options.dimension == 3
    assert fields["embedding"].vector_options.metric_type == tablestore.VectorMetricType.VM_COSINE
    assert fields["text"].analyzer == tablestore.AnalyzerType.MAXWORD
    assert fields["tags"].is_array


async def test_constructing_sends_nothing_and_the_first_call_sets_up(store, engine):
    assert engine.taken() == []
    await store.put_document(Document("d1", text="tea"))
    assert "CreateSearchIndex" in engine.taken()
    await store.put_document(Document("d2", text="tea"))
    assert engine.taken() == ["BatchWriteRow"]
    await store.full_text_search("tea")
    assert engine.taken() == ["Search"]


async def test_what_vanished_is_made_again(store, sync):
    await store.put_document(Document("d1", text="tea"))
    sync.client.delete_search_index("knowledge", "knowledge_search_index")
    assert len((await store.full_text_search("tea")).items) == 1
    sync.client.delete_search_index("knowledge", "knowledge_search_index")
    sync.client.delete_table("knowledge")
    assert (await store.full_text_search("tea")).items == []
    await store.put_document(Document("d1", text="tea"))
    assert len((await store.full_text_search("tea")).items) == 1


def test_an_index_that_another_process_is_building_is_waited_for(engine, monkeypatch):
    first, second = (WatchedTablestore.connection(engine, "sync") for _ in range(2))
    KnowledgeStore(first, 3).setup()
    describe, phases = second.client.describe_search_index, [SyncPhase.FULL, SyncPhase.FULL, SyncPhase.INCR]

    def building(*arguments):
        meta, state = describe(*arguments)
        state.sync_phase = phases.pop(0)
        return meta, state

    monkeypatch.setattr(second.client, "describe_search_index", building)
    KnowledgeStore(second, 3).setup()
    assert phases == []


async def test_an_index_of_another_name_is_found(open_store, sync):
    await open_store(search_index_name="knowledge_search_index_name").setup()
    other = open_store()
    assert (await other.index()).name == "knowledge_search_index_name"
    assert len(sync.client.list_search_index("knowledge")) == 1


async def test_a_second_index_serves_other_fields(open_store):
    first = open_store()
    await first.put_document(Document("d1", metadata={"year": 1, "colour": "red"}))
    second = open_store(search_index_name="by_colour", filterable={"colour": str})
    assert await second.count_documents(metadata_filter={"colour": "red"}) == 1
    hit = (await second.search_documents()).items[0]
    assert hit.document.metadata == {"year": 1, "colour": "red"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"vector_dimension": 4}, "has vectors of 3 dimensions, not 4"),
        ({"vector_metric_type": "euclidean"}, "compares vectors by cosine, not by euclidean"),
        ({"filterable": {"colour": str}}, "lacks the field 'colour'; it has document_id"),
        ({"filterable": {"year": float}}, "has a field 'year' for integers, not for floats"),
        ({"filterable": {"lang": list[str]}}, "has a field 'lang' for text that is compared as a whole, not for lists"),
        ({"text_field": "content"}, "lacks the field 'content'"),
    ],
)
async def test_an_index_that_does_not_fit_is_refused(store, open_store, options, reason):
    await store.setup()
    with pytest.raises(SchemaMismatchError, match=f"'knowledge_search_index' of table 'knowledge' {reason}"):
        await open_store(**options).search_documents()


async def test_a_table_that_does_not_fit_is_refused(store, sync):
    options = tablestore.TableOptions(), tablestore.ReservedThroughput(tablestore.CapacityUnit(0, 0))
    sync.client.create_table(tablestore.TableMeta("knowledge", [("id", "STRING")]), *options)
    with pytest.raises(SchemaMismatchError, match="primary key"):
        await store.setup()


async def test_tables_of_other_tools_with_one_key_column(open_store):
    store = open_store(table_name="other", id_field="id", tenant_field=None, text_field="content")
    await store.put_document(Document("d1", text="tea", embedding=[1, 0, 0], metadata={"year": 1}))
    assert (await store.full_text_search("tea")).items[0].document == Document("d1", text="tea", metadata={"year": 1})
    await store.update_by_filter({"year": 1}, {"year": 2})
    assert await store.delete_by_filter({"year": 2}) == 1


def test_several_at_once(engine):
    with ThreadPoolExecutor(4) as pool:
        stores = [KnowledgeStore(WatchedTablestore.connection(engine, "sync"), 3) for _ in range(4)]
        list(pool.map(lambda store: store.setup(), stores))
    assert engine.calls.count("CreateTable") >= 1


def test_fields_by_the_sdk_s_schema(sync):
    fields = [
        tablestore.FieldSchema("year", tablestore.FieldType.LONG),
        tablestore.FieldSchema("title", tablestore.FieldType.TEXT, analyzer=tablestore.AnalyzerType.SINGLEWORD),
    ]
    store = KnowledgeStore(sync, 3, search_index_schema=fields)
    store.put_document(Document("d1", metadata={"year": 1, "title": "green tea"}))
    assert store.count_documents(metadata_filter={"title": {"$phrase": "green tea"}, "year": 1}) == 1
    mixed = KnowledgeStore(sync, 3, table_name="mixed", filterable={"year": int, "title": fields[1]})
    assert "title" in mixed.index().fields


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"filterable": {"a": dict}}, r"filterable\['a'\] is <class 'dict'>. Give str, int"),
        ({"filterable": {"a": "keyword"}}, "'keyword'"),
        ({"filterable": {"a b": str}}, "'a b' cannot be a column"),
        ({"filterable": {"text": str}}, "'text' is a column of every document, a TEXT field"),
        ({"filterable": {"embedding": str}}, "'embedding' is a column of every document, a VECTOR field"),
        ({"filterable": {"tenant_id": int}}, "'tenant_id' is a column of every document, a KEYWORD field"),
        ({"filterable": {"lc_x": str}}, "'lc_x' cannot be a column"),
        ({"filterable": ["a"]}, "Give names with types"),
        ({"filterable": {"a": tablestore.FieldSchema("b", tablestore.FieldType.LONG)}}, "of 'b'"),
        ({"filterable": {}, "search_index_schema": []}, "not both"),
        ({"vector_dimension": 0}, "1 to 4096"),
        ({"vector_dimension": 5000}, "1 to 4096"),
        ({"vector_metric_type": "manhattan"}, "'cosine', 'euclidean', 'dot_product'"),
        ({"text_field": "embedding"}, "Name them apart"),
    ],
)
def test_settings_that_cannot_be_are_refused(sync, options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        KnowledgeStore(sync, **{"vector_dimension": 3, **options})
