"""Text: phrases of words that are cut into pieces, arrays of texts, and analysis that stays as an index was made."""

from __future__ import annotations

import math
import sys

import pytest
from tablestore import (
    AnalyzerType,
    ExistsQuery,
    FieldSchema,
    FieldType,
    FuzzyAnalyzerParameter,
    MatchPhraseQuery,
    MatchQuery,
    QueryOperator,
    RangeQuery,
    TermQuery,
    WildcardQuery,
)

from langchain_tablestore_memory.local.search import analysis

from .support import Table, refused


def text(name="text", analyzer=AnalyzerType.SINGLEWORD, parameter=None, **options):
    return FieldSchema(name, FieldType.TEXT, analyzer=analyzer, analyzer_parameter=parameter, **options)


def bm25(frequency, length, average, idf):
    return idf * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * length / average))


def idf(total, having):
    return math.log(1 + (total - having + 0.5) / (having + 0.5))


class TestFuzzyPhrases:
    @pytest.fixture
    def table(self, client):
        table = Table(client, [text(analyzer=AnalyzerType.FUZZY)])
        table.put(1, text="green tea house")
        table.put(2, text="house of green teas, tea")
        return table

    @pytest.mark.parametrize(
        ("phrase", "found"),
        [
            ("green tea", [1, 2]),
            ("reen te", [1, 2]),
            ("tea house", [1]),
            ("ea ho", [1]),
            ("house green", []),
            ("tea green", []),
            ("of g t t", [2]),
            ("green tea house", [1]),
            ("hous", [1, 2]),
            ("greentea", []),
        ],
    )
    def test_words_follow_one_another(self, table, phrase, found):
        query = MatchPhraseQuery("text", phrase)
        assert table.ids(query) == found
        assert sorted(table.scores(query)) == found

    def test_words_too_short_for_pieces_keep_their_place(self, client):
        table = Table(client, [text(analyzer=AnalyzerType.FUZZY, parameter=FuzzyAnalyzerParameter(2, 4))])
        table.put(1, text="green a tea")
        table.put(2, text="a b")
        assert table.ids(MatchPhraseQuery("text", "green tea")) == []
        assert table.ids(ExistsQuery("text")) == [1]


class TestArrays:
    @pytest.fixture
    def table(self, client):
        table = Table(client, [text("texts", is_array=True)])
        table.put(1, texts=["green tea", "black tea"])
        table.put(2, texts=["tea black"])
        table.put(3, texts=["x"])
        return table

    def test_no_phrase_reaches_over_an_end(self, table):
        assert table.ids(MatchPhraseQuery("texts", "tea black")) == [2]
        assert list(table.scores(MatchPhraseQuery("texts", "tea black"))) == [2]

    def test_ends_are_no_tokens(self, table):
        assert table.ids(WildcardQuery("texts", "?")) == [3]
        assert table.ids(RangeQuery("texts", "u", None)) == [3]

    def test_ends_do_not_count_as_length(self, table):
        average = 7 / 3
        assert table.scores(MatchQuery("texts", "black")) == pytest.approx(
            {1: bm25(1, 4, average, idf(3, 2)), 2: bm25(1, 2, average, idf(3, 2))}
        )
        # Also while rows change.
        table.put(3, texts=["x", "y", "black"])
        average = 9 / 3
        assert table.scores(MatchQuery("texts", "black")) == pytest.approx(
            {key: bm25(1, length, average, idf(3, 3)) for key, length in ((1, 4), (2, 2), (3, 3))}
        )


class TestRepeated:
    @pytest.fixture
    def table(self, client):
        table = Table(client, [text()])
        for number, words in enumerate(["tea tea tea", "tea cup", "cup of tea tea"]):
            table.put(number, text=words)
        return table

    def test_a_word_that_is_asked_twice_counts_twice(self, table):
        once, twice = table.scores(MatchQuery("text", "cup")), table.scores(MatchQuery("text", "cup cup"))
        assert twice == pytest.approx({key: 2 * score for key, score in once.items()})
        both = MatchQuery("text", "cup cup", operator=QueryOperator.AND)
        assert table.scores(both) == pytest.approx(twice)
        assert table.ids(MatchQuery("text", "cup cup", minimum_should_match=2)) == [1, 2]

    def test_a_phrase_of_one_word(self, table):
        """Runs may overlap: three in a row hold the phrase of two twice. Its idf is that of all its words."""
        average = 9 / 3
        assert table.scores(MatchPhraseQuery("text", "tea tea")) == pytest.approx(
            {0: bm25(2, 3, average, 2 * idf(3, 3)), 2: bm25(1, 4, average, 2 * idf(3, 3))}
        )


class TestTermOnText:
    def test_matches_one_token_as_it_is(self, client):
        table = Table(client, [text()])
        table.put(1, text="Green Tea")
        assert table.ids(TermQuery("text", "tea")) == [1]
        assert table.ids(TermQuery("text", "Tea")) == table.ids(TermQuery("text", "green tea")) == []


class TestSegmentation:
    """An index goes on as it was made, whether the dictionary comes or goes."""

    @pytest.fixture
    def without_dictionary(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "rjieba", None)
        analysis.dictionary.cache_clear()
        yield monkeypatch
        analysis.dictionary.cache_clear()

    def test_pairs_stay_pairs(self, client, without_dictionary):
        table = Table(client, [text(analyzer=AnalyzerType.MAXWORD)])
        table.put(1, text="求推荐几款菊花茶店铺")
        without_dictionary.undo()
        table.put(2, text="求推荐几款菊花茶店铺")
        # No word, but a pair.
        assert table.ids(TermQuery("text", "款菊")) == [1, 2]
        assert table.ids(MatchQuery("text", "花茶")) == [1, 2]

    def test_words_need_their_dictionary(self, client, monkeypatch):
        pytest.importorskip("rjieba", reason="the dictionary is an extra")
        table = Table(client, [text(analyzer=AnalyzerType.MAXWORD)])
        table.put(1, text="菊花茶")
        monkeypatch.setitem(sys.modules, "rjieba", None)
        analysis.dictionary.cache_clear()
        with refused(containing="rjieba, which is not installed here"):
            table.put(2, text="菊花茶")
        with refused(containing="rjieba, which is not installed here"):
            table.ids(MatchQuery("text", "菊花"))
        assert client.get_row("t", [("id", 2)])[1] is None
        # English needs no dictionary.
        table.put(3, text="green tea")
        assert table.ids(MatchQuery("text", "tea")) == [3]
        monkeypatch.undo()
        analysis.dictionary.cache_clear()
        assert table.ids(MatchQuery("text", "菊花")) == [1]
