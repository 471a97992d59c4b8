"""Documents are found by vector, by words, by both, and by metadata alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from core.support import WatchedTablestore
from tablestore import Row

from langchain_tablestore_memory import (
    ConfigurationError,
    CursorError,
    Document,
    FilterError,
    Filters,
    HybridSettings,
    InvalidArgumentError,
)

WORDS = ["green tea", "black tea", "green apple", "coffee", "tea tea green"]


def ids(page):
    return [hit.document.document_id for hit in page.items]


def documents(count=5):
    return [
        Document(
            f"d{n}",
            text=WORDS[n % len(WORDS)],
            embedding=[math.cos(n / 10), math.sin(n / 10), 0.5],
            metadata={"year": 2000 + n, "lang": "en" if n % 2 else "zh", "tags": [f"t{n % 3}"], "n": n},
        )
        for n in range(count)
    ]


@pytest.fixture
async def filled(store):
    await store.put_documents(documents())
    return store


class TestManyAtOnce:
    """More than the service returns with columns in one request."""

    @pytest.fixture
    async def full(self, store, engine):
        await store.put_documents(documents(250))
        # One of another tool's, whose metadata is in columns that only it knows of.
        client = WatchedTablestore.connection(engine, "sync").client
        columns = [("text", "tea"), ("embedding", "[1.0, 0.0, 0.5]"), ("theirs", "x")]
        client.put_row("knowledge", Row([("document_id", "d250"), ("tenant_id", "__default")], columns))
        engine.taken()
        return store

    async def test_the_nearest(self, full, engine):
        page = await full.vector_search([1, 0, 0.5], top_k=200)
        calls = engine.taken()
        assert (calls.count("Search"), calls.count("BatchGetRow"), len(calls)) == (1, 3, 4)
        near = sorted(range(250), key=lambda n: -math.cos(n / 10))
        assert ids(page)[:2] == ["d0", "d250"]
        assert [name for name in ids(page) if name != "d250"] == [f"d{n}" for n in near[:199]]
        assert page.cursor is None
        scores = [hit.score for hit in page.items]
        assert scores == sorted(scores, reverse=True)
        by_id = {hit.document.document_id: hit.document for hit in page.items}
        assert by_id["d250"].metadata == {"theirs": "x"}
        assert by_id["d0"].metadata == documents(1)[0].metadata
        assert by_id["d0"].embedding is None

    async def test_what_is_asked_of_them(self, full):
        page = await full.vector_search([1, 0, 0.5], top_k=150, meta_data_to_get=["year"], include_embedding=True)
        assert page.items[0].document == Document("d0", embedding=[1.0, 0.0, 0.5], metadata={"year": 2000})
        least = page.items[119].score
        kept = await full.vector_search([1, 0, 0.5], top_k=150, min_score=least)
        assert ids(kept)[:120] == ids(page)[:120]
        assert all(hit.score >= least for hit in kept.items)

    async def test_pages(self, full):
        seen, cursor = [], None
        while True:
            page = await full.full_text_search("tea", limit=120, next_token=cursor)
            seen += ids(page)
            cursor = page.cursor
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == 151

    async def test_both(self, full, engine):
        page = await full.hybrid_search("tea", [1, 0, 0.5], limit=120)
        assert len(set(ids(page))) == 120
        assert engine.taken().count("Search") == 2


class TestByVector:
    async def test_nearest_first_with_the_service_s_score(self, filled):
        page = await filled.vector_search([1, 0, 0.5], top_k=3)
        assert ids(page) == ["d0", "d1", "d2"]
        for n, hit in enumerate(page.items):
            cosine = (math.cos(n / 10) + 0.25) / 1.25
            assert hit.score == pytest.approx((1 + cosine) / 2, abs=1e-6)
        assert page.cursor is None

    @pytest.mark.parametrize(
        ("metric", "score"),
        [
            ("euclidean", lambda x, y: 1 / (1 + np.sum((x - y) ** 2))),
            ("dot_product", lambda x, y: (1 + x @ y) / 2),
        ],
    )
    async def test_other_metrics(self, open_store, metric, score):
        store = open_store(vector_metric_type=metric, table_name=metric)
        await store.put_documents(documents())
        query = np.array([0.2, 0.9, 0.1])
        page = await store.vector_search(query, top_k=5)
        for hit in page.items:
            n = int(hit.document.document_id[1:])
            vector = np.array([math.cos(n / 10), math.sin(n / 10), 0.5])
            assert hit.score == pytest.approx(score(query, vector), abs=1e-6)
        assert [hit.score for hit in page.items] == sorted((hit.score for hit in page.items), reverse=True)

    async def test_filters_leave_scores_alone(self, filled):
        everything = {h.document.document_id: h.score for h in (await filled.vector_search([1, 0, 0.5], top_k=5)).items}
        found = (await filled.vector_search([1, 0, 0.5], top_k=5, metadata_filter={"lang": "en"})).items
        assert [h.document.document_id for h in found] == ["d1", "d3"]
        assert {h.document.document_id: h.score for h in found}.items() <= everything.items()

    async def test_the_nearest_of_those_that_match_are_found(self, filled):
        assert ids(await filled.vector_search([1, 0, 0.5], top_k=1, metadata_filter={"year": 2004})) == ["d4"]

    async def test_min_score(self, filled):
        page = await filled.vector_search([1, 0, 0.5], top_k=5)
        assert ids(await filled.vector_search([1, 0, 0.5], top_k=5, min_score=page.items[1].score)) == ["d0", "d1"]

    async def test_documents_without_an_embedding_are_not_found(self, filled):
        await filled.put_document(Document("bare", text="tea"))
        assert "bare" not in ids(await filled.vector_search([1, 0, 0.5], top_k=100))

    async def test_more_than_one_request_s_worth(self, store):
        await store.put_documents(documents(250))
        page = await store.vector_search([1, 0, 0.5], top_k=230)
        assert len(set(ids(page))) == 230
        scores = [hit.score for hit in page.items]
        assert scores == sorted(scores, reverse=True)

    async def test_pages_stop_at_top_k(self, store):
        await store.put_documents(documents(20))
        first = await store.vector_search([1, 0, 0.5], top_k=6, limit=4)
        second = await store.vector_search([1, 0, 0.5], top_k=6, limit=4, next_token=first.cursor)
        assert [*ids(first), *ids(second)] == [f"d{n}" for n in range(6)]
        assert second.cursor is None

    async def test_pages_larger_than_top_k(self, store):
        await store.put_documents(documents(20))
        page = await store.vector_search([1, 0, 0.5], top_k=5, limit=20)
        assert (ids(page), page.cursor) == ([f"d{n}" for n in range(5)], None)

    @pytest.mark.parametrize(
        ("vector", "reason"),
        [
            ([1, 0], "The query vector has 2 dimensions; this store has 3"),
            ([1, 0, math.nan], "nan at position 2"),
            ([1, 0, math.inf], "inf at position 2"),
            ("tea", "is a str"),
        ],
    )
    async def test_wrong_vectors_are_refused(self, filled, vector, reason):
        with pytest.raises(InvalidArgumentError, match=reason):
            await filled.vector_search(vector)

    @pytest.mark.parametrize("top_k", [0, -1, 10_000, 1.5, True, None])
    async def test_wrong_top_k_is_refused(self, filled, top_k):
        with pytest.raises(InvalidArgumentError, match=r"top_k is .*Give"):
            await filled.vector_search([1, 0, 0], top_k=top_k)

    async def test_a_store_without_vectors_says_so(self, open_store):
        store = open_store(vector_dimension=None, table_name="words")
        await store.put_document(Document("d1", text="tea"))
        assert ids(await store.full_text_search("tea")) == ["d1"]
        with pytest.raises(ConfigurationError, match="holds no embeddings"):
            await store.vector_search([1, 0, 0])
        with pytest.raises(ConfigurationError, match="holds no embeddings"):
            await store.put_document(Document("d2", embedding=[1, 0, 0]))

    async def test_the_dimension_of_an_existing_index_counts_where_none_is_given(self, filled, open_store):
        other = open_store(vector_dimension=None)
        assert ids(await other.vector_search([1, 0, 0.5], top_k=1)) == ["d0"]
        with pytest.raises(InvalidArgumentError, match="this store has 3"):
            await other.vector_search([1, 0])


class TestByWords:
    async def test_best_first(self, filled):
        page = await filled.full_text_search("green tea")
        assert set(ids(page)) == {"d0", "d1", "d2", "d4"}
        assert set(ids(page)[:2]) == {"d0", "d4"}
        scores = [hit.score for hit in page.items]
        assert scores == sorted(scores, reverse=True)
        assert all(score > 0 for score in scores)

    async def test_all_words_or_a_phrase(self, filled):
        assert set(ids(await filled.full_text_search("green tea", operator="and"))) == {"d0", "d4"}
        assert ids(await filled.full_text_search("green tea", phrase=True)) == ["d0"]

    async def test_filters_leave_scores_alone(self, filled):
        everything = {h.document.document_id: h.score for h in (await filled.full_text_search("tea")).items}
        found = (await filled.full_text_search("tea", metadata_filter={"lang": "zh", "year": {"$lt": 2010}})).items
        assert {h.document.document_id for h in found} == {"d0", "d4"}
        assert {h.document.document_id: h.score for h in found}.items() <= everything.items()

    async def test_min_score(self, filled):
        scores = [hit.score for hit in (await filled.full_text_search("green tea")).items]
        page = await filled.full_text_search("green tea", min_score=scores[1])
        assert [hit.score for hit in page.items] == scores[:2]
        assert page.cursor is None

    async def test_pages(self, filled):
        first = await filled.full_text_search("green tea", limit=3)
        second = await filled.full_text_search("green tea", limit=3, next_token=first.cursor)
        assert [*ids(first), *ids(second)] == ids(await filled.full_text_search("green tea"))

    @pytest.mark.parametrize(
        ("query", "reason"),
        [
            ("", "query is empty"),
            (" \n", "query is empty"),
            ("a" * 4097, "query has 4097 characters"),
            ("tea \ud800", "query has a lone surrogate at position 4"),
            (5, "query is a int"),
        ],
    )
    async def test_wrong_queries_are_refused(self, filled, query, reason):
        with pytest.raises(InvalidArgumentError, match=reason):
            await filled.full_text_search(query)

    async def test_wrong_options_are_refused(self, filled):
        with pytest.raises(InvalidArgumentError, match="Give 'or' or 'and'"):
            await filled.full_text_search("tea", operator="not")
        with pytest.raises(InvalidArgumentError, match="min_score"):
            await filled.full_text_search("tea", min_score="high")


class TestHybrid:
    async def test_reciprocal_ranks(self, filled):
        page = await filled.hybrid_search("coffee", [1, 0, 0.5], limit=5)
        by_vector = {name: rank for rank, name in enumerate(ids(await filled.vector_search([1, 0, 0.5], top_k=20)), 1)}
        expected = {name: 1 / (60 + rank) for name, rank in by_vector.items()}
        expected["d3"] += 1 / 61
        assert ids(page) == sorted(expected, key=expected.get, reverse=True)
        for hit in page.items:
            assert hit.score == pytest.approx(expected[hit.document.document_id])
            assert hit.vector_score is not None
            assert (hit.text_score is not None) == (hit.document.document_id == "d3")

    async def test_weights(self, filled):
        words_only = HybridSettings(vector_weight=0, vector_fetch_k=1)
        assert ids(await filled.hybrid_search("coffee", [1, 0, 0.5], limit=1, settings=words_only)) == ["d3"]

    async def test_a_leg_without_weight_is_not_made(self, filled, engine):
        for settings, found, score in [
            (HybridSettings(vector_weight=0), {"d3"}, "vector_score"),
            (HybridSettings(text_weight=0), {"d0", "d1", "d2", "d3", "d4"}, "text_score"),
        ]:
            engine.taken()
            page = await filled.hybrid_search("coffee", [1, 0, 0.5], settings=settings)
            assert engine.taken() == ["Search"]
            assert set(ids(page)) == found
            assert [getattr(hit, score) for hit in page.items] == [None] * len(found)
            with pytest.raises(InvalidArgumentError, match="query is empty"):
                await filled.hybrid_search(" ", [1, 0, 0.5], settings=settings)
            with pytest.raises(InvalidArgumentError, match="2 dimensions"):
                await filled.hybrid_search("coffee", [1, 0], settings=settings)

    async def test_weighted_scores(self, filled):
        settings = HybridSettings(fusion="weighted", vector_weight=0.25, text_weight=0.75)
        page = await filled.hybrid_search("coffee", [1, 0, 0.5], settings=settings)
        assert ids(page)[:2] == ["d3", "d0"]
        assert page.items[1].score == pytest.approx(0.25)

    async def test_both_legs_are_filtered(self, filled):
        page = await filled.hybrid_search("tea", [1, 0, 0.5], metadata_filter={"lang": "en"})
        assert set(ids(page)) == {"d1", "d3"}

    async def test_both_legs_go_out_and_nothing_else(self, filled, engine):
        await filled.setup()
        engine.taken()
        await filled.hybrid_search("tea", [1, 0, 0.5])
        assert engine.taken() == ["Search", "Search"]

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"fusion": "sum"}, "'rrf', 'weighted'"),
            ({"vector_weight": -1}, "vector_weight is -1"),
            ({"text_weight": math.nan}, "text_weight is nan"),
            ({"vector_weight": 0, "text_weight": 0}, "both 0"),
            ({"rank_constant": 0}, "rank_constant is 0"),
            ({"vector_fetch_k": 1001}, "1 to 1000"),
        ],
    )
    def test_wrong_settings_are_refused(self, settings, reason):
        with pytest.raises(InvalidArgumentError, match=reason):
            HybridSettings(**settings)

    def test_settings_are_immutable(self):
        with pytest.raises(AttributeError):
            HybridSettings().rank_constant = 1


class TestByMetadata:
    async def test_pages_in_order(self, store):
        await store.put_documents(documents(25))
        seen, cursor = [], None
        while True:
            page = await store.search_documents(limit=10, next_token=cursor, order_by=["-year"])
            seen += ids(page)
            assert all(hit.score is None for hit in page.items)
            cursor = page.cursor
            if cursor is None:
                break
        assert seen == [f"d{n}" for n in reversed(range(25))]

    async def test_counting_and_listing(self, store):
        await store.put_documents(documents(230))
        assert await store.count_documents() == 230
        assert await store.count_documents(metadata_filter={"lang": "en"}) == 115
        listed = await store.list_documents(metadata_filter={"lang": "en"}, order_by=["year"])
        assert [document.metadata["n"] for document in listed] == list(range(1, 230, 2))
        assert len(await store.list_documents(limit=120)) == 120
        assert [d.document_id for d in await store.list_documents(order_by=["-document_id"], limit=2)] == ["d99", "d98"]

    async def test_text_in_a_filter_ranks_where_no_order_is_asked(self, filled):
        page = await filled.search_documents(metadata_filter=Filters.text_match("text", "green tea"))
        assert [(hit.document.document_id, hit.score) for hit in page.items] == [
            (hit.document.document_id, hit.score) for hit in (await filled.full_text_search("green tea")).items
        ]

    async def test_the_key_can_be_filtered_by(self, filled):
        page = await filled.search_documents(metadata_filter={"document_id": {"$in": ["d1", "d3", "x"]}})
        assert ids(page) == ["d1", "d3"]

    async def test_undeclared_fields_are_named(self, filled):
        for search in (
            filled.search_documents(metadata_filter={"n": 1}),
            filled.vector_search([1, 0, 0], metadata_filter={"n": 1}),
            filled.count_documents(metadata_filter={"n": 1}),
            filled.delete_by_filter({"n": 1}),
        ):
            with pytest.raises(FilterError, match=r"'n': it is not declared. There are: .*year.*filterable"):
                await search

    async def test_orders_that_cannot_be_are_refused(self, filled):
        with pytest.raises(FilterError, match=r"cannot be sorted by 'title'. There are: .*year"):
            await filled.search_documents(order_by=["title"])
        with pytest.raises(InvalidArgumentError, match=r"\['year'\]"):
            await filled.search_documents(order_by="year")
        with pytest.raises(InvalidArgumentError, match="order_by holds something that is no str"):
            await filled.search_documents(order_by=["year", 1])

    @pytest.mark.parametrize("limit", [0, -1, 1001, True, None, 1.0])
    async def test_wrong_limits_are_refused(self, filled, limit):
        with pytest.raises(InvalidArgumentError, match="limit is"):
            await filled.search_documents(limit=limit)


class TestCursors:
    async def test_they_belong_to_one_search(self, filled):
        cursor = (await filled.search_documents(limit=2)).cursor
        with pytest.raises(CursorError):
            await filled.search_documents(limit=2, next_token=cursor, metadata_filter={"lang": "en"})
        with pytest.raises(CursorError):
            await filled.search_documents(limit=2, next_token=cursor, order_by=["year"])
        with pytest.raises(CursorError):
            await filled.full_text_search("tea", limit=2, next_token=cursor)
        with pytest.raises(CursorError):
            await filled.search_documents(next_token="nonsense")
        cursor = (await filled.vector_search([1, 0, 0], top_k=5, limit=2)).cursor
        with pytest.raises(CursorError):
            await filled.vector_search([0, 1, 0], top_k=5, limit=2, next_token=cursor)


class TestColumns:
    async def test_embeddings_are_not_transferred_unless_asked_for(self, filled, engine, monkeypatch):
        sizes = []
        handle = type(engine).handle

        def weigh(self, path, headers, body):
            answer = handle(self, path, headers, body)
            sizes.append(b"0.87758" in answer.body)  # the beginning of cos(0.5)
            return answer

        monkeypatch.setattr(type(engine), "handle", weigh)
        await filled.put_documents(documents(6))
        page = await filled.vector_search([1, 0, 0], top_k=6)
        assert [hit.document.embedding for hit in page.items] == [None] * 6
        assert not any(sizes)
        page = await filled.vector_search([1, 0, 0], top_k=6, include_embedding=True)
        assert all(len(hit.document.embedding) == 3 for hit in page.items)
        assert any(sizes)

    async def test_what_is_named(self, filled):
        (hit,) = (await filled.search_documents(metadata_filter={"year": 2001}, meta_data_to_get=["year", "n"])).items
        assert hit.document == Document("d1", metadata={"year": 2001, "n": 1})
        wanted = ["text", "embedding", "tags"]
        (hit,) = (await filled.search_documents(metadata_filter={"year": 2001}, meta_data_to_get=wanted)).items
        assert hit.document.text == "black tea"
        assert hit.document.metadata == {"tags": ["t1"]}
        assert len(hit.document.embedding) == 3

    @pytest.mark.parametrize("names", ["year", [1], [None]])
    async def test_names_are_a_list(self, filled, names):
        for search in (
            filled.search_documents(meta_data_to_get=names),
            filled.vector_search([1, 0, 0], meta_data_to_get=names),
            filled.hybrid_search("tea", [1, 0, 0], meta_data_to_get=names),
        ):
            with pytest.raises(InvalidArgumentError, match="no list of str"):
                await search
