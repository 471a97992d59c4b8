"""Random queries over random rows that change all the while: every score to 1e-6, computed apart in plain Python.

Several text fields and vector fields, all operators, phrases and weights, one inside the other (reference sections
18 to 20).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
import tablestore
from tablestore import (
    AnalyzerType,
    BoolQuery,
    FieldSchema,
    FieldType,
    KnnVectorQuery,
    MatchPhraseQuery,
    MatchQuery,
    QueryOperator,
    RangeQuery,
    TermQuery,
    VectorMetricType,
)

from .plain import Corpus, tokens, vector_score
from .support import Table, text_field, vector_field

WORDS = ["red", "blue", "green", "sea", "sky", "茶", "花", "iphone6"]
TEXTS = ("title", "body", "parts")
VECTORS = {"v": "COSINE", "w": "EUCLIDEAN", "x": "DOT_PRODUCT"}
FIELDS = [
    text_field("title"),
    # Cuts Latin words as the other does.
    text_field("body", AnalyzerType.MAXWORD),
    FieldSchema("parts", FieldType.TEXT, analyzer=AnalyzerType.SINGLEWORD, is_array=True),
    FieldSchema("n", FieldType.LONG),
    *(vector_field(name, 3, VectorMetricType[f"VM_{metric}"]) for name, metric in VECTORS.items()),
]
EXACT = {"rel": 1e-6, "abs": 1e-9}

Scores = dict[int, float]


@dataclass
class Reading:
    """What queries score among rows."""

    rows: dict[int, dict[str, Any]]

    def words(self, field: str) -> dict[int, list[str] | None]:
        def of(cell: Any) -> list[str] | None:
            if cell is None:
                return None
            return [word for text in (cell if isinstance(cell, list) else [cell]) for word in tokens(text)]

        return {key: of(row.get(field)) for key, row in self.rows.items()}

    def match(self, field: str, words: list[str], operator: str, least: int) -> Scores:
        found = self.words(field)
        needed = len(words) if operator == "AND" else least
        scores = Corpus(found).scores(words)
        return {key: score for key, score in scores.items() if sum(word in found[key] for word in words) >= needed}

    def phrase(self, field: str, words: list[str]) -> Scores:
        """As Lucene: the frequency of the phrase, with the rarity of all its words."""
        found = self.words(field)
        corpus = Corpus(found)
        scores = {}
        for key, text in corpus.documents.items():
            times = sum(text[start : start + len(words)] == words for start in range(len(text)))
            if times:
                scores[key] = sum(map(corpus.idf, words)) * corpus.saturated(times, len(text))
        return scores

    def nearest(self, field: str, vector: list[float], count: int, among: set[int]) -> Scores:
        scores = {
            key: vector_score(VECTORS[field], vector, row[field])
            for key, row in self.rows.items()
            if row.get(field) is not None and key in among
        }
        return dict(sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:count])


class Maker:
    """Random queries, each with the scores that it must have."""

    def __init__(self, chance: random.Random, reading: Reading) -> None:
        self.chance, self.reading = chance, reading

    def leaf(self, *, vectors: bool = True) -> tuple[tablestore.Query, Scores]:
        kind = self.chance.choice(["match", "match", "phrase", "nearest" if vectors else "match"])
        weight = self.chance.choice([1.0, 1.0, 0.5, 3.0])
        if kind == "nearest":
            field = self.chance.choice(list(VECTORS))
            vector = [self.chance.uniform(-1, 1) for _ in range(3)]
            count = len(self.reading.rows) + 1
            query = KnnVectorQuery(field, count, vector, weight=weight)
            scores = self.reading.nearest(field, vector, count, set(self.reading.rows))
        elif kind == "phrase":
            field = self.chance.choice(["title", "body"] if vectors else ["title"])
            words = self.chance.choices(WORDS[:4], k=self.chance.randint(1, 3))
            query = MatchPhraseQuery(field, " ".join(words), weight=weight)
            scores = self.reading.phrase(field, words)
        else:
            field = self.chance.choice(TEXTS)
            # A word that is asked for twice counts twice.
            words = self.chance.choices(WORDS if field != "body" else WORDS[:5], k=self.chance.randint(1, 4))
            operator, least = self.chance.choice(["AND", "OR", "OR"]), self.chance.randint(1, len(words))
            query = MatchQuery(
                field,
                " ".join(words),
                minimum_should_match=None if operator == "AND" else least,
                operator=QueryOperator[operator],
                weight=weight,
            )
            scores = self.reading.match(field, words, operator, least)
        return query, {key: weight * score for key, score in scores.items()}

    def condition(self) -> tuple[tablestore.Query, set[int]]:
        low = self.chance.randint(-1, 6)
        if self.chance.random() < 0.5:
            return TermQuery("n", low), {key for key, row in self.reading.rows.items() if row.get("n") == low}
        at_least = {key for key, row in self.reading.rows.items() if row.get("n") is not None and row["n"] >= low}
        return RangeQuery("n", low, None), at_least

    def both(self) -> tuple[tablestore.Query, Scores]:
        """A Bool query of all kinds of clauses."""
        must = [self.leaf() for _ in range(self.chance.randint(0, 2))]
        should = [self.leaf() for _ in range(self.chance.randint(0 if must else 1, 2))]
        filters = [self.condition() for _ in range(self.chance.randint(0, 1))]
        never = [self.condition() for _ in range(self.chance.randint(0, 1))]
        weight = self.chance.choice([1.0, 2.0])
        least = self.chance.choice([None, None, *range(1, len(should) + 1)]) if should else None
        query = BoolQuery(
            must_queries=[part for part, _ in must],
            should_queries=[part for part, _ in should],
            filter_queries=[part for part, _ in filters],
            must_not_queries=[part for part, _ in never],
            minimum_should_match=least,
            weight=weight,
        )
        needed = least if least is not None else (0 if must or filters else 1)
        scores = {}
        for key in self.reading.rows:
            if (
                all(key in found for _, found in (*must, *filters))
                and not any(key in found for _, found in never)
                and sum(key in found for _, found in should) >= needed
            ):
                scores[key] = weight * sum(found.get(key, 0.0) for _, found in (*must, *should))
        return query, scores

    def nearest_of_some(self) -> tuple[tablestore.Query, Scores]:
        """The nearest among those that fulfil a condition."""
        field, (condition, among) = self.chance.choice(list(VECTORS)), self.condition()
        vector = [self.chance.uniform(-1, 1) for _ in range(3)]
        count = self.chance.randint(1, 10)
        return KnnVectorQuery(field, count, vector, filter=condition), self.reading.nearest(field, vector, count, among)


def random_row(chance: random.Random) -> dict[str, Any]:
    def text(most: int, words: list[str] = WORDS) -> str:
        return " ".join(chance.choices(words, [50, 20, 10, 5, 3, 2, 2, 1][: len(words)], k=chance.randint(1, most)))

    row = {
        "title": text(5),
        "body": text(30, WORDS[:5]),
        "parts": [text(4) for _ in range(chance.randint(1, 3))],
        "n": chance.randint(0, 5),
        **{name: [round(chance.uniform(-1, 1), 3) for _ in range(3)] for name in VECTORS},
    }
    return {name: None if chance.random() < 0.15 else cell for name, cell in row.items()}


def change(chance: random.Random, table: Table, rows: dict[int, dict[str, Any]]) -> None:
    """Some rows are put, replaced and deleted, one by one and together."""
    put = {chance.randrange(60): random_row(chance) for _ in range(5)}
    table.put_many(put)
    rows.update(put)
    for key in chance.sample(sorted(rows), 3):
        table.delete(key)
        del rows[key]
    key, title = chance.choice(sorted(rows)), " ".join(chance.choices(WORDS, k=3))
    table.update(key, put=[("title", title)], delete_all=["body"])
    rows[key] = {**rows[key], "title": title, "body": None}


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 12))])
def test_scores_of_random_queries(fresh_client, seed):
    chance = random.Random(seed)
    rows = {key: random_row(chance) for key in range(40)}
    table = Table(fresh_client(), FIELDS)
    table.put_many(rows)
    for _ in range(6):
        change(chance, table, rows)
        maker = Maker(chance, Reading(rows))
        for _ in range(12):
            query, expected = chance.choice([maker.leaf, maker.both, maker.both, maker.nearest_of_some])()
            limit = query.top_k if isinstance(query, KnnVectorQuery) else 1000
            found = table.scores(query, limit=limit)
            assert found == {key: pytest.approx(score, **EXACT) for key, score in expected.items()}, str(query)
            assert list(found.values()) == sorted(found.values(), reverse=True)
