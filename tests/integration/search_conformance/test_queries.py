"""Every query type finds what a plain-Python reading finds, over random rows (reference section 18)."""

from __future__ import annotations

import datetime as dt

import pytest
import tablestore
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tablestore import (
    BoolQuery,
    DisMaxQuery,
    FieldValueFactor,
    FunctionScoreQuery,
    GeoBoundingBoxQuery,
    GeoDistanceQuery,
    GeoPolygonQuery,
    MatchAllQuery,
    MatchPhraseQuery,
    MatchQuery,
    NestedQuery,
    PrefixQuery,
    QueryOperator,
    RangeQuery,
    TermQuery,
    TermsQuery,
    WildcardQuery,
)

from .plain import FIELDS, matches, to_sdk
from .support import INVALID, Table, service_error

# Not shrunk: an example is small, and each step of shrinking would make a table.
EXAMPLES = settings(
    max_examples=15 * settings.default.max_examples // 100,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

WORDS = ["a", "ab", "abc", "B", "b c", "茶", "花茶", "Zoë", "9", "10", "-", "a*b", "a_b", "a%b", "'", '"']
TOKENS = ["tea", "Tea", "teapot", "green", "42", "花", "茶", "iphone6", "and", "or", "not", "near"]
# Not the epoch's first day: it begins before the epoch where days without a zone are those of Beijing.
DAYS = [dt.date(1970, 1, 2), dt.date(2022, 5, 6), dt.date(2022, 5, 7), dt.date(2030, 1, 1)]

values = {
    "word": st.sampled_from(WORDS),
    "number": st.integers(-3, 3) | st.sampled_from([2**62, -(2**63), 2**63 - 1, 2**53 + 1, 2**53]),
    "real": st.sampled_from([-1.5, 0.0, 0.1, 0.5, 2.0, 1e300]),
    "flag": st.booleans(),
    "day": st.sampled_from(DAYS),
    "text": st.lists(st.sampled_from(TOKENS), min_size=1, max_size=6).map(" ".join),
}
arrays = {"words": "word", "numbers": "number", "reals": "real", "flags": "flag", "texts": "text"}
misfits = st.sampled_from(["x", "2022-05-6", "[1", "{}", "null"]) | st.integers(-2, 2) | st.booleans()


def cell(name):
    """A cell for a field: mostly one that fits, at times none or one of another type."""
    if name in arrays:
        fitting = st.lists(values[arrays[name]], max_size=4)
        other = st.integers(-2, 2) | st.booleans()
    elif name == "day":
        fitting = values[name].map(lambda day: day.isoformat())
        other = misfits
    else:
        fitting = values[name]
        other = st.booleans() if name in ("word", "text", "number", "real") else st.integers(0, 1)
    return st.one_of(st.none(), fitting, fitting, fitting, other)


rows = st.lists(st.fixed_dictionaries({name: cell(name) for name in (*values, *arrays)}), min_size=1, max_size=12)

SCALARS = ["word", "number", "real", "flag", "day", "words", "numbers", "reals", "flags"]
ORDERED = ["word", "number", "real", "day", "words", "numbers", "reals"]


def operand(name):
    return values[arrays.get(name, name)]


def for_fields(names, make):
    return st.sampled_from(names).flatmap(make)


token = st.sampled_from([t.lower() for t in TOKENS] + ["t", "absent"])
terms = for_fields(SCALARS, lambda f: st.tuples(st.just("term"), st.just(f), operand(f)))
several = for_fields(SCALARS, lambda f: st.tuples(st.just("terms"), st.just(f), st.lists(operand(f), min_size=1)))
ranges = for_fields(
    ORDERED,
    lambda f: st.tuples(
        st.just("range"), st.just(f), st.none() | operand(f), st.none() | operand(f), st.booleans(), st.booleans()
    ),
).filter(lambda query: query[2] is not None or query[3] is not None)
patterns = st.sampled_from(["*", "a*", "*b", "a?b", "?", "*b*c*", "花*", "??", "a", "%", "a_b", "a%*", "Zo?", "*'"])
wildcards = st.tuples(st.just("wildcard"), st.sampled_from(["word", "words"]), patterns)
prefixes = st.tuples(
    st.just("prefix"),
    st.sampled_from(["word", "words"]),
    st.sampled_from(["a", "ab", "花", "A", "a_", "a%", "-", "b "]),
)
texts = st.sampled_from(["text", "texts"])
phrase = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=3).map(" ".join)
text_queries = st.one_of(
    st.tuples(st.just("match"), texts, phrase, st.sampled_from([None, "OR", "AND"]), st.none()),
    st.tuples(st.just("match"), texts, phrase, st.sampled_from([None, "OR"]), st.integers(1, 3)),
    st.tuples(st.just("term"), texts, token),
    st.tuples(st.just("terms"), texts, st.lists(token, min_size=1, max_size=3)),
    st.tuples(st.just("prefix"), texts, st.sampled_from(["t", "te", "tea", "4", "茶", "tea green", "iphone"])),
    st.tuples(st.just("wildcard"), texts, st.sampled_from(["t*", "*a", "?ea", "*", "i*6", "tea pot", "茶", "te?p*"])),
    st.tuples(st.just("range"), texts, token, token, st.booleans(), st.booleans()),
)
phrases = st.tuples(st.just("phrase"), st.just("text"), phrase)
whole = st.one_of(
    st.tuples(st.just("match"), st.sampled_from(["word", "words"]), st.sampled_from(WORDS), st.none(), st.none()),
    st.tuples(st.just("phrase"), st.sampled_from(["word", "words"]), st.sampled_from(WORDS)),
    st.tuples(
        st.just("match"), st.sampled_from(["number", "numbers"]), operand("number").map(str), st.none(), st.none()
    ),
)
exists = st.tuples(st.just("exists"), st.sampled_from([*values, *arrays]))
leaves = st.one_of(terms, several, ranges, wildcards, prefixes, text_queries, phrases, whole, exists, st.just(("all",)))


def bools(children):
    some = st.lists(children, max_size=2)
    # A minimum is of should clauses: none is asked of a query that has no such clause.
    should = st.tuples(st.lists(children, min_size=1, max_size=2), st.none() | st.integers(0, 2)) | st.just(([], None))
    return st.tuples(some, some, should, some).map(lambda q: ("bool", q[0], q[1], q[2][0], q[3], q[2][1]))


trees = st.recursive(leaves, bools, max_leaves=8)

GROUPS = {
    "term": terms,
    "terms": several,
    "range": ranges,
    "wildcard": wildcards,
    "prefix": prefixes,
    "text": text_queries,
    "phrase": phrases,
    "whole": whole,
    "exists": exists,
    "bool": trees,
}


@pytest.mark.parametrize("group", GROUPS)
def test_queries_agree_with_a_plain_reading(fresh_client, group):
    @EXAMPLES
    @given(rows, st.lists(GROUPS[group], min_size=1, max_size=8))
    def agree(written, queries):
        numbered = dict(enumerate(written))
        table = Table(fresh_client(), FIELDS)
        table.put_many(numbered)
        for query in queries:
            expected = [key for key, row in numbered.items() if matches(query, row)]
            assert table.keys(to_sdk(query)) == expected, query
            assert table.count(to_sdk(query)) == len(expected), query

    agree()


@pytest.fixture
def table(client):
    found = Table(client, FIELDS)
    found.put_many(
        {
            1: {"word": "a", "number": 900, "text": "this is Tea", "words": ["a", "b"]},
            2: {"word": "b", "number": 28, "text": "tea", "real": 1.5},
            3: {"word": "c"},
        }
    )
    return found


class TestCases:
    def test_numbers_given_as_text(self, table):
        assert table.keys(TermQuery("number", "900")) == [1]
        assert table.keys(MatchQuery("number", "28")) == [2]
        assert table.keys(RangeQuery("number", "28", "900", True, True)) == [1, 2]

    def test_integer_for_a_double(self, table):
        assert table.keys(RangeQuery("real", 1, 2)) == [2]

    def test_terms_of_text_are_tokens(self, table):
        assert table.keys(TermQuery("text", "tea")) == [1, 2]
        assert table.keys(TermQuery("text", "Tea")) == []
        assert table.keys(TermQuery("text", "this is")) == []
        assert table.keys(PrefixQuery("text", "this is")) == []

    def test_number_for_a_keyword(self, table):
        with service_error(INVALID, "word"):
            table.search(TermQuery("word", 1))

    def test_empty_bool_finds_all(self, table):
        assert table.keys(BoolQuery()) == [1, 2, 3]

    def test_minimum_as_text(self, table):
        queries = [TermQuery("word", "a"), TermQuery("number", 900), TermQuery("text", "tea")]
        assert table.keys(BoolQuery(should_queries=queries, minimum_should_match="2")) == [1]
        assert table.keys(MatchQuery("text", "this tea", minimum_should_match="2")) == [1]

    def test_unbounded_range_of_one_side(self, table):
        assert table.keys(RangeQuery("number", None, 900)) == [2]
        assert table.keys(RangeQuery("number", 28, None, False)) == [1]

    def test_match_of_nothing(self, table):
        assert table.keys(MatchQuery("text", "")) == []
        assert table.keys(MatchQuery("text", " ,. ")) == []
        assert table.keys(MatchPhraseQuery("text", "")) == []

    @pytest.mark.parametrize("text", ['"', "tea AND", "NEAR(a b)", "tea*", "text:tea", "-tea", "(", "^tea", "a' OR 1"])
    def test_match_knows_no_syntax(self, table, text):
        found = [1, 2] if "tea" in text.lower().replace("text:", "") else []
        assert table.keys(MatchQuery("text", text)) == found

    def test_very_many_clauses(self, table):
        queries = [TermQuery("word", f"x{number}") for number in range(500)] + [TermQuery("word", "b")]
        assert table.keys(BoolQuery(should_queries=queries)) == [2]

    def test_most_terms(self, table):
        assert table.keys(TermsQuery("number", [*range(100, 1123), 28])) == [1, 2]


class TestRefusals:
    @pytest.mark.parametrize(
        "query",
        [
            TermQuery("nothing", 1),
            TermsQuery("nothing", [1]),
            RangeQuery("nothing", 1, 2),
            PrefixQuery("nothing", "a"),
            WildcardQuery("nothing", "a"),
            MatchQuery("nothing", "a"),
            MatchPhraseQuery("nothing", "a"),
            tablestore.ExistsQuery("nothing"),
            BoolQuery(must_not_queries=[BoolQuery(should_queries=[TermQuery("nothing", 1)])]),
        ],
        ids=lambda query: type(query).__name__,
    )
    def test_unknown_field(self, table, query):
        with service_error(INVALID, "nothing"):
            table.search(query)

    def test_table_column_that_is_not_indexed(self, table):
        with service_error(INVALID, "pk"):
            table.search(TermQuery("pk", 1))

    @pytest.mark.parametrize(
        "query",
        [
            TermsQuery("number", list(range(1025))),
            WildcardQuery("word", "x" * 33),
            PrefixQuery("word", "x" * 1001),
            TermQuery("number", "many"),
            TermQuery("flag", "perhaps"),
            RangeQuery("day", "yesterday", None),
            PrefixQuery("number", "1"),
            WildcardQuery("number", "1*"),
        ],
        ids=["terms 1025", "wildcard 33", "prefix 1001", "long", "boolean", "date", "prefix", "wildcard"],
    )
    def test_limits_and_types(self, table, query):
        with service_error(INVALID):
            table.search(query)

    def test_too_many_queries(self, table):
        queries = [TermQuery("number", number) for number in range(1025)]
        with service_error(INVALID):
            table.search(BoolQuery(should_queries=queries))

    def test_longest_wildcard(self, table):
        assert table.keys(WildcardQuery("word", "*" * 32)) == [1, 2, 3]

    @pytest.mark.parametrize(
        "query",
        [
            NestedQuery("n", MatchAllQuery()),
            GeoDistanceQuery("g", "1,1", 5),
            GeoBoundingBoxQuery("g", "2,1", "1,2"),
            GeoPolygonQuery("g", ["0,0", "1,0", "1,1"]),
            FunctionScoreQuery(MatchAllQuery(), FieldValueFactor("number")),
            DisMaxQuery([MatchAllQuery()]),
        ],
        ids=lambda query: type(query).__name__,
    )
    def test_unsupported_parts_are_named(self, table, query):
        name = {"Nested": "nested", "Geo": "geo", "Function": "function", "DisMax": "dis"}
        (part,) = [word for start, word in name.items() if type(query).__name__.startswith(start)]
        with service_error(INVALID, f"(?i){part}"):
            table.search(query)

    def test_operator_and(self, table):
        assert table.keys(MatchQuery("text", "this tea", operator=QueryOperator.AND)) == [1]

    def test_vector_field_takes_no_term(self, client):
        from .support import vector_field

        found = Table(client, [vector_field("v")])
        with service_error(INVALID, "v"):
            found.search(TermQuery("v", "[1,0,0]"))
