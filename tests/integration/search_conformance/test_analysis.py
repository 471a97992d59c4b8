"""The five analysers, with the worked examples of reference section 17."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tablestore import (
    AnalyzerType,
    FuzzyAnalyzerParameter,
    MatchPhraseQuery,
    MatchQuery,
    QueryOperator,
    SingleWordAnalyzerParameter,
    SplitAnalyzerParameter,
    TermQuery,
)

from .support import Table, text_field

TITLES = {
    1: "求推荐几款菊花茶店铺",
    2: "秋天最适合饮用的几种花茶",
    3: "苕溪边上有一大片野生菊花",
    4: "菊花茶是一款大部分人都适合的经典花茶",
}


def table(client, analyzer, text, parameter=None):
    rows = text if isinstance(text, dict) else {1: text}
    return Table(client, [text_field("text", analyzer, parameter)], rows={k: {"text": v} for k, v in rows.items()})


def found(table, text, **options):
    return len(table.keys(MatchQuery("text", text, **options)))


def terms(table, *words):
    """Which of these are tokens of the one row."""
    return [word for word in words if table.keys(TermQuery("text", word))]


class TestSingleWord:
    def test_tokens(self, client):
        one = table(client, AnalyzerType.SINGLEWORD, "The iPhone6, 花茶-Well_done 3.5")
        assert terms(one, "the", "iphone6", "花", "茶", "well") == ["the", "iphone6", "花", "茶", "well"]
        assert terms(one, "The", "iPhone6", "花茶", "iphone", "6") == []

    def test_is_the_default(self, client):
        one = table(client, None, "花茶 Tea")
        assert terms(one, "花", "茶", "tea", "花茶", "Tea") == ["花", "茶", "tea"]

    def test_case(self, client):
        one = table(client, AnalyzerType.SINGLEWORD, "The Tea", SingleWordAnalyzerParameter(case_sensitive=True))
        assert terms(one, "The", "the", "Tea", "tea") == ["The", "Tea"]
        assert found(one, "tea") == 0
        assert found(one, "Tea") == 1

    def test_letters_apart_from_digits(self, client):
        one = table(client, AnalyzerType.SINGLEWORD, "iphone6", SingleWordAnalyzerParameter(delimit_word=True))
        assert terms(one, "iphone", "6", "iphone6") == ["iphone", "6"]

    def test_chinese_phrase(self, client):
        four = table(client, AnalyzerType.SINGLEWORD, TITLES)
        assert four.keys(MatchPhraseQuery("text", "菊花茶")) == [1, 4]
        assert four.keys(MatchPhraseQuery("text", "花茶")) == [1, 2, 4]
        assert four.keys(MatchPhraseQuery("text", "茶花")) == []


class TestSplit:
    def test_white_space(self, client):
        one = table(client, AnalyzerType.SPLIT, "Big-Red  花茶 fox")
        assert terms(one, "big-red", "花茶", "fox", "big", "花") == ["big-red", "花茶", "fox"]

    @pytest.mark.parametrize("delimiter", ["|", ",", ".", "*", "\\", "'"])
    def test_delimiter(self, client, delimiter):
        text = delimiter.join(["Red Fox", "花茶", "x y"])
        one = table(client, AnalyzerType.SPLIT, text, SplitAnalyzerParameter(delimiter))
        assert terms(one, "red fox", "花茶", "x y", "red", "x") == ["red fox", "花茶", "x y"]
        assert found(one, "red fox") == 1
        assert found(one, "red") == 0


class TestFuzzy:
    def test_worked_example(self, client):
        one = table(client, AnalyzerType.FUZZY, "a b c abac")
        counts = {text: found(one, text) for text in ("a b c", "ac", "abac", "ab", "abc")}
        assert counts == {"a b c": 1, "ac": 1, "abac": 1, "ab": 1, "abc": 0}
        assert one.keys(MatchPhraseQuery("text", "a b c abac")) == [1]

    def test_lengths(self, client):
        one = table(client, AnalyzerType.FUZZY, "Weather", FuzzyAnalyzerParameter(2, 4))
        assert terms(one, "we", "eath", "her", "w", "weath") == ["we", "eath", "her"]

    def test_only_the_beginning(self, client):
        one = table(client, AnalyzerType.FUZZY, "a " * 512 + "zebra")
        assert terms(one, "a", "zebra") == ["a"]


class TestMaxWord:
    def test_worked_example(self, client):
        one = table(client, AnalyzerType.MAXWORD, "a b c ab ac")
        counts = {text: found(one, text) for text in ("a b c", "ac", "ab", "abc", "abac")}
        assert counts == {"a b c": 1, "ac": 1, "ab": 1, "abc": 0, "abac": 0}


class TestChinese:
    def test_max_word(self, client):
        """Live results of the service."""
        four = table(client, AnalyzerType.MAXWORD, TITLES)
        assert {text: found(four, text) for text in ("菊花茶", "梨花茶", "花茶", "菊花")} == {
            "菊花茶": 4,
            "梨花茶": 3,
            "花茶": 3,
            "菊花": 3,
        }
        assert found(four, "饮用花茶", operator=QueryOperator.AND) == 1
        assert found(four, "饮用花茶", operator=QueryOperator.OR) == 3
        assert found(four, "饮用花茶", operator=QueryOperator.OR, minimum_should_match=2) == 1
        assert four.keys(MatchPhraseQuery("text", "野生菊花")) == [3]
        assert four.keys(MatchPhraseQuery("text", "秋天菊花")) == []

    def test_words_of_max_word(self, client):
        one = table(client, AnalyzerType.MAXWORD, "梨花茶")
        assert terms(one, "梨花", "花茶") == ["梨花", "花茶"]

    def test_words_of_min_word(self, client):
        one = table(client, AnalyzerType.MINWORD, "梨花茶")
        assert terms(one, "梨", "花茶", "梨花") == ["梨", "花茶"]


def test_without_a_dictionary(tmp_path):
    """Single characters and pairs stand in for words: only the AND case differs, and the engine says so."""
    run = subprocess.run(
        [sys.executable, Path(__file__).with_name("without_dictionary.py")], capture_output=True, text=True, check=True
    )
    counts = json.loads(run.stdout)
    assert counts == {"菊花茶": 4, "梨花茶": 3, "花茶": 3, "菊花": 3, "饮用花茶": 3, "said": True}
