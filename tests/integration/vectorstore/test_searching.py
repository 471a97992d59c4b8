"""All ways of searching, and the retriever over them."""

from __future__ import annotations

import numpy as np
import pytest
from blockbuster import blockbuster_ctx
from core.support import MODES, Face
from langchain_core.documents import Document
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from pydantic import ValidationError

from langchain_tablestore_memory import (
    FilterError,
    Filters,
    HybridSettings,
    InvalidArgumentError,
    SchemaMismatchError,
    TablestoreRetriever,
    TablestoreVectorStore,
    connect,
)
from langchain_tablestore_memory.local import Tablestore, async_ots_client, ots_client

from .support import vector

TEXTS = {
    "tea": "tea",
    "teas": "tea tea tea coffee",
    "coffee": "coffee",
    "both": "tea and coffee",
    "bread": "bread with rice",
}
METADATA = {name: {"year": 2000 + n, "lang": "en", "tags": [name[0]]} for n, name in enumerate(TEXTS)}


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture
async def filled(store):
    await store.add_texts(TEXTS.values(), METADATA.values(), ids=TEXTS)
    return store


def ids(found):
    return [(item[0] if isinstance(item, tuple) else item).id for item in found]


class TestSimilarity:
    async def test_nearest_first(self, filled):
        found = await filled.similarity_search("tea", k=3)
        assert ids(found) == ["tea", "teas", "both"]
        assert found[0] == Document("tea", id="tea", metadata=METADATA["tea"])
        assert ids(await filled.similarity_search_by_vector(vector("tea"), k=3)) == ids(found)

    async def test_scores(self, filled):
        by_text = await filled.similarity_search_with_score("tea", k=5)
        by_vector = await filled.similarity_search_with_score_by_vector(vector("tea"), k=5)
        assert by_text == by_vector
        scores = [score for _, score in by_text]
        assert scores[0] == pytest.approx(1, abs=1e-6)
        assert scores == sorted(scores, reverse=True)

    async def test_score_threshold(self, filled):
        scored = await filled.similarity_search_with_score("tea", k=5)
        threshold = scored[2][1]
        assert ids(await filled.similarity_search("tea", k=5, score_threshold=threshold)) == ids(scored[:3])

    @pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot_product"])
    async def test_relevances_are_within_0_and_1(self, open_store, metric):
        store = open_store(metric=metric, table_name=metric)
        await store.add_texts(TEXTS.values(), ids=TEXTS)
        found = await store.similarity_search_with_relevance_scores("tea", k=5)
        relevances = [relevance for _, relevance in found]
        assert all(0 <= relevance <= 1 for relevance in relevances)
        assert relevances == sorted(relevances, reverse=True)
        assert relevances[0] == pytest.approx(1, abs=1e-6)
        above = await store.similarity_search_with_relevance_scores("tea", k=5, score_threshold=relevances[1])
        assert ids(above) == ids(found)[: sum(relevance >= relevances[1] for relevance in relevances)]

    async def test_a_relevance_of_one_s_own(self, open_store):
        store = open_store(relevance_score_fn=lambda score: 2 * score - 1)
        await store.add_texts(["tea", "coffee"])
        scored = await store.similarity_search_with_score("tea")
        relevant = await store.similarity_search_with_relevance_scores("tea")
        assert [relevance for _, relevance in relevant] == [2 * score - 1 for _, score in scored]

    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            ({"year": {"$gte": 2003}}, {"both", "bread"}),
            ({"tags": {"$contains": "t"}}, {"tea", "teas"}),
            (Filters.In("year", [2000, 2002]), {"tea", "coffee"}),
            ({"$or": [{"year": 2000}, {"lang": "de"}]}, {"tea"}),
            ({"lang": {"$ne": "en"}}, set()),
        ],
    )
    async def test_filters(self, filled, condition, expected):
        for search in ("similarity_search", "max_marginal_relevance_search", "hybrid_search"):
            found = await getattr(filled, search)("tea", k=5, filter=condition)
            assert set(ids(found)) == expected, search
        found = await filled.full_text_search("tea coffee bread", k=5, filter=condition)
        assert set(ids(found)) == expected

    @pytest.mark.parametrize("k", [0, -1, 1001, 10_000, "4", True])
    @pytest.mark.parametrize(
        "search", ["similarity_search", "max_marginal_relevance_search", "full_text_search", "hybrid_search"]
    )
    async def test_k_out_of_range(self, filled, search, k):
        with pytest.raises(InvalidArgumentError, match="k is"):
            await getattr(filled, search)("tea", k=k)

    async def test_what_cannot_be_searched(self, filled):
        with pytest.raises(FilterError, match="lang"):
            await filled.similarity_search("tea", filter={"unknown": 1})
        with pytest.raises(FilterError):
            await filled.similarity_search("tea", filter={"year": {"$contains": 1}})
        with pytest.raises(InvalidArgumentError, match="takes no filters"):
            await filled.similarity_search("tea", filters={"year": 1})
        with pytest.raises(InvalidArgumentError, match="query is a int"):
            await filled.similarity_search(1)
        with pytest.raises(InvalidArgumentError, match="nan"):
            await filled.similarity_search_by_vector([float("nan")] * 4)
        with pytest.raises(InvalidArgumentError, match="search_type is 'fuzzy'"):
            await filled.search("tea", "fuzzy")

    async def test_another_model_s_dimension_is_a_mismatch(self, filled, open_store, model, monkeypatch):
        monkeypatch.setattr(model, "embed_query", lambda _: [1.0, 0.0, 0.0])
        with pytest.raises(SchemaMismatchError, match="4 dimensions, not 3"):
            await open_store().similarity_search("tea")

    async def test_a_vector_of_another_dimension_is_refused_and_changes_nothing(self, filled, open_store, model):
        queries = len(model.queries)
        for store, asked in ((open_store(), 0), (open_store(table_name="new"), 1)):
            with pytest.raises(InvalidArgumentError, match="has 3 dimensions; this store has 4"):
                await store.similarity_search_by_vector([1, 0, 0])
            await store.add_texts(["tea"], ids=["added"])
            assert "added" in ids(await store.similarity_search_by_vector(vector("tea")))
            # A table that exists tells the dimension, of a new one only the model can.
            assert len(model.queries) == queries + asked

    async def test_embeddings_are_not_transferred(self, filled, engine, monkeypatch):
        answers = []
        handle = engine.handle

        def listening(path, headers, body):
            response = handle(path, headers, body)
            answers.append((path, response.body))
            return response

        monkeypatch.setattr(engine, "handle", listening)
        await filled.similarity_search("tea")
        await filled.full_text_search("tea")
        await filled.get_by_ids(["tea"])
        assert answers
        assert [path for path, body in answers if b"embedding" in body] == []
        await filled.max_marginal_relevance_search("tea")
        assert b"embedding" in answers[-1][1]

    async def test_the_event_loop_is_never_blocked(self, model):
        with blockbuster_ctx("langchain_tablestore_memory"):
            async with connect("local::memory:") as connection:
                store = TablestoreVectorStore(model, connection=connection)
                await store.aadd_texts(TEXTS.values(), ids=TEXTS)
                assert ids(await store.asimilarity_search("tea", k=1)) == ["tea"]
                assert ids(await store.ahybrid_search("bread", k=1)) == ["bread"]
                assert ids(await store.as_retriever(search_type="mmr", k=1).ainvoke("tea")) == ["tea"]
                await store.adelete(filter=Filters.all())

    async def test_what_was_written_is_waited_for(self, mode, model):
        with Tablestore(None, index_delay=0.3) as service:
            client = ots_client(service) if mode == "sync" else async_ots_client(service)
            store = Face(TablestoreVectorStore(model, connection=client, filterable={"year": int}), mode)
            await store.add_texts(["tea", "coffee"], [{"year": 1}, {"year": 2}], ids=["a", "b"])
            await store.wait_until_searchable(["a", "b"])
            assert ids(await store.similarity_search("tea")) == ["a", "b"]
            await store.add_texts(["rice"], [{"year": 1}], ids=["c"])
            await store.delete(filter={"year": 1})
            await store.wait_until_searchable()
            assert ids(await store.similarity_search("tea")) == ["b"]


class TestMaximalMarginalRelevance:
    async def test_the_order_is_that_of_the_choice(self, filled):
        fetched = await filled.similarity_search("tea", k=5)
        for weight in (0.0, 0.3, 0.7, 1.0):
            chosen = maximal_marginal_relevance(
                np.array(vector("tea")), [vector(d.page_content) for d in fetched], lambda_mult=weight, k=4
            )
            found = await filled.max_marginal_relevance_search("tea", k=4, fetch_k=5, lambda_mult=weight)
            assert ids(found) == [fetched[position].id for position in chosen]
            assert found[0].metadata == METADATA["tea"]
        spread = await filled.max_marginal_relevance_search("tea", k=3, fetch_k=5, lambda_mult=0.0)
        # An order that is not that of the distances, and that the by-vector twin agrees with.
        assert ids(spread) != ids([d for d in fetched if d.id in ids(spread)])
        by_vector = await filled.max_marginal_relevance_search_by_vector(vector("tea"), k=3, fetch_k=5, lambda_mult=0.0)
        assert by_vector == spread

    async def test_fetch_k_smaller_than_k(self, filled):
        assert len(await filled.max_marginal_relevance_search("tea", k=5, fetch_k=1)) == 5

    @pytest.mark.parametrize("options", [{"fetch_k": 0}, {"lambda_mult": 2}, {"lambda_mult": "high"}])
    async def test_refuses(self, filled, options):
        with pytest.raises(InvalidArgumentError):
            await filled.max_marginal_relevance_search("tea", **options)

    async def test_an_empty_store(self, store):
        assert await store.max_marginal_relevance_search("tea") == []


class TestWords:
    async def test_full_text(self, filled, model):
        embedded = len(model.queries)
        assert set(ids(await filled.full_text_search("tea"))) == {"tea", "teas", "both"}
        assert ids(await filled.full_text_search("tea coffee", operator="and", k=10)) != []
        assert set(ids(await filled.full_text_search("tea coffee", operator="and"))) == {"teas", "both"}
        assert ids(await filled.full_text_search("tea coffee", phrase=True)) == ["teas"]
        scored = await filled.full_text_search_with_score("tea")
        assert [score for _, score in scored] == sorted((score for _, score in scored), reverse=True)
        assert ids(await filled.full_text_search("tea", score_threshold=scored[0][1])) == ids(scored[:1])
        assert len(model.queries) == embedded

    async def test_a_store_without_a_model(self, filled, open_store):
        store = open_store(embedding=None)
        assert set(ids(await store.full_text_search("tea"))) == {"tea", "teas", "both"}
        assert ids(await store.get_by_ids(["tea"])) == ["tea"]
        for search in ("similarity_search", "hybrid_search", "max_marginal_relevance_search"):
            with pytest.raises(InvalidArgumentError, match="no embedding model"):
                await getattr(store, search)("tea")

    async def test_a_store_without_a_model_takes_documents(self, open_store):
        store = open_store(embedding=None)
        await store.add_texts(["tea", "coffee"], ids=["a", "b"])
        assert ids(await store.full_text_search("coffee")) == ["b"]

    async def test_hybrid(self, filled):
        scored = await filled.hybrid_search_with_score("tea", k=5)
        assert ids(scored) == ids(await filled.hybrid_search("tea", k=5))
        nearest = ids(await filled.similarity_search("tea", k=5))
        by_words = ids(await filled.full_text_search("tea", k=5))
        for document, score in scored:
            legs = [leg.index(document.id) + 1 for leg in (nearest, by_words) if document.id in leg]
            assert score == pytest.approx(sum(1 / (60 + rank) for rank in legs))

    async def test_hybrid_settings_are_not_shared_between_queries(self, filled):
        settings = HybridSettings(vector_weight=0.0)
        assert ids(await filled.hybrid_search("tea", settings=settings))[0] in {"tea", "teas"}
        assert ids(await filled.hybrid_search("bread", settings=settings))[0] == "bread"
        assert settings == HybridSettings(vector_weight=0.0)


class TestTenants:
    async def test_each_finds_and_deletes_its_own(self, open_store):
        ours, theirs = open_store(tenant_id="a"), open_store(tenant_id="b")
        await ours.add_texts(["tea"], [{"year": 1}], ids=["same"])
        await theirs.add_texts(["tea tea"], [{"year": 2}], ids=["same"])
        for search in ("similarity_search", "full_text_search", "hybrid_search", "max_marginal_relevance_search"):
            assert [d.page_content for d in await getattr(ours, search)("tea")] == ["tea"]
            assert [d.page_content for d in await getattr(theirs, search)("tea")] == ["tea tea"]
        await ours.delete(filter=Filters.all())
        assert await ours.get_by_ids(["same"]) == []
        assert len(await theirs.get_by_ids(["same"])) == 1
        await ours.update_metadata({"same": {"year": 3}})
        assert (await theirs.get_by_ids(["same"]))[0].metadata == {"year": 2}


class TestRetriever:
    async def retrieve(self, retriever, mode, *arguments, **options):
        if mode == "async":
            return await retriever.ainvoke(*arguments, **options)
        return retriever.invoke(*arguments, **options)

    @pytest.mark.parametrize(
        ("search_type", "search_kwargs"),
        [
            ("similarity", {}),
            ("similarity_score_threshold", {"score_threshold": 0.9}),
            ("similarity_score_threshold", {"score_threshold": 0}),
            ("mmr", {"fetch_k": 5, "lambda_mult": 0.2}),
            ("full_text", {"operator": "and"}),
            ("hybrid", {"settings": HybridSettings(text_weight=2.0)}),
        ],
    )
    async def test_every_search_type(self, filled, mode, search_type, search_kwargs):
        retriever = filled.target.as_retriever(search_type=search_type, search_kwargs=search_kwargs)
        assert isinstance(retriever, TablestoreRetriever)
        found = await self.retrieve(retriever, mode, "tea")
        expected = await filled.search("tea", search_type, **search_kwargs)
        assert ids(found) == ids(expected)
        assert found

    async def test_k_in_the_constructor_and_in_the_call(self, filled, mode):
        retriever = filled.target.as_retriever(k=2)
        assert len(await self.retrieve(retriever, mode, "tea")) == 2
        assert len(await self.retrieve(retriever, mode, "tea", k=3)) == 3
        retriever = filled.target.as_retriever(search_kwargs={"k": 1})
        assert len(await self.retrieve(retriever, mode, "tea")) == 1
        found = await self.retrieve(retriever, mode, "tea", filter={"year": 2004}, k=5)
        assert ids(found) == ["bread"]

    async def test_by_words_without_a_model(self, filled, connection, mode):
        store = TablestoreVectorStore(connection=connection)
        retriever = TablestoreRetriever(vectorstore=store, search_type="full_text", k=1)
        assert len(await self.retrieve(retriever, mode, "bread")) == 1

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({"search_type": "fuzzy"}, "search_type is 'fuzzy'. Give one of 'similarity'"),
            ({"search_type": "similarity_score_threshold"}, "a number from 0 to 1"),
            (
                {"search_type": "similarity_score_threshold", "search_kwargs": {"score_threshold": "high"}},
                "a number from 0 to 1",
            ),
        ],
    )
    def test_refuses_wrong_settings_at_once(self, store, options, complaint):
        with pytest.raises(ValidationError, match=complaint):
            store.target.as_retriever(**options)

    @pytest.mark.parametrize("options", [{"k": 0}, {"k": 10_000}, {"search_kwargs": {"k": 0}}])
    def test_refuses_a_wrong_k_at_once(self, store, options):
        with pytest.raises(InvalidArgumentError, match=r"k is \d+\. Give 1 to 1000"):
            store.target.as_retriever(**options)

    @pytest.mark.parametrize("search_type", ["similarity", "mmr", "full_text", "hybrid"])
    @pytest.mark.parametrize("k", [0, 10_000])
    async def test_refuses_a_wrong_k_in_the_call(self, store, mode, model, search_type, k):
        with pytest.raises(InvalidArgumentError, match=f"k is {k}. Give 1 to 1000"):
            await self.retrieve(store.target.as_retriever(search_type=search_type), mode, "tea", k=k)
        assert model.queries == []

    def test_tags(self, store):
        assert store.target.as_retriever(tags=["mine"]).tags == ["mine", "TablestoreVectorStore", "TopicEmbeddings"]
