"""Filters as queries of a search index: what they mean, and what an index cannot be asked.

A plain-Python reading of the SDK's query objects, over rows whose fields have one type each, stands for the service.
"""

from __future__ import annotations

import re

import pytest
import tablestore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_tablestore_memory.core.search_fields import kind_of, searchable_form
from langchain_tablestore_memory.errors import FilterError
from langchain_tablestore_memory.filters import FieldKind, FieldType, Filters, matches, parse, to_query, to_scored_query

KINDS = {
    "name": FieldKind(FieldType.KEYWORD),
    "year": FieldKind(FieldType.LONG),
    "price": FieldKind(FieldType.DOUBLE),
    "public": FieldKind(FieldType.BOOLEAN),
    "tags": FieldKind(FieldType.KEYWORD, is_list=True),
    "sizes": FieldKind(FieldType.DOUBLE, is_list=True),
    "title": FieldKind(FieldType.TEXT),
    "where": FieldKind(FieldType.OTHER),
}

# --- A plain reading of queries -----------------------------------------------------------------------------


def finds(query, row):
    """Whether the service finds a row, whose fields are lists of values of one type."""
    match query:
        case ts.MatchAllQuery():
            return True
        case ts.BoolQuery():
            should = sum(finds(child, row) for child in query.should_queries)
            needed = query.minimum_should_match
            if needed is None:
                needed = 1 if query.should_queries and not (query.must_queries or query.filter_queries) else 0
            return (
                all(finds(child, row) for child in (*query.must_queries, *query.filter_queries))
                and not any(finds(child, row) for child in query.must_not_queries)
                and should >= needed
            )
    values = row.get(query.field_name, [])
    match query:
        case ts.ExistsQuery():
            return bool(values)
        case ts.TermQuery():
            return any(same(value, query.column_value) for value in values)
        case ts.TermsQuery():
            return any(same(value, wanted) for value in values for wanted in query.column_values)
        case ts.PrefixQuery():
            return any(value.startswith(query.prefix) for value in values)
        case ts.WildcardQuery():
            pattern = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in query.value)
            return any(re.fullmatch(pattern, value, re.DOTALL) for value in values)
        case ts.RangeQuery():
            return any(in_range(value, query) for value in values)
    raise AssertionError(query)


def same(value, operand):
    # The service takes only operands of the field's own type.
    assert type(value) is type(operand)
    return value == operand


def in_range(value, query):
    low, high = query.range_from, query.range_to
    for bound in (low, high):
        assert bound is None or type(bound) is type(value)
    if low is not None and (value < low or (value == low and not query.include_lower)):
        return False
    return high is None or value < high or (value == high and query.include_upper)


def indexed(metadata):
    row = {}
    for name, value in metadata.items():
        if isinstance(value, list):
            element = FieldKind(KINDS[name].type)
            row[name] = [searchable_form(element, item, what="x") for item in value]
        else:
            row[name] = [searchable_form(KINDS[name], value, what="x")]
    return row


texts = st.text("ab%_\\é😀", max_size=4)
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**63 - 1]),
    st.floats(-3, 3).map(lambda x: round(x * 2) / 2),
)
whole = numbers.filter(lambda number: float(number).is_integer())
doubles = numbers.filter(lambda number: float(number) == number)
rows = st.fixed_dictionaries(
    {},
    optional={
        "name": texts,
        "year": whole,
        "price": doubles,
        "public": st.booleans(),
        "tags": st.lists(texts, min_size=1, max_size=3),
        "sizes": st.lists(doubles, min_size=1, max_size=3),
    },
)
operands = {"name": texts, "year": numbers, "price": numbers}


def comparisons(name):
    operand = operands[name]
    return st.one_of(
        st.builds(
            lambda op, value: {name: {op: value}},
            st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]),
            operand,
        ),
        st.builds(
            lambda op, values: {name: {op: values}},
            st.sampled_from(["$in", "$nin"]),
            st.lists(operand, min_size=1, max_size=3),
        ),
        st.builds(lambda low, high: {name: {"$between": [low, high]}}, operand, operand),
    )


def containments(name, element):
    several = st.lists(element, min_size=1, max_size=3)
    return st.one_of(
        st.builds(lambda value: {name: {"$contains": value}}, element),
        st.builds(
            lambda op, values: {name: {op: values}}, st.sampled_from(["$contains_any", "$contains_all"]), several
        ),
    )


leaves = st.one_of(
    st.just({}),
    st.builds(
        lambda name, yes: {name: {"$exists": yes}},
        st.sampled_from(sorted(set(KINDS) - {"where", "title"})),
        st.booleans(),
    ),
    st.sampled_from(sorted(operands)).flatmap(comparisons),
    st.builds(lambda op, value: {"public": {op: value}}, st.sampled_from(["$eq", "$ne"]), st.booleans()),
    containments("tags", texts),
    containments("sizes", numbers),
    st.builds(lambda prefix: {"name": {"$prefix": prefix}}, texts),
    st.builds(lambda pattern: {"name": {"$like": pattern}}, st.text("ab%_é😀", max_size=4)),
)
filters = st.recursive(
    leaves,
    lambda children: st.one_of(
        st.builds(
            lambda op, parts: {op: parts},
            st.sampled_from(["$and", "$or", "$not"]),
            st.lists(children, min_size=1, max_size=3),
        ),
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=2 * settings.default.max_examples)
@given(filters, st.lists(rows, min_size=1, max_size=4))
def test_a_query_finds_the_rows_that_match(written, table):
    wanted = parse(written)
    query = to_query(wanted, KINDS)
    for metadata in table:
        assert finds(query, indexed(metadata)) == matches(wanted, metadata), metadata


# --- Full text ----------------------------------------------------------------------------------------------


def test_full_text_becomes_match_queries():
    query = to_query(Filters.text_match("title", "green tea"), KINDS)
    assert isinstance(query, ts.MatchQuery)
    assert (query.field_name, query.text) == ("title", "green tea")
    phrase = to_query(Filters.text_match_phrase("title", "green tea"), KINDS)
    assert isinstance(phrase, ts.MatchPhraseQuery)


def test_only_full_text_scores():
    text = Filters.text_match("title", "tea")
    query, scored = to_scored_query(text & Filters.eq("year", 1), KINDS)
    assert scored
    assert [type(child) for child in query.must_queries] == [ts.MatchQuery]
    assert [type(child) for child in query.filter_queries] == [ts.TermQuery]
    assert to_scored_query(text, KINDS)[1]
    assert not to_scored_query(Filters.eq("year", 1), KINDS)[1]


def test_a_disjunction_with_text_is_scored_as_a_whole():
    either = Filters.text_match("title", "tea") | Filters.eq("year", 1)
    query, scored = to_scored_query(either, KINDS)
    assert scored
    assert len(query.should_queries) == 2
    assert query.minimum_should_match == 1


# --- What is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ({"colour": "red"}, "'colour': it is not declared. There are: name, price, public"),
        ({"title": "tea"}, r"\$eq cannot be asked of 'title', which is declared to hold full text. It takes: \$text"),
        ({"name": {"$text": "tea"}}, r"\$text cannot be asked of 'name'"),
        ({"tags": "a"}, r"\$eq cannot be asked of 'tags', .* lists of text .* It takes: \$contains"),
        ({"name": {"$contains": "a"}}, r"\$contains cannot be asked of 'name'"),
        ({"year": {"$prefix": "20"}}, r"\$prefix cannot be asked of 'year'"),
        ({"where": "here"}, r"It takes: \$exists"),
        ({"year": "2020"}, r"\$eq on 'year' compares with a str, but the field is declared to hold integers"),
        ({"year": True}, "compares with a bool"),
        ({"public": 1}, "compares with a int"),
        ({"name": 5}, "compares with a int"),
        ({"year": None}, r"NoneType.*\$exists: false"),
        ({"year": {"$in": [1, "2"]}}, r"\$in on 'year' compares with a str"),
        ({"tags": {"$contains_all": ["a", 1]}}, r"\$contains_all on 'tags' compares with a int"),
        ({"name": {"$like": "%a*b"}}, r"looks for \*, \? or a backslash"),
        ({"name": {"$like": "%" + "a" * 32}}, "33 characters. Searches take 32"),
        ({"name": {"$prefix": "茶" * 334}}, "1002 bytes in UTF-8. Searches take 1000"),
        ({"title": {"$text": " "}}, r"\$text on 'title' is empty"),
        ({"title": {"$phrase": "a" * 4097}}, r"\$phrase on 'title' has 4097 characters. Give at most 4096"),
        ({"$or": [{"year": n} for n in range(1024)]}, "1025 conditions. Tablestore takes 1024"),
    ],
)
def test_what_an_index_cannot_answer_is_refused(written, reason):
    with pytest.raises(FilterError, match=reason):
        to_query(parse(written), KINDS)


def test_many_values_go_out_in_several_queries():
    query = to_query(Filters.In("year", list(range(3000))), KINDS)
    assert [len(child.column_values) for child in query.should_queries] == [1024, 1024, 952]


def test_values_that_no_integer_equals_match_nothing():
    query = to_query(Filters.In("year", [0.5, 1.5]), KINDS)
    assert not finds(query, {"year": [1]})


# --- Kinds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire_type", "kind"),
    [
        (ts.FieldType.KEYWORD, FieldType.KEYWORD),
        (ts.FieldType.LONG, FieldType.LONG),
        (ts.FieldType.VECTOR, FieldType.VECTOR),
        (ts.FieldType.GEOPOINT, FieldType.OTHER),
        (ts.FieldType.DATE, FieldType.OTHER),
    ],
)
def test_kinds_of_the_fields_of_an_index(wire_type, kind):
    assert kind_of(ts.FieldSchema("x", wire_type)).type is kind


def test_a_field_that_is_not_indexed_can_be_asked_nothing():
    assert kind_of(ts.FieldSchema("x", ts.FieldType.KEYWORD, index=False)).operators == ("$exists",)


# --- Vectors ------------------------------------------------------------------------------------------------


def test_vectors_become_queries_for_the_nearest_ones():
    kinds = {**KINDS, "embedding": FieldKind(FieldType.VECTOR)}
    nearest = Filters.vector_query("embedding", [1, 0.5], top_k=3, metadata_filter=Filters.eq("year", 1))
    query, scored = to_scored_query(nearest, kinds)
    assert scored
    assert (query.field_name, query.top_k, query.float32_query_vector) == ("embedding", 3, [1.0, 0.5])
    assert isinstance(query.filter, ts.TermQuery)
    with pytest.raises(FilterError, match="vector_query cannot be asked of 'year'"):
        to_query(Filters.vector_query("year", [1.0]), kinds)
    with pytest.raises(FilterError, match="vector_query on 'embedding' is answered by searches only"):
        matches(nearest, {})


@pytest.mark.parametrize(
    "arguments", [("x", []), ("x", "1"), ("x", [1, "2"]), ("x", [float("nan")]), ("x", [1], 0), ("", [1])]
)
def test_vectors_that_are_none_are_refused(arguments):
    with pytest.raises(FilterError):
        Filters.vector_query(*arguments)
