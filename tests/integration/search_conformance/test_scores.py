"""Text scores equal BM25 and vector scores their formulas, computed apart in plain Python (reference sections 19, 20)."""

from __future__ import annotations

import math
import random

import pytest
from tablestore import (
    BoolQuery,
    FieldSchema,
    FieldType,
    KnnVectorQuery,
    MatchAllQuery,
    MatchQuery,
    QueryOperator,
    RangeQuery,
    ScoreSort,
    Sort,
    SortOrder,
    TermQuery,
    VectorMetricType,
)

from .plain import Corpus, vector_score
from .support import BY_SCORE, INVALID, Table, service_error, text_field, vector_field

SEEDS = range(3)
EXACT = {"rel": 1e-6, "abs": 1e-9}
VOCABULARY = ["red", "blue", "green", "sea", "sky", "茶", "花"]
METRICS = {
    "COSINE": VectorMetricType.VM_COSINE,
    "EUCLIDEAN": VectorMetricType.VM_EUCLIDEAN,
    "DOT_PRODUCT": VectorMetricType.VM_DOT_PRODUCT,
}


def approx(scores):
    return {key: pytest.approx(score, **EXACT) for key, score in scores.items()}


def random_texts(chance, count):
    """Texts of common and rare words; some rows have none."""
    return {
        key: None
        if chance.random() < 0.1
        else chance.choices(VOCABULARY, [50, 20, 10, 5, 3, 2, 1], k=chance.randint(1, 30))
        for key in range(count)
    }


def text_table(client, documents):
    table = Table(client, [text_field("text"), FieldSchema("n", FieldType.LONG)])
    table.put_many({key: {"text": words and " ".join(words), "n": key} for key, words in documents.items()})
    return table


class TestText:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_match(self, client, seed):
        chance = random.Random(seed)
        documents = random_texts(chance, chance.randint(1, 80))
        table, corpus = text_table(client, documents), Corpus(documents)
        for count in (1, 2, 3, 5):
            words = chance.sample(VOCABULARY, count)
            assert table.scores(MatchQuery("text", " ".join(words))) == approx(corpus.scores(words)), words

    def test_match_follows_changes(self, client):
        chance = random.Random(1)
        documents = random_texts(chance, 30)
        table = text_table(client, documents)
        for key in range(0, 30, 3):
            documents[key] = chance.choices(VOCABULARY, k=5)
            table.put(key, text=" ".join(documents[key]))
        for key in range(1, 30, 3):
            del documents[key]
            table.delete(key)
        assert table.scores(MatchQuery("text", "red 茶")) == approx(Corpus(documents).scores(["red", "茶"]))

    def test_and_scores_alike(self, client):
        documents = random_texts(random.Random(5), 40)
        table = text_table(client, documents)
        scores = Corpus(documents).scores(["red", "blue"])
        expected = {key: score for key, score in scores.items() if {"red", "blue"} <= set(documents[key])}
        assert table.scores(MatchQuery("text", "red blue", operator=QueryOperator.AND)) == approx(expected)

    @pytest.mark.parametrize("weight", [0.5, 3.0])
    def test_weight_multiplies(self, client, weight):
        documents = random_texts(random.Random(6), 20)
        table = text_table(client, documents)
        expected = {key: weight * score for key, score in Corpus(documents).scores(["red"]).items()}
        assert table.scores(MatchQuery("text", "red", weight=weight)) == approx(expected)
        assert table.scores(BoolQuery(must_queries=[MatchQuery("text", "red")], weight=weight)) == approx(expected)

    def test_bool_adds_must_and_should_only(self, client):
        documents = random_texts(random.Random(7), 40)
        table, corpus = text_table(client, documents), Corpus(documents)
        red, blue = corpus.scores(["red"]), corpus.scores(["blue"])
        query = BoolQuery(
            must_queries=[MatchQuery("text", "red")],
            should_queries=[MatchQuery("text", "blue")],
            filter_queries=[RangeQuery("n", 10, None), MatchQuery("text", "red")],
            must_not_queries=[TermQuery("n", 20)],
        )
        expected = {key: red[key] + blue.get(key, 0.0) for key in red if key >= 10 and key != 20}
        assert table.scores(query) == approx(expected)

    def test_order_of_scores(self, client):
        documents = random_texts(random.Random(8), 60)
        table = text_table(client, documents)
        scores = table.scores(MatchQuery("text", "red blue"))
        assert list(scores) == sorted(scores, key=lambda key: (-scores[key], key))
        upward = table.keys(MatchQuery("text", "red blue"), sort=Sort([ScoreSort(SortOrder.ASC)]))
        assert upward == sorted(scores, key=lambda key: (scores[key], key))

    def test_match_all_scores_one(self, client):
        assert text_table(client, {1: ["red"], 2: None}).scores(MatchAllQuery()) == {1: 1.0, 2: 1.0}

    def test_not_sorted_by_score_is_not_a_number(self, client):
        found = text_table(client, {1: ["red"]}).search(MatchQuery("text", "red"))
        assert math.isnan(found.search_hits[0].score)


def random_vectors(chance, count, dimension):
    return {key: [chance.uniform(-1, 1) for _ in range(dimension)] for key in range(count)}


def nearest(scores, count):
    return dict(sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:count])


class TestVectors:
    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("seed", SEEDS)
    def test_scores(self, client, metric, seed):
        chance = random.Random(seed)
        dimension = chance.choice([2, 3, 17])
        vectors = random_vectors(chance, 60, dimension)
        table = Table(client, [vector_field("v", dimension, METRICS[metric])])
        table.put_many({key: {"v": vector} for key, vector in vectors.items()})
        for _ in range(3):
            query = [chance.uniform(-2, 2) for _ in range(dimension)]
            expected = {key: vector_score(metric, query, vector) for key, vector in vectors.items()}
            found = table.scores(KnnVectorQuery("v", 60, query), limit=100)
            # DOT_PRODUCT is at least 0, so several may be tied there.
            assert found == approx(expected)
            assert list(found.values()) == sorted(found.values(), reverse=True)
            assert table.scores(KnnVectorQuery("v", 7, query), limit=7) == approx(nearest(expected, 7))

    @pytest.mark.parametrize("metric", METRICS)
    def test_filter_comes_first_and_changes_no_score(self, client, metric):
        chance = random.Random(3)
        vectors = random_vectors(chance, 50, 4)
        table = Table(
            client, [vector_field("v", 4, METRICS[metric]), FieldSchema("n", FieldType.LONG), text_field("text")]
        )
        table.put_many({key: {"v": vector, "n": key, "text": "red"} for key, vector in vectors.items()})
        query = [0.5, -0.25, 1.0, 0.125]
        scores = {key: vector_score(metric, query, vector) for key, vector in vectors.items()}
        for low in (0, 20, 45, 49):
            expected = nearest({key: score for key, score in scores.items() if key >= low}, 10)
            for part in (
                RangeQuery("n", low, None),
                BoolQuery([RangeQuery("n", low, None), MatchQuery("text", "red")]),
            ):
                assert table.scores(KnnVectorQuery("v", 10, query, filter=part), limit=10) == approx(expected)
        assert table.scores(KnnVectorQuery("v", 10, query, filter=TermQuery("n", 99)), limit=10) == {}
        assert table.scores(KnnVectorQuery("v", 50, query, filter=MatchAllQuery())) == approx(scores)

    def test_least_score(self, client):
        table = Table(client, [vector_field("v", 2)])
        table.put_many({1: {"v": [1, 0]}, 2: {"v": [0, 1]}, 3: {"v": [-1, 0]}})
        assert table.scores(KnnVectorQuery("v", 3, [1.0, 0.0], min_score=0.4)) == approx({1: 1.0, 2: 0.5})
        assert table.scores(KnnVectorQuery("v", 3, [1.0, 0.0], min_score=0.5)) == approx({1: 1.0, 2: 0.5})

    def test_weight(self, client):
        table = Table(client, [vector_field("v", 2)], rows={1: {"v": [1, 0]}, 2: {"v": [0, 1]}})
        assert table.scores(KnnVectorQuery("v", 2, [1.0, 0.0], weight=2.0)) == approx({1: 2.0, 2: 1.0})

    def test_inside_bool(self, client):
        documents = {1: ["red"], 2: ["blue"], 3: ["red", "blue"], 4: ["sky"]}
        vectors = {1: [1, 0], 2: [0, 1], 3: [-1, 0], 4: [1, 1]}
        table = Table(client, [text_field("text"), vector_field("v", 2)])
        table.put_many({key: {"text": " ".join(documents[key]), "v": vectors[key]} for key in documents})
        text = Corpus(documents).scores(["red"])
        near = {key: vector_score("COSINE", [1, 0], vector) for key, vector in vectors.items()}
        query = BoolQuery(should_queries=[MatchQuery("text", "red"), KnnVectorQuery("v", 4, [1.0, 0.0])])
        assert table.scores(query) == approx({key: text.get(key, 0.0) + near[key] for key in vectors})
        # The nearest are chosen before the other clauses are met.
        query = BoolQuery(must_queries=[TermQuery("text", "blue"), KnnVectorQuery("v", 1, [1.0, 0.0])])
        assert table.keys(query, limit=1) == []
        query = BoolQuery(filter_queries=[TermQuery("text", "red")], must_queries=[KnnVectorQuery("v", 4, [1.0, 0.0])])
        expected = {key: vector_score("COSINE", [1, 0], vectors[key]) for key in (1, 3)}
        assert table.scores(query) == approx(expected)

    def test_limit_raises_the_count(self, client):
        table = Table(client, [vector_field("v", 2)], rows={key: {"v": [1, key]} for key in range(30)})
        assert len(table.keys(KnnVectorQuery("v", 10, [1.0, 0.0]), limit=20)) == 20

    def test_several_fields(self, client):
        table = Table(client, [vector_field("v", 2), vector_field("w", 3, VectorMetricType.VM_EUCLIDEAN)])
        table.put_many({1: {"v": [1, 0], "w": [0, 0, 1]}, 2: {"v": [0, 1]}, 3: {"w": [1, 1, 1]}})
        assert table.scores(KnnVectorQuery("v", 9, [1.0, 0.0])) == approx({1: 1.0, 2: 0.5})
        assert table.scores(KnnVectorQuery("w", 9, [0.0, 0.0, 1.0])) == approx({1: 1.0, 3: 1 / 3})

    def test_default_order_is_that_of_the_key(self, client):
        table = Table(client, [vector_field("v", 2)], rows={1: {"v": [0, 1]}, 2: {"v": [1, 0]}})
        assert table.keys(KnnVectorQuery("v", 2, [1.0, 0.0])) == [1, 2]
        assert table.keys(KnnVectorQuery("v", 2, [1.0, 0.0]), sort=BY_SCORE) == [2, 1]

    def test_follows_changes(self, client):
        table = Table(client, [vector_field("v", 2)], rows={1: {"v": [0, 1]}, 2: {"v": [1, 0]}, 3: {"v": [1, 1]}})
        query = KnnVectorQuery("v", 3, [1.0, 0.0])
        table.search(query)
        table.put(1, v=[1, 0])
        table.delete(2)
        table.update(3, put=[("v", "[0, 1]")])
        table.put(4, v=[-1, 0])
        assert table.scores(query) == approx({1: 1.0, 3: 0.5, 4: 0.0})

    @pytest.mark.parametrize(
        "cell", ["[1]", "[1, 2, 3]", "[]", "1, 2", "[1, null]", '["1", "2"]', "", "[NaN, 1]", "[1e400, 1]", 5]
    )
    def test_a_cell_that_is_no_vector_is_not_found(self, client, cell):
        table = Table(client, [vector_field("v", 2)], rows={1: {"v": cell}, 2: {"v": [1, 0]}})
        assert table.keys(KnnVectorQuery("v", 9, [1.0, 0.0])) == [2]
        assert table.keys(MatchAllQuery()) == [1, 2]

    @pytest.mark.parametrize("vector", [[1.0], [1.0, 2.0, 3.0], [], [math.nan, 1.0], [math.inf, 1.0]], ids=str)
    def test_query_vector_is_checked(self, client, vector):
        table = Table(client, [vector_field("v", 2)], rows={1: {"v": [1, 0]}})
        with service_error(INVALID):
            table.search(KnnVectorQuery("v", 2, vector))

    @pytest.mark.parametrize("count", [0, -1, 10_000])
    def test_count_is_checked(self, client, count):
        table = Table(client, [vector_field("v", 2)], rows={1: {"v": [1, 0]}})
        with service_error(INVALID):
            table.search(KnnVectorQuery("v", count, [1.0, 0.0]))
