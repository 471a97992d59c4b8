"""Analysers: what they make of a text, in the index and in queries."""

from __future__ import annotations

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tablestore_memory.local.search import analysis
from langchain_tablestore_memory.local.search.analysis import DICTIONARY, PAIRS, Analyzer
from langchain_tablestore_memory.local.search.values import escape_token, join_tokens, unescape_token


class TestSingleWord:
    @pytest.mark.parametrize(
        ("text", "tokens"),
        [
            ("", []),
            ("Hello, World!", ["hello", "world"]),
            ("iphone6 与iPad", ["iphone6", "与", "ipad"]),
            ("菊花茶", ["菊", "花", "茶"]),
            ("snake_case a-b 3.14", ["snake", "case", "a", "b", "3", "14"]),
            ("Größe ПРИВЕТ", ["größe", "привет"]),
            ("ひらがな한국", ["ひ", "ら", "が", "な", "한", "국"]),
        ],
    )
    def test_tokens(self, text, tokens):
        analyzer = Analyzer("single_word")
        assert analyzer.index_tokens(text) == tokens
        assert analyzer.query_tokens(text) == tokens
        assert analyzer.phrase_tokens(text) == tokens

    def test_case_sensitive(self):
        assert Analyzer("single_word", case_sensitive=True).index_tokens("Ab aB") == ["Ab", "aB"]

    def test_delimit_word(self):
        assert Analyzer("single_word", delimit_word=True).index_tokens("iphone6s") == ["iphone", "6", "s"]


class TestSplit:
    def test_blanks(self):
        assert Analyzer("split").index_tokens(" A-b  c,d\t菊花茶\n") == ["a-b", "c,d", "菊花茶"]

    def test_delimiter(self):
        assert Analyzer("split", delimiter=",").index_tokens("new york,,x y") == ["new york", "x y"]


class TestFuzzy:
    def test_pieces_in_the_index_only(self):
        analyzer = Analyzer("fuzzy", min_chars=1, max_chars=2)
        assert analyzer.index_tokens("abc d") == ["a", "ab", "b", "bc", "c", "d"]
        assert analyzer.query_tokens("abc d") == ["abc", "d"]

    def test_pieces_of_a_word_belong_together(self):
        analyzer = Analyzer("fuzzy", min_chars=2, max_chars=3)
        assert analyzer.index_words("ABCD e") == [["ab", "abc", "bc", "bcd", "cd"], []]

    def test_only_the_beginning_is_indexed(self):
        tokens = Analyzer("fuzzy", min_chars=1, max_chars=1).index_tokens("x" * 5000)
        assert len(tokens) == 1024


class TestDictionary:
    @pytest.fixture(autouse=True)
    def _needs_dictionary(self):
        pytest.importorskip("rjieba", reason="the dictionary is an extra")

    def test_max_word_has_overlapping_words(self):
        assert Analyzer("max_word").index_tokens("梨花茶") == ["梨花", "花茶"]

    def test_min_word_has_the_finest_words(self):
        assert Analyzer("min_word").index_tokens("梨花茶") == ["梨", "花茶"]

    @pytest.mark.parametrize("name", ["max_word", "min_word"])
    def test_latin_words_are_whole(self, name):
        assert Analyzer(name).index_tokens("A b abac iphone6 菊花") == ["a", "b", "abac", "iphone6", "菊花"]

    @given(st.text(st.sampled_from("梨花茶菊大部分人都適合的一ab1 ，.𠮷"), max_size=30))
    def test_min_word_keeps_all_characters(self, text):
        tokens = Analyzer("min_word").index_tokens(text)
        assert "".join(tokens) == "".join(character for character in text.lower() if character.isalnum())

    @given(st.text(st.sampled_from("梨花茶菊大部分人都適合的一ab1 ，.𠮷"), max_size=30))
    def test_max_word_covers_all_characters(self, text):
        tokens = Analyzer("max_word").index_tokens(text)
        assert set("".join(tokens)) == {character for character in text.lower() if character.isalnum()}


class TestWithoutDictionary:
    def test_pairs_are_searched_and_characters_stored(self):
        analyzer = Analyzer("max_word", segmenter=PAIRS)
        assert analyzer.index_tokens("菊花茶 ok") == ["菊", "菊花", "花", "花茶", "茶", "ok"]
        assert analyzer.query_tokens("菊花茶 ok") == ["菊花", "花茶", "ok"]
        assert analyzer.query_tokens("茶") == ["茶"]

    def test_phrase_is_a_part_of_what_is_stored(self):
        analyzer = Analyzer("min_word", segmenter=PAIRS)
        stored = " ".join(analyzer.index_tokens("一款菊花茶店"))
        assert " ".join(analyzer.phrase_tokens("菊花茶")) in stored
        assert " ".join(analyzer.phrase_tokens("菊茶")) not in stored

    def test_log_says_so_once(self, monkeypatch, caplog):
        monkeypatch.setitem(sys.modules, "rjieba", None)
        assert analysis.choose_segmenter() == PAIRS
        analysis._tell_of_pairs.cache_clear()
        with caplog.at_level(logging.WARNING):
            for text in ("tea", "菊花茶", "花茶"):
                Analyzer("max_word", segmenter=PAIRS).index_tokens(text)
        assert [record.message for record in caplog.records if "rjieba is not installed" in record.message] == [
            caplog.records[0].message
        ]

    def test_words_cannot_be_had(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "rjieba", None)
        analysis.dictionary.cache_clear()
        analyzer = Analyzer("max_word", segmenter=DICTIONARY)
        assert analyzer.index_tokens("green tea") == ["green", "tea"]
        with pytest.raises(analysis.DictionaryMissing, match="rjieba"):
            analyzer.index_tokens("菊花茶")


class TestPlainText:
    @pytest.mark.parametrize("name", ["single_word", "max_word", "min_word"])
    @given(text=st.text(st.characters(codec="ascii"), max_size=60))
    def test_the_short_way_gives_the_same(self, name, text):
        analyzer = Analyzer(name)
        assert analyzer.join_plain(text) == join_tokens(analyzer.index_tokens(text))

    @pytest.mark.parametrize(
        ("analyzer", "text"),
        [
            (Analyzer("single_word"), "tea 茶"),
            (Analyzer("single_word"), "Größe"),
            (Analyzer("single_word"), "x" * 5000),
            (Analyzer("single_word", case_sensitive=True), "Tea"),
            (Analyzer("single_word", delimit_word=True), "tea6"),
            (Analyzer("split"), "a-b"),
        ],
    )
    def test_what_needs_more(self, analyzer, text):
        assert analyzer.join_plain(text) is None


class TestTokensInFts5:
    @given(st.text())
    def test_escaping_can_be_undone(self, token):
        assert unescape_token(escape_token(token)) == token

    @given(st.text(), st.text())
    def test_prefix_stays_prefix(self, head, tail):
        assert escape_token(head + tail).startswith(escape_token(head))

    @given(st.lists(st.text(min_size=1), max_size=5))
    def test_tokenizer_leaves_tokens_alone(self, tokens):
        import sqlite3

        connection = sqlite3.connect(":memory:")
        connection.execute("CREATE VIRTUAL TABLE f USING fts5(t, tokenize='ascii')")
        connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab(f, instance)")
        connection.execute("INSERT INTO f VALUES (?)", (join_tokens(tokens),))
        found = [term for (term,) in connection.execute("SELECT term FROM v ORDER BY offset")]
        connection.close()
        assert [unescape_token(term) for term in found] == tokens
