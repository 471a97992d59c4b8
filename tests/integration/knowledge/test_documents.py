"""Documents are stored, read, changed and deleted, and return exactly."""

from __future__ import annotations

import datetime as dt
import decimal

import numpy as np
import pytest
from core.support import MODES, metadata_with_types
from tablestore import Row

from langchain_tablestore_memory import Document, InvalidArgumentError, WriteError
from langchain_tablestore_memory.local.errors import RequestError

RICH = {
    "year": 2024,
    "price": 10,
    "lang": "zh",
    "public": False,
    "tags": ["a", "b"],
    "title": "Tea",
    "score": 1.5,
    "none": None,
    "nested": {"x": [1, {"y": None}]},
    "list": [1, "2", True],
    "tuple": (1, 2),
    "bytes": b"\xff",
    "id": "not ours",
    "text": "metadata, not the text",
    "embedding": "neither",
    "document_id": "nor this",
    "lc_metadata": "nor that",
    "with space": 1,
    "茶": "键",
    "when": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    "large": 10**30,
    "decimal": decimal.Decimal("1.10"),
}


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


class TestExactness:
    async def test_metadata_returns_exactly(self, store):
        await store.put_document(Document("d1", text="Tea", embedding=[1, 2, 3], metadata=dict(RICH)))
        found = await store.get_document("d1")
        assert metadata_with_types(found.metadata) == metadata_with_types(RICH)
        (hit,) = (await store.search_documents()).items
        assert metadata_with_types(hit.document.metadata) == metadata_with_types(RICH)
        (listed,) = await store.get_all_documents()
        assert metadata_with_types(listed.metadata) == metadata_with_types(RICH)

    @pytest.mark.parametrize(
        "metadata",
        [
            {"year": 2024.0},
            {"year": 2024.5},
            {"year": "2024"},
            {"year": None},
            {"price": 7},
            {"price": 2**53 + 1},
            {"price": float("nan")},
            {"tags": []},
            {"tags": ("a",)},
            {"tags": ["a", 1, None]},
            {"tags": '["a"]'},
            {"tags": "a"},
            {"lang": 5},
            {"public": 1},
            {"title": ["a"]},
        ],
    )
    async def test_values_that_do_not_fit_their_field_return_exactly(self, store, metadata):
        await store.put_document(Document("d1", metadata=metadata))
        for found in (await store.get_document("d1"), (await store.search_documents()).items[0].document):
            assert metadata_with_types(found.metadata) == metadata_with_types(metadata)

    @pytest.mark.parametrize("text", [None, "", "Tea", "茶" * 800_000])
    async def test_text_returns_exactly(self, open_store, text):
        store = open_store(analyzer="split")
        await store.put_document(Document("d1", text=text))
        assert (await store.get_document("d1")).text == text
        assert (await store.search_documents()).items[0].document.text == text

    @pytest.mark.parametrize("embedding", [[0.1, 0.2, 0.3], np.array([0.1, 0.2, 0.3], dtype=np.float32)])
    async def test_embeddings_return(self, store, embedding):
        await store.put_document(Document("d1", embedding=embedding))
        assert (await store.get_document("d1")).embedding == [0.1, 0.2, 0.3]
        assert (await store.get_document("d1", include_embedding=False)).embedding is None

    async def test_the_caller_s_objects_stay_as_they_were(self, store):
        document = Document("d1", text="Tea", embedding=[1, 2, 3], metadata={"year": 1})
        await store.put_document(document)
        assert document == Document("d1", text="Tea", embedding=[1, 2, 3], metadata={"year": 1})


class TestReading:
    async def test_many_in_the_order_of_the_ids(self, store, engine):
        await store.put_documents(Document(f"d{n:03}", text=str(n)) for n in range(250))
        wanted = [f"d{n:03}" for n in reversed(range(249))] + ["missing", "d000", "d000"]
        found = await store.get_documents(wanted, include_embedding=False)
        assert [document and document.document_id for document in found] == [
            None if name == "missing" else name for name in wanted
        ]
        assert await store.get_document("missing") is None
        assert await store.get_documents([]) == []

    async def test_everything_in_the_order_of_the_ids(self, store):
        await store.put_documents([Document(f"d{n}", embedding=[n, 0, 1]) for n in (2, 0, 1)])
        found = await store.get_all_documents()
        assert [(document.document_id, document.embedding) for document in found] == [
            ("d0", [0.0, 0.0, 1.0]),
            ("d1", [1.0, 0.0, 1.0]),
            ("d2", [2.0, 0.0, 1.0]),
        ]

    async def test_rows_of_other_tools(self, store, connection, mode):
        await store.setup()
        key = [("document_id", "d1"), ("tenant_id", "__default")]
        columns = [("text", "Tea"), ("embedding", "[1, 2, 3]"), ("year", 2024), ("colour", "red"), ("tags", '["a"]')]
        if mode == "sync":
            connection.client.put_row("knowledge", Row(key, columns))
        else:
            await (await connection.async_client()).put_row("knowledge", Row(key, columns))
        metadata = {"year": 2024, "colour": "red", "tags": ["a"]}
        assert await store.get_document("d1") == Document("d1", text="Tea", embedding=[1, 2, 3], metadata=metadata)
        (hit,) = (await store.search_documents(metadata_filter={"tags": {"$contains": "a"}})).items
        assert hit.document == Document("d1", text="Tea", metadata=metadata)
        await store.update_document(Document("d1", metadata={"colour": "blue"}))
        assert (await store.get_document("d1")).metadata == {**metadata, "colour": "blue"}

    async def test_a_column_that_another_tool_changed_counts(self, store, connection, mode):
        await store.put_document(Document("d1", metadata={"year": 1, "tags": ["a", "b"], "colour": "red"}))
        row = Row(
            [("document_id", "d1"), ("tenant_id", "__default")],
            {"PUT": [("year", 2), ("tags", '["a"]'), ("colour", "blue")]},
        )
        if mode == "sync":
            connection.client.update_row("knowledge", row, None)
        else:
            await (await connection.async_client()).update_row("knowledge", row, None)
        assert (await store.get_document("d1")).metadata == {"year": 2, "tags": ["a"], "colour": "blue"}

    async def test_a_longer_list_beside_a_column_of_another_tool(self, store, open_store, connection, mode):
        """A list that no search field could hold is no copy of the column, and is read all the same."""
        plain = open_store(filterable=None, table_name="plain")
        await plain.put_document(Document("d1", metadata={"colours": ["red"] * 300}))
        assert (await plain.get_document("d1")).metadata == {"colours": ["red"] * 300}
        row = Row([("document_id", "d1"), ("tenant_id", "__default")], {"PUT": [("colours", "blue")]})
        if mode == "sync":
            connection.client.update_row("plain", row, None)
        else:
            await (await connection.async_client()).update_row("plain", row, None)
        assert (await plain.get_document("d1")).metadata == {"colours": "blue"}

    @pytest.mark.parametrize("ids", ["d1", None, 5])
    async def test_ids_are_a_list(self, store, ids):
        for call in (store.get_documents(ids), store.delete_documents(ids)):
            with pytest.raises(InvalidArgumentError, match=r"The document ids are a .*Give a list"):
                await call


class TestWriting:
    async def test_putting_again_replaces_the_whole(self, store):
        await store.put_document(Document("d1", text="long " * 500_000, embedding=[1, 2, 3], metadata={"year": 1}))
        await store.put_document(Document("d1", metadata={"lang": "en"}))
        assert await store.get_document("d1") == Document("d1", metadata={"lang": "en"})

    async def test_of_several_with_one_id_the_last_counts(self, store):
        await store.put_documents([Document("d1", text=str(n)) for n in range(3)])
        assert (await store.get_document("d1")).text == "2"

    async def test_many_go_out_in_few_requests(self, store, engine):
        await store.setup()
        engine.taken()
        await store.put_documents([Document(f"d{n}") for n in range(450)])
        assert engine.taken() == ["BatchWriteRow"] * 3

    async def test_nothing_is_written_where_one_cannot_be(self, store, engine):
        await store.setup()
        engine.taken()
        documents = [Document("d1"), Document("d2", embedding=[1, 2])]
        with pytest.raises(
            InvalidArgumentError, match="The embedding of document 'd2' has 2 dimensions; this store has 3"
        ):
            await store.put_documents(documents)
        assert engine.taken() == []

    async def test_a_batch_that_fails_half_way_says_what_is_stored(self, store, engine):
        await store.setup()
        engine.fail_at("BatchWriteRow", 2, RequestError(400, "OTSParameterInvalid", "No."))
        with pytest.raises(WriteError) as raised:
            await store.put_documents([Document(f"d{n:03}") for n in range(450)])
        stored = {document.document_id for document in await store.get_all_documents()}
        assert {f"document {name!r}" for name in stored} == set(raised.value.stored)
        assert len(raised.value.stored) + len(raised.value.failed) == 450
        assert len(raised.value.failed) in {50, 200}

    @pytest.mark.parametrize(
        ("document", "reason"),
        [
            ("d1", "A str was given for a document"),
            (Document(""), "document_id is empty"),
            (Document(5), "document_id is a int"),
            (Document("d" * 1025), "document_id takes 1025 bytes"),
            (Document("d1", tenant_id="t1"), "this store has no tenants"),
            (Document("d1", text=5), "The text of document 'd1' is a int"),
            (Document("d1", text="a" * 5_000_000), "5000000 bytes"),
            (Document("d1", embedding=[1, 2, float("nan")]), "nan at position 2"),
            (Document("d1", embedding=[[1, 2, 3]]), "shape 1x3"),
            (Document("d1", metadata={1: 2}), "key of type int"),
            (Document("d1", metadata={"a": object()}), "metadata"),
            (Document("d1", metadata={"tags": ["a"] * 257}), r"metadata\['tags'\] of document 'd1' has 257 elements"),
        ],
    )
    async def test_what_cannot_be_stored_is_refused(self, store, document, reason):
        with pytest.raises(InvalidArgumentError, match=reason):
            await store.put_documents([document])

    async def test_documents_are_a_list_of_documents(self, store):
        with pytest.raises(InvalidArgumentError, match="Give a list"):
            await store.put_documents(Document("d1"))


class TestUpdating:
    async def test_what_is_not_given_stays(self, store):
        await store.put_document(
            Document("d1", text="Tea", embedding=[1, 2, 3], metadata={"year": 1, "nested": {"a": 1}})
        )
        await store.update_document(Document("d1", metadata={"year": None, "lang": "en"}))
        assert await store.get_document("d1") == Document(
            "d1", text="Tea", embedding=[1, 2, 3], metadata={"year": None, "nested": {"a": 1}, "lang": "en"}
        )
        await store.update_document(Document("d1", text="", embedding=[3, 2, 1]))
        found = await store.get_document("d1")
        assert (found.text, found.embedding) == ("", [3, 2, 1])
        assert found.metadata["lang"] == "en"

    async def test_searches_follow(self, store):
        await store.put_document(Document("d1", text="tea", embedding=[1, 0, 0], metadata={"year": 1, "tags": ["a"]}))
        await store.update_document(
            Document("d1", text="coffee", embedding=[0, 1, 0], metadata={"year": "?", "tags": ["b"]})
        )
        assert not (await store.full_text_search("tea")).items
        assert (await store.full_text_search("coffee")).items
        assert await store.count_documents(metadata_filter={"year": {"$exists": True}}) == 0
        assert await store.count_documents(metadata_filter={"tags": {"$contains": "a"}}) == 0
        assert await store.count_documents(metadata_filter={"tags": {"$contains": "b"}}) == 1

    async def test_long_text_leaves_nothing_behind(self, open_store):
        store = open_store(analyzer="split")
        await store.put_document(Document("d1", text="茶" * 800_000))
        await store.update_document(Document("d1", text="a" * 2_097_152))
        assert (await store.get_document("d1")).text == "a" * 2_097_152

    async def test_a_document_that_is_not_there_is_stored(self, store):
        await store.update_document(Document("d1", text="Tea", metadata={"year": 1}))
        assert await store.get_document("d1") == Document("d1", text="Tea", metadata={"year": 1})

    async def test_changes_of_one_document_build_on_each_other(self, store):
        await store.update_documents([Document("d1", metadata={f"k{n}": n}) for n in range(3)])
        assert (await store.get_document("d1")).metadata == {"k0": 0, "k1": 1, "k2": 2}

    async def test_nothing_is_written_where_nothing_changes(self, store, engine):
        await store.put_document(Document("d1", metadata={"year": 1}))
        engine.taken()
        await store.update_document(Document("d1", metadata={"year": 1}))
        assert engine.taken() == ["BatchGetRow"]


class TestDeleting:
    async def test_one_many_and_all(self, store):
        await store.put_documents([Document(f"d{n}") for n in range(6)])
        await store.delete_document("d0")
        await store.delete_documents(["d1", "d2", "missing"])
        assert [document.document_id for document in await store.get_all_documents()] == ["d3", "d4", "d5"]
        assert await store.delete_all_documents() == 3
        assert await store.get_all_documents() == []

    async def test_dropping_deletes_the_table_and_its_indexes(self, store):
        await store.put_document(Document("d1"))
        await store.drop()
        await store.drop()
        assert await store.get_all_documents() == []
