"""The filter language: what it accepts, what it means, and that its readings agree."""

from __future__ import annotations

import dataclasses
import math
import operator
import re
from enum import IntEnum

import numpy as np
import pytest
import tablestore
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from langchain_tablestore_memory.core.columns import METADATA_COLUMN, encode_metadata, is_metadata_column
from langchain_tablestore_memory.errors import FilterError, InvalidArgumentError
from langchain_tablestore_memory.filters import Filters, fields, matches, parse, predicate, to_condition
from langchain_tablestore_memory.filters.tree import All, And, Compare, Comparison, In, Not, Or
from langchain_tablestore_memory.local import Tablestore, ots_client

# Machines that run tests are busy: how long an example takes says nothing.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

# --- What is accepted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "built"),
    [
        (None, Filters.all()),
        ({}, Filters.all()),
        ({"a": 1}, Filters.eq("a", 1)),
        ({"a": None}, Filters.eq("a", None)),
        ({"a": {"$eq": "x"}}, Filters.eq("a", "x")),
        ({"a": {"$ne": 1}}, Filters.not_eq("a", 1)),
        ({"a": {"$gt": 1}}, Filters.gt("a", 1)),
        ({"a": {"$gte": 1}}, Filters.gte("a", 1)),
        ({"a": {"$lt": 1.5}}, Filters.lt("a", 1.5)),
        ({"a": {"$lte": b"x"}}, Filters.lte("a", bytearray(b"x"))),
        ({"a": {"$in": [1, 2]}}, Filters.In("a", [1, 2])),
        ({"a": {"$nin": [1, 2]}}, Filters.not_in("a", [1, 2])),
        ({"a": {"$exists": True}}, Filters.exists("a")),
        ({"a": {"$exists": False}}, Filters.exists("a", False)),
        ({"a": {"$between": [1, 2]}}, Filters.between("a", 1, 2)),
        ({"a": {"$prefix": "x"}}, Filters.prefix("a", "x")),
        ({"a": {"$like": "x%"}}, Filters.like("a", "x%")),
        ({"a": {"$contains": 1}}, Filters.contains("a", 1)),
        ({"a": {"$contains_any": [1, 2]}}, Filters.contains_any("a", [1, 2])),
        ({"a": {"$contains_all": [1, 2]}}, Filters.contains_all("a", [1, 2])),
        ({"a": {"$text": "x"}}, Filters.text_match("a", "x")),
        ({"a": {"$phrase": "x y"}}, Filters.text_match_phrase("a", "x y")),
        ({"a": 1, "b": 2}, Filters.logical_and([Filters.eq("a", 1), Filters.eq("b", 2)])),
        ({"a": {"$gt": 1, "$lt": 5}}, Filters.logical_and([Filters.gt("a", 1), Filters.lt("a", 5)])),
        ({"$and": [{"a": 1}, {"b": 2}]}, Filters.logical_and([Filters.eq("a", 1), Filters.eq("b", 2)])),
        (
            {"$or": [{"a": 1}, Filters.eq("b", 2)]},
            Filters.logical_or([Filters.eq("a", 1), Filters.eq("b", 2)]),
        ),
        ({"$not": {"a": 1}}, Filters.logical_not([Filters.eq("a", 1)])),
        ({"$not": [{"a": 1}, {"b": 2}]}, Filters.logical_not([Filters.eq("a", 1), Filters.eq("b", 2)])),
        ({"a": {"$not": {"$gt": 1}}}, Filters.logical_not([Filters.gt("a", 1)])),
        (
            {"a": 1, "$or": [{"b": 2}, {"c": 3}]},
            Filters.logical_and([Filters.eq("a", 1), Filters.logical_or([Filters.eq("b", 2), Filters.eq("c", 3)])]),
        ),
        (Filters.eq("a", 1), Filters.eq("a", 1)),
    ],
)
def test_both_ways_of_writing_make_the_same_tree(written, built):
    assert parse(written) == built


def test_operators_combine():
    a, b = Filters.eq("a", 1), Filters.eq("b", 2)
    assert a & b == And((a, b))
    assert a | b == Or((a, b))
    assert ~a == Not(a)


def test_trees_cannot_be_changed_and_can_be_keys():
    values = [bytearray(b"x"), "y"]
    tree = Filters.In("a", values)
    values.append("z")
    assert tree == In("a", (b"x", "y"))
    assert {tree: 1}[Filters.In("a", [b"x", "y"])] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        tree.field = "b"


def test_filters_that_mean_different_things_differ():
    assert Filters.eq("a", 1) != Filters.eq("a", True)
    assert Filters.In("a", [0, 1]) != Filters.In("a", [False, 1])
    assert Filters.contains("a", 1) != Filters.contains("a", True)
    assert len({Filters.eq("a", 1), Filters.eq("a", True)}) == 2


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("a = 1", "a filter is a dict or is made by Filters, not str."),
        ({"a": {"$gtt": 1}}, r"unknown operator '\$gtt' on 'a'. There are: \$eq, \$ne"),
        ({"a": {"b": 1}}, "unknown operator 'b' on 'a'"),
        ({"a": {1: 1}}, "unknown operator of type int on 'a'"),
        ({"a": {}}, "'a' has an empty dict"),
        ({"$nor": [{"a": 1}]}, r"unknown operator '\$nor'. Beside fields there are: \$and, \$or, \$not."),
        ({"$gt": 1}, r'\$gt needs a field: {"field": {"\$gt": ...}}'),
        ({"": 1}, "field name is empty"),
        ({1: 1}, "field name is of type int"),
        ({"a": [1, 2]}, r"'a' has a list as its value. Use \$in"),
        ({"a": {"$in": []}}, r"\$in on 'a' has no values"),
        ({"a": {"$in": "xy"}}, r"\$in on 'a' takes a list of values, not str"),
        ({"a": {"$nin": []}}, r"\$in on 'a' has no values"),
        ({"a": {"$contains_any": []}}, r"\$contains_any on 'a' has no values"),
        ({"a": {"$contains_all": 5}}, r"\$contains_all on 'a' takes a list of values, not int"),
        ({"a": {"$gt": None}}, r"\$gt on 'a' compares with text, a number or bytes, not with NoneType"),
        ({"a": {"$lte": True}}, r"\$lte on 'a' compares with text, a number or bytes, not with bool"),
        ({"a": {"$eq": [1]}}, r"\$eq on 'a' takes a str, int, float, bool, bytes, bytearray or None, not"),
        ({"a": math.nan}, r"\$eq on 'a' has NaN"),
        ({"a": np.float64(1)}, r"\$eq on 'a' takes .* not numpy.float64. Subclasses"),
        ({"a": Colour.RED}, r"\$eq on 'a' takes .*Colour"),
        ({"a": "x\ud800"}, r"\$eq on 'a' has a lone surrogate at position 1"),
        ({"a": {"$exists": 1}}, r"\$exists on 'a' takes True or False, not int"),
        ({"a": {"$between": [1]}}, r"\$between on 'a' takes a list of two values"),
        ({"a": {"$between": 1}}, r"\$between on 'a' takes a list of two values"),
        ({"a": {"$prefix": 1}}, r"\$prefix on 'a' takes a str, not int"),
        ({"a": {"$like": "x\\"}}, r"\$like on 'a' ends in a backslash"),
        ({"a": {"$text": 1}}, r"\$text on 'a' takes a str, not int"),
        ({"a": {"$phrase": 1}}, r"\$phrase on 'a' takes a str, not int"),
        ({"a": {"$not": 1}}, r"\$not on 'a' takes a dict of operators, not int"),
        ({"$or": []}, r"\$or has no filters"),
        ({"$and": {"a": 1}}, r"\$and takes a list of filters, not dict"),
        ({"$and": [None]}, r"\$and takes filters, not None"),
        ({"$not": []}, r"\$not has no filters"),
        ({"$not": 1}, r"\$not takes a list of filters, not int"),
    ],
)
def test_what_is_wrong_is_named(written, message):
    with pytest.raises(FilterError, match=message):
        parse(written)


@pytest.mark.parametrize("build", [Filters.logical_and, Filters.logical_or, Filters.logical_not])
@pytest.mark.parametrize("operand", [[], None, Filters.eq("a", 1), [{"a": 1}], [None]])
def test_builders_refuse_what_is_no_list_of_filters(build, operand):
    with pytest.raises(FilterError):
        build(operand)


def test_a_filter_that_contains_itself_is_refused():
    circle: dict = {}
    circle["$and"] = [circle]
    with pytest.raises(FilterError, match="contains itself"):
        parse(circle)
    circle = {}
    circle["$not"] = circle
    with pytest.raises(FilterError, match="contains itself"):
        parse({"a": circle})


def test_errors_are_bad_arguments_and_hold_no_values():
    with pytest.raises(InvalidArgumentError) as caught:
        parse({"a": {"$gt": ["secret"]}})
    assert "secret" not in str(caught.value)


def test_fields_names_all_fields():
    tree = parse({"a": 1, "$or": [{"b": {"$in": [1]}}, {"$not": {"c": {"$exists": True}}}], "d": {"$like": "%"}})
    assert fields(tree) == {"a", "b", "c", "d"}
    assert fields(Filters.all()) == frozenset()


# --- What it means ------------------------------------------------------------------------------------------

BIG = 2**53


@pytest.mark.parametrize(
    ("written", "row", "expected"),
    [
        # A missing field matches no comparison, but all negations.
        ({"a": 1}, {}, False),
        ({"a": None}, {}, False),
        ({"a": {"$lt": 1}}, {}, False),
        ({"a": {"$prefix": ""}}, {}, False),
        ({"a": {"$ne": 1}}, {}, True),
        ({"a": {"$nin": [1]}}, {}, True),
        ({"a": {"$exists": False}}, {}, True),
        ({"a": {"$exists": True}}, {"a": None}, True),
        ({"a": {"$not": {"$gt": 1}}}, {}, True),
        # Numbers are numbers, exactly.
        ({"a": 5}, {"a": 5.0}, True),
        ({"a": {"$gte": 0.5}}, {"a": 1}, True),
        ({"a": {"$gt": BIG}}, {"a": BIG + 1}, True),
        ({"a": float(BIG)}, {"a": BIG + 1}, False),
        ({"a": {"$in": [float(BIG)]}}, {"a": BIG + 1}, False),
        ({"a": {"$lt": math.inf}}, {"a": 10**400}, True),
        ({"a": {"$gt": 0}}, {"a": math.nan}, False),
        ({"a": {"$ne": 0}}, {"a": math.nan}, True),
        # A bool is none.
        ({"a": 1}, {"a": True}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": True}, {"a": True}, True),
        ({"a": {"$in": [0, 1]}}, {"a": False}, False),
        ({"a": {"$gte": 0}}, {"a": True}, False),
        # Text by code point, bytes as bytes, never one with the other.
        ({"a": {"$lt": "\U0001f600"}}, {"a": "\uffee"}, True),
        ({"a": {"$lt": "b"}}, {"a": "B"}, True),
        ({"a": b"x"}, {"a": bytearray(b"x")}, True),
        ({"a": {"$in": [b"x"]}}, {"a": bytearray(b"x")}, True),
        ({"a": {"$gt": b"x"}}, {"a": bytearray(b"xy")}, True),
        ({"a": "x"}, {"a": b"x"}, False),
        ({"a": {"$gt": 1}}, {"a": "2"}, False),
        ({"a": {"$ne": 1}}, {"a": "1"}, True),
        ({"a": None}, {"a": None}, True),
        ({"a": {"$ne": None}}, {"a": 0}, True),
        # Subclasses of the plain types are another kind.
        ({"a": 1.0}, {"a": np.float64(1)}, False),
        ({"a": {"$between": [1, 3]}}, {"a": 1}, True),
        ({"a": {"$between": [1, 3]}}, {"a": 3}, True),
        ({"a": {"$between": [1, 3]}}, {"a": 3.1}, False),
        # Patterns.
        ({"a": {"$prefix": "ab"}}, {"a": "abc"}, True),
        ({"a": {"$prefix": "ab"}}, {"a": "Abc"}, False),
        ({"a": {"$prefix": "ab"}}, {"a": ["abc"]}, False),
        ({"a": {"$like": "a%c"}}, {"a": "abbbc"}, True),
        ({"a": {"$like": "a%c"}}, {"a": "a\nc"}, True),
        ({"a": {"$like": "a%c"}}, {"a": "abcd"}, False),
        ({"a": {"$like": "a_c"}}, {"a": "abc"}, True),
        ({"a": {"$like": "a_c"}}, {"a": "abbc"}, False),
        ({"a": {"$like": "a.c"}}, {"a": "abc"}, False),
        ({"a": {"$like": r"100\%"}}, {"a": "100%"}, True),
        ({"a": {"$like": r"100\%"}}, {"a": "100x"}, False),
        ({"a": {"$like": r"a\\b"}}, {"a": "a\\b"}, True),
        ({"a": {"$like": "%ab%ab"}}, {"a": "abab"}, True),
        ({"a": {"$like": "%ab%ab"}}, {"a": "ab"}, False),
        ({"a": {"$like": ""}}, {"a": ""}, True),
        ({"a": {"$like": "%"}}, {"a": 1}, False),
        # Lists.
        ({"a": {"$contains": 1}}, {"a": [2, 1.0]}, True),
        ({"a": {"$contains": 1}}, {"a": [True]}, False),
        ({"a": {"$contains": "x"}}, {"a": "xyz"}, False),
        ({"a": {"$contains": "x"}}, {"a": ("x", {"y": 1})}, True),
        ({"a": {"$contains_any": ["x", "y"]}}, {"a": {"y", "z"}}, True),
        ({"a": {"$contains_any": ["x", "y"]}}, {"a": []}, False),
        ({"a": {"$contains_all": ["x", "y"]}}, {"a": ["y", "x", "z"]}, True),
        ({"a": {"$contains_all": ["x", "y"]}}, {"a": ["x", "x"]}, False),
        ({"a": {"$contains_all": [1, 1.0]}}, {"a": [1]}, True),
        # Combinations.
        ({"$not": [{"a": 1}, {"b": 2}]}, {"a": 1, "b": 3}, False),
        ({"$not": [{"a": 1}, {"b": 2}]}, {"a": 2, "b": 3}, True),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, False),
        ({"$or": [{"a": 1}, {"b": 2}]}, {"a": 0, "b": 2}, True),
        ({}, {}, True),
    ],
)
def test_meaning(written, row, expected):
    assert matches(parse(written), row) is expected


def test_patterns_take_time_in_proportion_to_the_text():
    # With backtracking over all places of all `%`, this would not end.
    assert not matches(Filters.like("a", "%a" * 30 + "%b"), {"a": "a" * 5000})


@pytest.mark.parametrize("leaf", [Filters.text_match("t", "x"), Filters.text_match_phrase("t", "x")])
def test_full_text_is_for_searches_only(leaf):
    for tree in (leaf, Filters.logical_or([Filters.eq("a", 1), leaf]), Filters.logical_not([leaf])):
        with pytest.raises(FilterError, match=r"\$(text|phrase) on 't' is answered by searches only"):
            matches(tree, {"a": 1})
        with pytest.raises(FilterError, match=r"\$(text|phrase) on 't' is answered by searches only"):
            to_condition(tree, columns=lambda _: True)


# --- The readings agree -------------------------------------------------------------------------------------

NAMES = ["a", "b", "页码"]

edges = [0, 1, -1, 5, BIG, BIG + 1, -BIG - 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**25, 10**400]
numbers = st.one_of(
    st.sampled_from([*edges, 0.0, -0.0, 0.5, 5.0, float(BIG), 2.0**63, -(2.0**63), 1e25, 1.7e308, -1.7e308]),
    st.integers(-3, 3),
    st.integers(),
    st.floats(allow_nan=False),
    st.integers(-(2**70), 2**70).map(float),
)
texts = st.one_of(
    st.sampled_from(["", "a", "ab", "abc", "b", "\ud7ff", "\ud7ffx", "\ue000", "\uffff", "\U0010ffff", "é", "😀"]),
    st.text(max_size=3),
)
scalars = st.one_of(numbers, texts, st.booleans(), st.binary(max_size=2), st.none())
ordered = st.one_of(numbers, texts, st.binary(max_size=2))
stored = st.one_of(
    scalars,
    st.binary(max_size=2).map(bytearray),
    st.just(math.nan),
    st.lists(scalars, max_size=3),
    st.frozensets(st.one_of(numbers, texts), max_size=2),
    st.just({"x": 1}),
)
rows = st.dictionaries(st.sampled_from(NAMES), stored, max_size=3)
names = st.sampled_from(NAMES)
patterns = st.lists(st.sampled_from(["%", "_", "a", "b", "\\%", "\ud7ff"]), max_size=4).map("".join)

leaves = st.one_of(
    st.builds(Filters.eq, names, scalars),
    st.builds(Filters.not_eq, names, scalars),
    *(st.builds(build, names, ordered) for build in (Filters.gt, Filters.gte, Filters.lt, Filters.lte)),
    st.builds(Filters.In, names, st.lists(scalars, min_size=1, max_size=4)),
    st.builds(Filters.In, names, st.lists(scalars, min_size=8, max_size=12)),
    st.builds(Filters.not_in, names, st.lists(scalars, min_size=1, max_size=4)),
    st.builds(Filters.exists, names, st.booleans()),
    st.builds(Filters.between, names, ordered, ordered),
    st.builds(Filters.prefix, names, texts),
    st.builds(Filters.like, names, patterns),
    st.builds(Filters.contains_any, names, st.lists(scalars, min_size=1, max_size=2)),
    st.builds(Filters.contains_all, names, st.lists(scalars, min_size=1, max_size=2)),
    st.just(Filters.all()),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Filters.logical_and, st.lists(inner, min_size=1, max_size=3)),
        st.builds(Filters.logical_or, st.lists(inner, min_size=1, max_size=3)),
        st.builds(Filters.logical_not, st.lists(inner, min_size=1, max_size=2)),
    ),
    max_leaves=5,
)


def kind_of(value):
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "bytes" if isinstance(value, bytes | bytearray) else type(value).__name__


def naive_compare(value, comparison, expected):
    if kind_of(value) != kind_of(expected):
        return False
    if isinstance(value, str):
        value, expected = value.encode(), expected.encode()
    relation = {
        "$eq": operator.eq,
        "$gt": operator.gt,
        "$gte": operator.ge,
        "$lt": operator.lt,
        "$lte": operator.le,
    }
    return relation[comparison.value](value, expected)


def naive_like(text, pattern):
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(naive_like(text[start:], pattern[1:]) for start in range(len(text) + 1))
    literal = pattern[1] if pattern[0] == "\\" else pattern[0]
    rest = pattern[2:] if pattern[0] == "\\" else pattern[1:]
    return bool(text) and (pattern[0] == "_" or text[0] == literal) and naive_like(text[1:], rest)


def naive(tree, row):
    """Says again what a filter means, one case at a time."""
    name = type(tree).__name__
    if name == "All":
        return True
    if name == "And":
        return all(naive(child, row) for child in tree.filters)
    if name == "Or":
        return any(naive(child, row) for child in tree.filters)
    if name == "Not":
        return not naive(tree.filter, row)
    if tree.field not in row:
        return False
    value = row[tree.field]
    if name == "Exists":
        return True
    if name == "Compare":
        return naive_compare(value, tree.comparison, tree.value)
    if name == "In":
        return any(naive_compare(value, Comparison.EQ, item) for item in tree.values)
    if name == "Prefix":
        return isinstance(value, str) and value[: len(tree.prefix)] == tree.prefix
    if name == "Like":
        return isinstance(value, str) and naive_like(value, tree.pattern)
    assert name == "Contains"
    if not isinstance(value, list | frozenset):
        return False
    found = [any(naive_compare(item, Comparison.EQ, wanted) for item in value) for wanted in tree.values]
    return all(found) if tree.match.name == "ALL" else any(found)


@unhurried
@given(filters, st.lists(rows, min_size=1, max_size=4))
def test_matches_agrees_with_a_naive_reading(tree, many):
    accepts = predicate(tree)
    for row in many:
        assert accepts(row) is matches(tree, row) is naive(tree, row)


def evaluate(condition, columns):
    """What the service's documentation says of a column condition."""
    if isinstance(condition, tablestore.CompositeColumnCondition):
        results = [evaluate(part, columns) for part in condition.sub_conditions]
        if condition.combinator == tablestore.LogicalOperator.NOT:
            assert len(results) == 1
            return not results[0]
        assert len(results) >= 2
        return all(results) if condition.combinator == tablestore.LogicalOperator.AND else any(results)
    name, expected = condition.get_column_name(), condition.get_column_value()
    if name not in columns:
        return condition.get_pass_if_missing()
    value = columns[name]
    if type(value) is not type(expected):
        return False
    if isinstance(value, str):
        value, expected = value.encode(), expected.encode()
    relations = [operator.eq, operator.ne, operator.gt, operator.ge, operator.lt, operator.le]
    return relations[condition.get_comparator()](value, expected)


def count(condition):
    if isinstance(condition, tablestore.CompositeColumnCondition):
        return 1 + sum(count(part) for part in condition.sub_conditions)
    value = condition.get_column_value()
    assert type(value) in {str, int, float, bool, bytearray}
    assert type(value) is not float or math.isfinite(value)
    assert type(value) is not int or -(2**63) <= value < 2**63
    return 1


@unhurried
@given(filters, st.lists(rows, min_size=1, max_size=6), st.integers(1, 12))
@example(Filters.gt("a", 2**63 - 1), [{"a": 2.0**63}, {"a": 2**63 - 1}], 10)
@example(Filters.lt("a", -(2**63)), [{"a": -(2**63)}], 10)
@example(Filters.not_eq("a", 5), [{"a": 5}, {"a": 5.0}, {"a": "5"}, {}], 10)
def test_the_condition_passes_every_row_that_matches(tree, many, max_nodes):
    condition = to_condition(tree, columns=is_metadata_column, overflow_column=METADATA_COLUMN, max_nodes=max_nodes)
    if condition is None:
        return
    assert count(condition) <= max_nodes
    for row in many:
        if matches(tree, row):
            assert evaluate(condition, dict(encode_metadata(row)))


column_values = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([value for value in edges if -(2**63) <= value < 2**63]),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    st.booleans(),
    st.binary(max_size=2).map(bytearray),
)
column_rows = st.dictionaries(names, column_values, max_size=3)


def has_like(tree):
    if type(tree).__name__ == "Like":
        return not re.fullmatch(r"(\\%|[^%_\\])*%*", tree.pattern)
    children = getattr(tree, "filters", ()) or [child for child in [getattr(tree, "filter", None)] if child]
    return any(has_like(child) for child in children)


@unhurried
@given(filters.filter(lambda tree: fields(tree) and not has_like(tree)), st.lists(column_rows, min_size=1, max_size=6))
def test_the_condition_is_exact_where_columns_say_it_all(tree, many):
    condition = to_condition(tree, columns=lambda _: True, max_nodes=1000)
    for row in many:
        assert matches(tree, row) == (condition is None or evaluate(condition, row))


@unhurried
@given(filters, st.lists(st.tuples(rows, st.integers(-2, 2)), min_size=1, max_size=6), st.integers(-2, 2))
def test_fixed_columns_count_also_for_rows_with_overflow(tree, many, time):
    tree = Filters.logical_and([tree, Filters.eq("update_time", time)])
    condition = to_condition(tree, columns=is_metadata_column, fixed={"update_time"}, overflow_column=METADATA_COLUMN)
    for row, at in many:
        passed = evaluate(condition, {**dict(encode_metadata(row)), "update_time": at})
        assert passed or not matches(tree, {**row, "update_time": at})
        assert not passed or at == time


@pytest.fixture(scope="module")
def client():
    client = ots_client(Tablestore(None))
    client.create_table(
        tablestore.TableMeta("rows", [("id", "INTEGER")]),
        tablestore.TableOptions(),
        tablestore.ReservedThroughput(tablestore.CapacityUnit(0, 0)),
    )
    return client


def select(client, condition):
    """Ids of the rows that the engine passes."""
    _, following, found, _ = client.get_range(
        "rows",
        tablestore.Direction.FORWARD,
        [("id", tablestore.INF_MIN)],
        [("id", tablestore.INF_MAX)],
        column_filter=condition,
        max_version=1,
    )
    assert following is None
    return {row.primary_key[0][1] for row in found}


@unhurried
@given(filters, st.lists(rows, min_size=1, max_size=6))
def test_the_engine_evaluates_conditions_so(client, tree, many):
    for number, row in enumerate(many):
        client.put_row("rows", tablestore.Row([("id", number)], encode_metadata(row)))
    try:
        condition = to_condition(tree, columns=is_metadata_column, overflow_column=METADATA_COLUMN)
        passed = select(client, condition)
        assert passed >= {number for number, row in enumerate(many) if matches(tree, row)}
        if condition is not None:
            assert passed == {
                number for number, row in enumerate(many) if evaluate(condition, dict(encode_metadata(row)))
            }
    finally:
        for number in range(len(many)):
            client.delete_row("rows", tablestore.Row([("id", number)]))


# --- Conditions are tight -----------------------------------------------------------------------------------


def conditions(written, **options):
    return to_condition(parse(written), columns=lambda name: name.isascii(), **options)


def test_a_condition_costs_few_nodes():
    assert count(conditions({"a": "x"})) == 1
    assert count(conditions({"a": 5})) == 3
    assert count(conditions({"a": 0.5})) == 1
    assert count(conditions({"a": BIG + 1})) == 1
    assert count(conditions({"a": {"$exists": True}})) == 2
    assert count(conditions({"a": {"$exists": False}})) == 1
    assert count(conditions({"a": {"$prefix": "x"}})) == 3
    assert count(conditions({"a": "x"}, overflow_column="o")) == 3
    assert count(conditions({"a": 5, "b": {"$gte": 1}}, overflow_column="o")) == 9


def test_what_cannot_be_expressed_is_left_out():
    assert conditions({}) is None
    assert conditions({"页码": 1}) is None
    assert conditions({"$or": [{"a": 1}, {"页码": 1}]}) is None
    assert conditions({"$not": {"$or": [{"a": "x"}, {"页码": 1}]}}) is not None
    assert count(conditions({"a": "x", "页码": 1})) == 1


def test_too_many_nodes_leave_out_the_largest_parts():
    many = {f"f{number}": "x" for number in range(20)}
    assert count(conditions(many)) == 10
    assert conditions({"$or": [{name: value} for name, value in many.items()]}) is None
    condition = conditions({"a": {"$in": list(range(50))}, "b": "x"})
    assert evaluate(condition, {"a": 49, "b": "x"})
    assert not evaluate(condition, {"a": 50, "b": "x"})
    assert not evaluate(condition, {"a": 49, "b": "y"})


def test_what_no_column_holds_leaves_the_rows_with_overflow():
    for written in ({"a": None}, {"a": {"$contains": 1}}, {"a": 10**400}):
        condition = conditions(written, overflow_column="o")
        assert count(condition) == 1
        assert evaluate(condition, {"o": "{}"})
        assert not evaluate(condition, {"a": 1})
        assert not evaluate(conditions(written), {"a": 1})
    assert conditions({"$not": {}}) is None


def test_patterns_become_ranges():
    for pattern in ("ab%", "ab_d", "ab%d", r"ab\%"):
        condition = conditions({"a": {"$like": pattern}})
        assert not evaluate(condition, {"a": "ac"})
        assert not evaluate(condition, {"a": "aa"})
        assert not evaluate(condition, {})
    assert not evaluate(conditions({"a": {"$like": "%x"}}), {"a": 1})


def test_every_comparison_says_what_a_missing_column_means():
    condition = conditions({"a": {"$gt": 1, "$ne": "x"}, "b": {"$in": ["x", 1]}}, max_nodes=50)

    def singles(node):
        if isinstance(node, tablestore.CompositeColumnCondition):
            for part in node.sub_conditions:
                yield from singles(part)
        else:
            yield node

    assert [single.get_pass_if_missing() for single in singles(condition)] == [False] * 6
    assert All() == parse({})
    assert Compare("a", Comparison.EQ, 1) == parse({"a": 1})
