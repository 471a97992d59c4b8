"""Adding, changing and deleting documents."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from langchain_core.documents import Document

from langchain_tablestore_memory import (
    ConfigurationError,
    EmbeddingError,
    Filters,
    InvalidArgumentError,
    SchemaMismatchError,
    TablestoreVectorStore,
    WriteError,
)

from .support import vector

METADATA = {
    "id": 1,
    "document_id": "mine",
    "text": "metadata",
    "embedding": None,
    "list": [1, "a", None],
    "nested": {"a": {"b": [1.5]}},
    "none": None,
    "flag": True,
    "number": 1.0,
    "year": 2024,
    "tags": ["a", "b"],
}


def numbered(count):
    return [f"tea {n}" for n in range(count)]


class TestMaking:
    def test_sends_nothing_and_asks_no_model(self, engine, open_store, model):
        store = open_store().target
        store.as_retriever()
        assert engine.calls == []
        assert model.calls == model.queries == []
        assert store.embeddings is model

    @pytest.mark.parametrize(
        "options",
        [
            {"metric": "manhattan"},
            {"dimension": 0},
            {"dimension": 5000},
            {"filterable": {"year": "integer"}},
            {"text_field": "embedding"},
            {"tenant_id": ""},
            {"batch_size": 0},
            {"embedding_batch_size": 0},
            {"concurrency": 9},
            {"concurrency": 0},
        ],
    )
    def test_refuses_wrong_settings_at_once(self, open_store, options):
        with pytest.raises((ConfigurationError, InvalidArgumentError)):
            open_store(**options)

    async def test_the_dimension_comes_with_the_first_vector(self, store, model):
        await store.add_texts(["tea"])
        assert model.queries == []
        await store.similarity_search("tea")
        assert model.queries == ["tea"]

    async def test_the_model_is_asked_once_where_there_is_no_vector(self, store, model):
        await store.setup()
        await store.delete(["a"])
        assert await store.get_by_ids(["a"]) == []
        assert len(model.queries) == 1

    async def test_a_given_dimension_counts(self, open_store, model):
        store = open_store(dimension=4)
        await store.setup()
        assert model.queries == []
        with pytest.raises(InvalidArgumentError, match=r"has 3 dimensions; this store has 4"):
            await store.similarity_search_by_vector([1, 0, 0])


class TestAdding:
    async def test_generators_are_read_once(self, store):
        ids = await store.add_texts(
            (text for text in ["tea", "coffee"]),
            ({"n": n} for n in range(2)),
            ids=(f"i{n}" for n in range(2)),
        )
        assert ids == ["i0", "i1"]
        assert [(d.page_content, d.metadata) for d in await store.get_by_ids(ids)] == [
            ("tea", {"n": 0}),
            ("coffee", {"n": 1}),
        ]
        ids = await store.add_documents(Document(text) for text in ["bread", "rice"])
        assert [d.page_content for d in await store.get_by_ids(ids)] == ["bread", "rice"]

    async def test_some_with_ids_and_some_without(self, store):
        first, second, third = await store.add_texts(["tea", "coffee", "rice"], ids=[None, "2", None])
        assert second == "2"
        assert len({first, second, third}) == 3
        assert [d.id for d in await store.get_by_ids([third, "2", first])] == [third, "2", first]

    async def test_metadata_is_exact_and_untouched(self, store):
        given = dict(METADATA)
        await store.add_documents([Document("tea", id="a", metadata=given)])
        assert given == METADATA
        [read] = await store.get_by_ids(["a"])
        [found] = await store.similarity_search("tea")
        assert read.metadata == found.metadata == METADATA
        assert [type(value) for value in found.metadata.values()] == [type(value) for value in METADATA.values()]
        assert found.id == "a"

    async def test_the_same_id_is_replaced_as_a_whole(self, store):
        await store.add_texts(["tea"], [{"a": 1}], ids=["a"])
        await store.add_texts(["coffee"], [{"b": 2}], ids=["a"])
        assert await store.similarity_search("coffee") == [Document("coffee", id="a", metadata={"b": 2})]
        assert await store.similarity_search("tea") == [Document("coffee", id="a", metadata={"b": 2})]

    async def test_of_one_id_the_last_counts_across_batches(self, store):
        texts = numbered(40)
        await store.add_texts(texts, ids=["a"] * 40, batch_size=4, embedding_batch_size=2, concurrency=3)
        assert [d.page_content for d in await store.get_by_ids(["a"])] == ["tea 39"]

    async def test_embedding_batches_are_apart_from_write_batches(self, open_store, engine, model):
        store = open_store(embedding_batch_size=10, batch_size=50)
        await store.setup()
        engine.taken()
        ids = await store.add_texts(numbered(100))
        assert model.calls == [10] * 10
        assert engine.taken() == ["BatchWriteRow"] * 2
        assert len(set(ids)) == 100
        await store.add_texts(numbered(5), embedding_batch_size=2)
        assert sorted(model.calls[10:]) == [1, 2, 2]

    async def test_an_endless_source_is_read_as_it_goes(self, store):
        read = 0

        def source():
            nonlocal read
            for read in range(1, 10_001):
                if read == 500:
                    raise OSError("the disk is gone")
                yield f"tea {read}"

        with pytest.raises(OSError, match="the disk is gone") as raised:
            await store.add_texts(source(), embedding_batch_size=10, concurrency=2, batch_size=20)
        assert read == 500
        assert "are stored" in raised.value.__notes__[0]
        assert len(await store.similarity_search("tea", k=1000)) == 499

    def test_calls_of_the_model_are_in_flight_together(self, engine, model):
        store = TablestoreVectorStore(model, connection=engine.connection("sync"), embedding_batch_size=1)
        model.meet = threading.Barrier(4)
        assert len(store.add_texts(numbered(4))) == 4

    async def test_the_async_model_is_asked_asynchronously(self, store, model, mode):
        await store.add_texts(["tea"])
        await store.similarity_search("tea")
        assert model.asynchronous == (2 if mode == "async" else 0)

    async def test_nothing_is_fine(self, store, model, engine):
        assert await store.add_texts([]) == []
        assert await store.add_documents([]) == []
        assert model.calls == []
        assert engine.calls == []

    async def test_a_progress_bar(self, store, capsys):
        await store.add_texts(numbered(30), batch_size=10, embedding_batch_size=5, show_progress=True)
        assert "30/30" in capsys.readouterr().err

    async def test_a_progress_bar_needs_tqdm(self, store, monkeypatch):
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
        with pytest.raises(ConfigurationError, match="pip install tqdm"):
            await store.add_texts(["tea"], show_progress=True)

    @pytest.mark.parametrize(
        ("arguments", "options", "complaint"),
        [
            (["tea"], {}, "texts is a str"),
            ([[1]], {}, "A text is a int"),
            ([["tea"], [{}, {}]], {}, "1 texts and 2 metadatas"),
            ([["tea"]], {"ids": ["a", "b"]}, "1 texts and 2 ids"),
            ([["tea"]], {"ids": "a"}, "ids is a str"),
            ([["tea"]], {"ids": [""]}, "id is empty"),
            ([["tea"]], {"ids": [7]}, "id is a int"),
            ([["tea"], ["a"]], {}, "metadata of a text is a str"),
            ([["tea"]], {"idz": ["a"]}, "takes no idz"),
            ([["tea"], iter([])], {}, "More texts than metadatas"),
        ],
    )
    async def test_wrong_arguments_are_refused_before_anything_is_embedded(
        self, store, model, arguments, options, complaint
    ):
        with pytest.raises(InvalidArgumentError, match=complaint):
            await store.add_texts(*([arguments[0]] if isinstance(arguments[0], str) else arguments), **options)
        assert model.calls == []

    async def test_iterators_of_different_lengths(self, store):
        with pytest.raises(InvalidArgumentError, match="More ids than texts"):
            await store.add_texts(iter(["tea"]), ids=iter("ab"))

    async def test_given_embeddings_are_stored_as_they_are(self, store, model):
        pairs = [("nothing", vector("tea")), ("anything", np.array(vector("rice"), dtype=np.float32))]
        assert await store.add_embeddings(pairs, [{"n": 1}, None], ids=["a", None]) != ["a", None]
        found = await store.similarity_search_with_score_by_vector(vector("tea"), k=1)
        assert [(document, round(score, 6)) for document, score in found] == [
            (Document("nothing", id="a", metadata={"n": 1}), 1.0)
        ]
        assert [d.page_content for d in await store.similarity_search_by_vector(vector("rice"), k=1)] == ["anything"]
        assert model.calls == model.queries == []
        await store.add_embeddings([("replaced", vector("tea"))], ids=["a"])
        assert await store.get_by_ids(["a"]) == [Document("replaced", id="a")]

    async def test_given_embeddings_may_come_from_a_generator(self, store, engine, model):
        await store.setup()
        engine.taken()
        source = ((text, vector(text)) for text in numbered(50))
        ids = await store.add_embeddings(source, ids=(f"i{n}" for n in range(50)), batch_size=25)
        assert ids == [f"i{n}" for n in range(50)]
        assert engine.taken().count("BatchWriteRow") <= 3
        assert [d.page_content for d in await store.get_by_ids(["i0", "i49"])] == ["tea 0", "tea 49"]

    @pytest.mark.parametrize("dimension", [4, None])
    async def test_given_embeddings_need_no_model(self, open_store, dimension):
        store = open_store(embedding=None, dimension=dimension)
        await store.add_embeddings([("tea", vector("tea")), ("rice", vector("rice"))], ids=["a", "b"])
        assert [d.id for d in await store.similarity_search_by_vector(vector("rice"))] == ["b", "a"]

    async def test_given_embeddings_where_the_index_holds_none(self, open_store):
        store = open_store(embedding=None)
        await store.add_texts(["tea"], ids=["a"])
        with pytest.raises(SchemaMismatchError, match="lacks the field 'embedding'"):
            await store.add_embeddings([("rice", vector("rice"))])
        other = open_store(embedding=None, search_index_name="with_vectors")
        await other.add_embeddings([("rice", vector("rice"))], ids=["b"])
        assert [d.id for d in await other.similarity_search_by_vector(vector("rice"))] == ["b"]
        assert [d.id for d in await other.full_text_search("tea")] == ["a"]

    @pytest.mark.parametrize(
        ("pairs", "options", "complaint"),
        [
            ("tea", {}, "text_embeddings is a str"),
            (7, {}, "text_embeddings is a int"),
            (["tea"], {}, "holds a str that is no text with a vector"),
            ([("tea", [1.0] * 4, 1)], {}, "holds a tuple that is no text with a vector"),
            ([("tea", None)], {}, "holds a tuple that is no text with a vector"),
            ([(1, [1.0] * 4)], {}, "A text is a int"),
            ([("tea", [1.0] * 4)], {"ids": ["a", "b"]}, "More ids than texts"),
            ([("tea", [1.0] * 4)], {"metadatas": []}, "More texts than metadatas"),
            ([("tea", [1.0] * 3)], {"ids": ["a"]}, "document 'a' has 3 dimensions; this store has 4"),
            ([("tea", [float("nan")] * 4)], {"ids": ["a"]}, "document 'a' has nan"),
            ([("tea", [1.0] * 4)], {"idz": ["a"]}, "takes no idz"),
        ],
    )
    async def test_wrong_embeddings_are_refused(self, store, pairs, options, complaint):
        await store.setup()
        with pytest.raises(InvalidArgumentError, match=complaint):
            await store.add_embeddings(pairs, **options)
        assert await store.full_text_search("tea") == []

    async def test_from_texts_and_from_documents_keep_ids_and_options(self, connection, mode, model):
        made = [
            ("from_texts", [["tea"], model, [{"n": 1}]], {"ids": ["a"]}),
            ("from_documents", [[Document("tea", id="a", metadata={"n": 1})], model], {}),
        ]
        for name, arguments, options in made:
            options |= {"connection": connection, "table_name": f"of_{name}", "tenant_id": "t"}
            if mode == "async":
                store = await getattr(TablestoreVectorStore, f"a{name}")(*arguments, **options)
                documents = await store.aget_by_ids(["a"])
            else:
                store = getattr(TablestoreVectorStore, name)(*arguments, **options)
                documents = store.get_by_ids(["a"])
            assert documents == [Document("tea", id="a", metadata={"n": 1})]
            assert (store.table_name, store.tenant_id) == (f"of_{name}", "t")


class TestFailures:
    async def test_a_failing_model_says_what_is_stored(self, store, model):
        def fail(texts, vectors):
            if "tea 25" in texts:
                raise RuntimeError("quota exceeded")
            return vectors

        model.answer = fail
        ids = [f"i{n}" for n in range(100)]
        with pytest.raises(EmbeddingError, match="quota exceeded") as raised:
            await store.add_texts(numbered(100), ids=ids, embedding_batch_size=10, concurrency=2, batch_size=10)
        error = raised.value
        assert isinstance(error.__cause__, RuntimeError)
        assert sorted((*error.stored, *error.failed)) == sorted(ids)
        assert set(ids[20:30]) <= set(error.failed)
        assert set(ids[:20]) <= set(error.stored)
        assert {d.id for d in await store.get_by_ids(ids)} == set(error.stored)
        # Adding the same again, once the model works, completes it.
        model.answer = lambda _, vectors: vectors
        await store.add_texts(numbered(100), ids=ids)
        assert len(await store.get_by_ids(ids)) == 100

    @pytest.mark.parametrize(
        ("answer", "error", "complaint"),
        [
            (lambda _, vectors: vectors[:-1], EmbeddingError, "1 vectors for 2 texts"),
            (lambda _, __: [], EmbeddingError, "0 vectors for 2 texts"),
            (lambda _, __: None, EmbeddingError, "a NoneType for 2 texts"),
            (lambda _, vectors: [vectors[0], vectors[1][:-1]], InvalidArgumentError, "document 'b' has 3 dimensions"),
            (lambda _, vectors: [vectors[0], [float("nan")] * 4], InvalidArgumentError, "document 'b' has nan"),
            (lambda _, vectors: [vectors[0], [float("inf")] * 4], InvalidArgumentError, "document 'b' has inf"),
        ],
    )
    async def test_a_model_that_answers_wrongly(self, store, model, answer, error, complaint):
        model.answer = answer
        with pytest.raises(error, match=complaint):
            await store.add_texts(["tea", "coffee"], ids=["a", "b"])
        assert await store.get_by_ids(["a", "b"]) == []

    @pytest.mark.parametrize("tenant", [None, "t"])
    async def test_a_failing_write_names_ids(self, open_store, engine, tenant):
        store = open_store(tenant_id=tenant)
        await store.setup()
        engine.fail_at("BatchWriteRow", 2)
        ids = [f"i{n}" for n in range(60)]
        with pytest.raises(WriteError) as raised:
            await store.add_texts(numbered(60), ids=ids, batch_size=20, embedding_batch_size=20, concurrency=1)
        engine.before = None
        assert set(ids[:20]) <= set(raised.value.stored)
        assert set(ids[20:40]) <= set(raised.value.failed)
        assert {d.id for d in await store.get_by_ids(ids)} == set(raised.value.stored)


class TestChanging:
    async def test_metadata_is_updated_and_the_rest_stays(self, store, model):
        await store.add_texts(["tea", "coffee"], [{"year": 1, "n": 1}, {"n": 2}], ids=["a", "b"])
        embedded = list(model.calls)
        assert await store.update_metadata({"a": {"year": 2, "new": ["x"]}, "missing": {"year": 2}}) == 1
        assert model.calls == embedded
        assert await store.get_by_ids(["a", "b", "missing"]) == [
            Document("tea", id="a", metadata={"year": 2, "n": 1, "new": ["x"]}),
            Document("coffee", id="b", metadata={"n": 2}),
        ]
        assert [d.id for d in await store.similarity_search("tea", filter={"year": 2})] == ["a"]
        with pytest.raises(InvalidArgumentError, match="metadata_by_id is a list"):
            await store.update_metadata(["a"])
        with pytest.raises(InvalidArgumentError, match=r"The metadata of 'b' is a str\. Give a dict"):
            await store.update_metadata({"a": {"year": 3}, "b": "year"})
        assert [d.metadata for d in await store.get_by_ids(["a"])] == [{"year": 2, "n": 1, "new": ["x"]}]

    async def test_metadata_is_updated_by_filter(self, store):
        await store.add_texts(numbered(10), [{"year": n} for n in range(10)])
        assert await store.update_metadata_by_filter({"year": {"$lt": 4}}, {"lang": "old"}) == 4
        assert len(await store.similarity_search("tea", k=10, filter={"lang": "old"})) == 4

    async def test_delete_by_ids(self, store):
        await store.add_texts(numbered(3), ids=["a", "b", "c"])
        assert await store.delete(["a", "missing", "c"]) is True
        assert await store.delete([]) is True
        assert [d.id for d in await store.similarity_search("tea")] == ["b"]

    async def test_delete_by_filter(self, store):
        await store.add_texts(numbered(10), [{"year": n} for n in range(10)])
        await store.delete(filter={"year": {"$gte": 3}})
        assert sorted(d.metadata["year"] for d in await store.similarity_search("tea", k=10)) == [0, 1, 2]
        await store.delete(filter=Filters.all())
        assert await store.similarity_search("tea") == []

    @pytest.mark.parametrize(
        "arguments", [{}, {"ids": ["a"], "filter": {"year": 1}}, {"filters": {"year": 1}}, {"filter": {}}]
    )
    async def test_nothing_is_deleted_by_default(self, store, arguments):
        await store.add_texts(["tea"], ids=["a"])
        with pytest.raises(InvalidArgumentError):
            await store.delete(**arguments)
        assert len(await store.get_by_ids(["a"])) == 1

    async def test_get_by_ids_keeps_the_order_and_leaves_out_missing_ones(self, store, engine):
        await store.add_texts(numbered(5), ids=list("abcde"))
        engine.taken()
        assert [d.id for d in await store.get_by_ids(["e", "zz", "a", "e", "c"])] == ["e", "a", "e", "c"]
        assert engine.taken() == ["BatchGetRow"]

    async def test_drop(self, store):
        await store.add_texts(["tea"])
        await store.drop()
        await store.drop()
        assert await store.similarity_search("tea") == []
