"""Row existence expectations, column conditions and filters."""

from __future__ import annotations

import re

import pytest
from tablestore import (
    CastType,
    ComparatorType,
    CompositeColumnCondition,
    Condition,
    LogicalOperator,
    RegexRule,
    SingleColumnCondition,
    SingleColumnRegexCondition,
)
from tablestore.protobuf import table_store_filter_pb2 as filter_pb

from .plain import Cell
from .support import (
    ANY,
    CONDITION_FAILED,
    EXPECT_EXIST,
    EXPECT_NOT_EXIST,
    IGNORE,
    create,
    create_versioned,
    delete,
    every,
    get,
    put,
    raw_get,
    raw_put,
    refuse,
    service_error,
    single_filter,
    update,
)

EQ, NE = ComparatorType.EQUAL, ComparatorType.NOT_EQUAL
GT, GE = ComparatorType.GREATER_THAN, ComparatorType.GREATER_EQUAL
LT, LE = ComparatorType.LESS_THAN, ComparatorType.LESS_EQUAL
SYMBOLS = {EQ: "==", NE: "!=", GT: ">", GE: ">=", LT: "<", LE: "<="}

WRITES = [
    pytest.param(lambda client, condition: put(client, "t", "a", {"new": 1}, condition), id="PutRow"),
    pytest.param(lambda client, condition: update(client, "t", "a", {"put": [("new", 1)]}, condition), id="UpdateRow"),
    pytest.param(lambda client, condition: delete(client, "t", "a", condition), id="DeleteRow"),
]


def single(name, value, comparator=EQ, *, pass_if_missing=False, latest_version_only=True):
    return SingleColumnCondition(name, value, comparator, pass_if_missing, latest_version_only)


def combine(operator, *conditions):
    found = CompositeColumnCondition(operator)
    for condition in conditions:
        found.add_sub_condition(condition)
    return found


def both(*conditions):
    return combine(LogicalOperator.AND, *conditions)


def either(*conditions):
    return combine(LogicalOperator.OR, *conditions)


def negate(*conditions):
    return combine(LogicalOperator.NOT, *conditions)


def matches(client, column_filter, *, row=None):
    """Whether a row with these columns passes the filter, by GetRow and by GetRange, which must agree."""
    put(client, "t", "a", row or {})
    read_one = get(client, "t", "a", column_filter=column_filter) is not None
    read_range = every(client, "t", column_filter=column_filter).keys == ["a"]
    assert read_one == read_range
    return read_one


class TestExistence:
    @pytest.mark.parametrize("write", WRITES)
    @pytest.mark.parametrize(
        ("condition", "exists", "passes"),
        [
            pytest.param(IGNORE, True, True, id="ignore-existing"),
            pytest.param(IGNORE, False, True, id="ignore-absent"),
            pytest.param(EXPECT_EXIST, True, True, id="expect-existing"),
            pytest.param(EXPECT_EXIST, False, False, id="expect-absent"),
            pytest.param(EXPECT_NOT_EXIST, True, False, id="expect-not-existing"),
            pytest.param(EXPECT_NOT_EXIST, False, True, id="expect-not-absent"),
        ],
    )
    def test_expectations(self, client, write, condition, exists, passes):
        create(client)
        if exists:
            put(client, "t", "a", {"old": 0})
        if passes:
            write(client, condition)
            return
        with service_error(*CONDITION_FAILED):
            write(client, condition)
        assert get(client, "t", "a") == ({"old": 0} if exists else None)

    def test_a_row_without_attributes_exists(self, client):
        create(client)
        put(client, "t", "a")
        put(client, "t", "a", {"x": 1}, EXPECT_EXIST)
        assert get(client, "t", "a") == {"x": 1}


class TestWriteConditions:
    @pytest.mark.parametrize("write", WRITES)
    def test_guard_every_write(self, client, write):
        create(client)
        put(client, "t", "a", {"old": 0})
        with service_error(*CONDITION_FAILED):
            write(client, Condition("IGNORE", single("old", 1)))
        assert get(client, "t", "a") == {"old": 0}
        write(client, Condition("IGNORE", single("old", 0)))
        assert get(client, "t", "a") != {"old": 0}

    def test_existence_comes_first(self, client):
        create(client)
        with service_error(*CONDITION_FAILED):
            put(client, "t", "a", {}, Condition("EXPECT_EXIST", single("x", 1, pass_if_missing=True)))
        put(client, "t", "a", {"x": 1})
        with service_error(*CONDITION_FAILED):
            put(client, "t", "a", {}, Condition("EXPECT_NOT_EXIST", single("x", 1)))

    @pytest.mark.parametrize("write", WRITES)
    @pytest.mark.parametrize("pass_if_missing", [True, False])
    def test_on_an_absent_row_follow_pass_if_missing(self, client, write, pass_if_missing):
        create(client)
        condition = Condition("IGNORE", single("x", 1, pass_if_missing=pass_if_missing))
        if pass_if_missing:
            write(client, condition)
        else:
            with service_error(*CONDITION_FAILED):
                write(client, condition)
            assert get(client, "t", "a") is None

    def test_see_key_columns(self, client):
        create(client)
        put(client, "t", "a", {"x": 1})
        with service_error(*CONDITION_FAILED):
            put(client, "t", "a", {"x": 2}, Condition("IGNORE", single("pk", "b")))
        put(client, "t", "a", {"x": 2}, Condition("IGNORE", single("pk", "a")))
        assert get(client, "t", "a") == {"x": 2}

    def test_compare_and_set(self, client):
        create(client)
        put(client, "t", "a", {"version": 1})
        update(client, "t", "a", {"put": [("version", 2)]}, Condition("EXPECT_EXIST", single("version", 1)))
        with service_error(*CONDITION_FAILED):
            update(client, "t", "a", {"put": [("version", 2)]}, Condition("EXPECT_EXIST", single("version", 1)))


class TestComparators:
    VALUES = (
        pytest.param(-5, 3, id="integers"),
        pytest.param(-(2**63), 2**63 - 1, id="far-integers"),
        pytest.param(-1.5, 2.5, id="doubles"),
        pytest.param("B", "a", id="strings"),
        pytest.param("a", "aa", id="string-prefix"),
        pytest.param("z", "é", id="string-bytes"),
        pytest.param("\uffff", "\U00010000", id="beyond-utf16"),
        pytest.param(bytearray(b"\x01"), bytearray(b"\xff"), id="binary"),
        pytest.param(False, True, id="booleans"),
    )

    @pytest.mark.parametrize(("low", "high"), VALUES)
    def test_order(self, client, low, high):
        create(client)
        cases = [(low, high, {NE, LT, LE}), (high, low, {NE, GT, GE}), (low, low, {EQ, LE, GE})]
        for comparator, symbol in SYMBOLS.items():
            for stored, given, passing in cases:
                found = matches(client, single("x", given, comparator), row={"x": stored})
                assert found == (comparator in passing), f"{stored!r} {symbol} {given!r}"

    @pytest.mark.parametrize("comparator", SYMBOLS, ids=SYMBOLS.get)
    @pytest.mark.parametrize(
        ("stored", "given"),
        [(1, "1"), ("1", 1), (1, 1.0), (1.0, 1), (True, 1), ("a", bytearray(b"a"))],
        ids=repr,
    )
    def test_values_of_different_types_do_not_match(self, client, comparator, stored, given):
        create(client)
        assert matches(client, single("x", given, comparator), row={"x": stored}) is False


class TestMissingColumns:
    @pytest.mark.parametrize("comparator", SYMBOLS, ids=SYMBOLS.get)
    @pytest.mark.parametrize("pass_if_missing", [True, False])
    def test_follow_pass_if_missing(self, client, comparator, pass_if_missing):
        create(client)
        condition = single("no", 1, comparator, pass_if_missing=pass_if_missing)
        assert matches(client, condition, row={"x": 1}) is pass_if_missing

    def test_a_column_that_is_not_read_is_missing(self, client):
        create(client)
        put(client, "t", "a", {"x": 1, "y": 2})
        lenient, strict = single("x", 9, pass_if_missing=True), single("x", 1)
        assert get(client, "t", "a", column_filter=lenient, columns_to_get=["y"]) == {"y": 2}
        assert get(client, "t", "a", column_filter=strict, columns_to_get=["y"]) is None
        assert get(client, "t", "a", column_filter=strict, columns_to_get=["x", "y"]) == {"x": 1, "y": 2}


class TestFilters:
    def test_a_row_that_fails_is_not_returned(self, client):
        create(client)
        put(client, "t", "a", {"x": 1})
        consumed, row, _ = client.get_row("t", [("pk", "a")], column_filter=single("x", 2))
        assert row is None
        assert consumed.read == 1

    def test_key_columns(self, client):
        create(client, key=[("pk", "INTEGER")])
        for number in range(6):
            put(client, "t", [("pk", number)], {"x": 1})
        assert every(client, "t", column_filter=single("pk", 3, GT)).keys == [4, 5]

    def test_a_row_without_attributes(self, client):
        create(client)
        assert matches(client, single("x", 1)) is False
        assert matches(client, single("x", 1, pass_if_missing=True)) is True


class TestComposites:
    TRUE, FALSE = single("x", 1), single("x", 2)

    @pytest.mark.parametrize(
        ("condition", "passes"),
        [
            pytest.param(both(TRUE, TRUE), True, id="and-tt"),
            pytest.param(both(TRUE, FALSE), False, id="and-tf"),
            pytest.param(both(TRUE, TRUE, TRUE, FALSE), False, id="and-tttf"),
            pytest.param(either(FALSE, TRUE), True, id="or-ft"),
            pytest.param(either(FALSE, FALSE), False, id="or-ff"),
            pytest.param(either(FALSE, FALSE, TRUE), True, id="or-fft"),
            pytest.param(negate(TRUE), False, id="not-t"),
            pytest.param(negate(FALSE), True, id="not-f"),
            pytest.param(negate(negate(TRUE)), True, id="not-not"),
            pytest.param(both(either(FALSE, TRUE), negate(both(TRUE, FALSE))), True, id="nested"),
            pytest.param(negate(single("no", 1)), True, id="not-missing"),
            pytest.param(negate(single("no", 1, pass_if_missing=True)), False, id="not-missing-pass"),
        ],
    )
    def test_logic(self, client, condition, passes):
        create(client)
        assert matches(client, condition, row={"x": 1}) is passes

    @pytest.mark.parametrize(
        ("condition", "message"),
        [
            pytest.param(negate(), "Invalid NOT operator: the number of sub-filters must be 1.", id="not-0"),
            pytest.param(negate(TRUE, TRUE), "Invalid NOT operator: the number of sub-filters must be 1.", id="not-2"),
            pytest.param(both(), "Invalid AND/OR operator: the number of sub-filters must be more than 1.", id="and-0"),
            pytest.param(
                both(TRUE),
                "Invalid AND/OR operator: the number of sub-filters must be more than 1.",
                id="and-1",
            ),
            pytest.param(
                either(TRUE),
                "Invalid AND/OR operator: the number of sub-filters must be more than 1.",
                id="or-1",
            ),
            pytest.param(
                both(TRUE, either(TRUE)),
                "Invalid AND/OR operator: the number of sub-filters must be more than 1.",
                id="inner",
            ),
        ],
    )
    def test_refused(self, client, condition, message):
        create(client)
        for call in (
            lambda: get(client, "t", "a", column_filter=condition),
            lambda: every(client, "t", column_filter=condition),
            lambda: put(client, "t", "a", {"x": 1}, Condition("IGNORE", condition)),
            lambda: update(client, "t", "a", {"put": [("x", 1)]}, Condition("IGNORE", condition)),
            lambda: delete(client, "t", "a", Condition("IGNORE", condition)),
        ):
            with service_error("OTSParameterInvalid", message):
                call()
        assert get(client, "t", "a") is None


class TestVersions:
    def test_the_latest_version_only_or_any(self, client):
        create_versioned(client, max_time_deviation=10**12)
        put(client, "t", "a", [("x", 1, 1000), ("x", 2, 2000)])
        for wanted, latest_only, passes in (
            (1, True, False),
            (2, True, True),
            (1, False, True),
            (3, False, False),
        ):
            condition = single("x", wanted, latest_version_only=latest_only)
            found = get(client, "t", "a", column_filter=condition, max_version=10)
            assert (found is not None) is passes
            guarded = Condition("IGNORE", condition)
            if passes:
                update(client, "t", "a", {"put": [("seen", wanted)]}, guarded)
            else:
                with service_error(*CONDITION_FAILED):
                    update(client, "t", "a", {"put": [("seen", wanted)]}, guarded)


class TestRegex:
    """The first match of the pattern is cast and compared."""

    @pytest.mark.parametrize(
        ("stored", "pattern", "cast", "comparator", "value", "passes"),
        [
            pytest.param("t1=7;t2=9", "t1=([0-9]+)", CastType.VT_INTEGER, EQ, 7, True, id="integer"),
            pytest.param("t1=7;t2=9", "t2=([0-9]+)", CastType.VT_INTEGER, GT, 8, True, id="second"),
            pytest.param("t1=7;t2=9", "t2=([0-9]+)", CastType.VT_INTEGER, GT, 9, False, id="not-greater"),
            pytest.param("p=1.25", "p=([0-9.]+)", CastType.VT_DOUBLE, LT, 1.5, True, id="double"),
            pytest.param("name=bob;", "name=([a-z]+)", CastType.VT_STRING, EQ, "bob", True, id="string"),
            pytest.param("name=bob;", "name=([a-z]+)", CastType.VT_STRING, NE, "bob", False, id="string-ne"),
            pytest.param("7 8 9", "([0-9]+)", CastType.VT_INTEGER, EQ, 7, True, id="first-match"),
            pytest.param("none", "t1=([0-9]+)", CastType.VT_INTEGER, EQ, 7, False, id="no-match"),
            pytest.param("none", "t1=([0-9]+)", CastType.VT_INTEGER, NE, 7, False, id="no-match-ne"),
        ],
    )
    def test_compares(self, client, stored, pattern, cast, comparator, value, passes):
        create(client)
        condition = SingleColumnRegexCondition("x", comparator, value, RegexRule(pattern, cast))
        assert matches(client, condition, row={"x": stored}) is passes

    def test_a_missing_column_does_not_match(self, client):
        create(client)
        condition = SingleColumnRegexCondition("no", NE, 1, RegexRule("([0-9]+)", CastType.VT_INTEGER))
        assert matches(client, condition, row={"x": "1"}) is False

    def test_without_a_rule_compares_the_value(self, client):
        create(client)
        assert matches(client, SingleColumnRegexCondition("x", EQ, 5), row={"x": 5}) is True
        assert matches(client, SingleColumnRegexCondition("x", EQ, 6), row={"x": 5}) is False

    @pytest.mark.parametrize(
        ("comparator", "row", "passes"),
        [
            (ComparatorType.EXIST, {"x": 1}, True),
            (ComparatorType.EXIST, {"y": 1}, False),
            (ComparatorType.NOT_EXIST, {"x": 1}, False),
            (ComparatorType.NOT_EXIST, {"y": 1}, True),
        ],
        ids=["exist-yes", "exist-no", "not-exist-no", "not-exist-yes"],
    )
    def test_existence(self, client, comparator, row, passes):
        create(client)
        assert matches(client, SingleColumnRegexCondition("x", comparator), row=row) is passes

    def test_guards_writes(self, client):
        create(client)
        put(client, "t", "a", {"x": "v=1"})
        rule = RegexRule("v=([0-9]+)", CastType.VT_INTEGER)
        with service_error(*CONDITION_FAILED):
            put(client, "t", "a", {}, Condition("IGNORE", SingleColumnRegexCondition("x", EQ, 2, rule)))
        put(client, "t", "a", {}, Condition("IGNORE", SingleColumnRegexCondition("x", EQ, 1, rule)))
        assert get(client, "t", "a") == {}


class TestCount:
    MESSAGE = "The count of filter exceeds the max: 32."

    @staticmethod
    def tree(leaves):
        return either(*(single("x", number) for number in range(leaves)))

    def test_up_to_32(self, client):
        create(client)
        assert matches(client, self.tree(31), row={"x": 30}) is True

    @pytest.mark.parametrize("condition", [pytest.param("wide", id="wide"), pytest.param("deep", id="deep")])
    def test_more_are_refused(self, client, condition):
        create(client)
        if condition == "wide":
            found = self.tree(33)
        else:
            found = single("x", 1)
            for _ in range(100):
                found = negate(found)
        with service_error("OTSParameterInvalid", self.MESSAGE):
            get(client, "t", "a", column_filter=found)
        with service_error("OTSParameterInvalid", self.MESSAGE):
            put(client, "t", "a", {"x": 1}, Condition("IGNORE", found))
        assert get(client, "t", "a") is None


class TestMalformed:
    KEY = (Cell("pk", "a"),)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            pytest.param(b"\xff\xff\xff", "Deserialize filter failed.", id="filter"),
            pytest.param(
                filter_pb.Filter(type=filter_pb.FT_SINGLE_COLUMN_VALUE, filter=b"\xff\xff").SerializeToString(),
                "Deserialize relation filter failed.",
                id="relation",
            ),
            pytest.param(
                filter_pb.Filter(type=filter_pb.FT_COMPOSITE_COLUMN_VALUE, filter=b"\xff\xff").SerializeToString(),
                "Deserialize composite filter failed.",
                id="composite",
            ),
            pytest.param(
                filter_pb.Filter(
                    type=filter_pb.FT_SINGLE_COLUMN_VALUE, filter=single_filter(value=b"\x63\x00")
                ).SerializeToString(),
                ANY,
                id="value",
            ),
            pytest.param(
                filter_pb.Filter(
                    type=filter_pb.FT_SINGLE_COLUMN_VALUE,
                    filter=single_filter(value=b"\x03\xff\x00\x00\x00ab"),
                ).SerializeToString(),
                ANY,
                id="short-value",
            ),
        ],
    )
    def test_refused(self, client, data, message):
        create(client)
        put(client, "t", "a", {"a": 1})
        refuse(client, "GetRow", raw_get("t", self.KEY, filter=data), message)
        guarded = raw_put("t", self.KEY)
        guarded.condition.column_condition = data
        refuse(client, "PutRow", guarded, message)
        assert get(client, "t", "a") == {"a": 1}

    def test_a_bad_pattern_is_refused(self, client):
        create(client)
        put(client, "t", "a", {"x": "v"})
        condition = SingleColumnRegexCondition("x", EQ, 1, RegexRule("([", CastType.VT_INTEGER))
        with service_error("OTSParameterInvalid"):
            get(client, "t", "a", column_filter=condition)


class TestPagination:
    """The wide-column filter, which this SDK cannot build."""

    @staticmethod
    def build(offset, limit):
        inner = filter_pb.ColumnPaginationFilter(offset=offset, limit=limit).SerializeToString()
        return filter_pb.Filter(type=filter_pb.FT_COLUMN_PAGINATION, filter=inner).SerializeToString()

    @pytest.mark.parametrize(
        ("offset", "limit", "message"),
        [
            (-1, 1, "Offset in ColumnPaginationFilter must be greater than or equal to 0."),
            (0, 0, "Limit in ColumnPaginationFilter must be greater than 0."),
        ],
    )
    def test_refused(self, client, offset, limit, message):
        create(client)
        refuse(client, "GetRow", raw_get("t", [Cell("pk", "a")], filter=self.build(offset, limit)), message)


def test_messages_name_no_values(client):
    """What a failed condition says holds none of the row's data."""
    create(client)
    put(client, "t", "a", {"secret": "s3cr3t"})
    with service_error("OTSConditionCheckFail", re.compile(r"Condition check failed\.")):
        put(client, "t", "a", {}, Condition("IGNORE", single("secret", "other")))
