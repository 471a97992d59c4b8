"""Key columns that the server numbers."""

from __future__ import annotations

import re
import threading

import pytest
from tablestore import PK_AUTO_INCR, Condition, ReturnType, SingleColumnCondition

from . import plain
from .plain import Cell
from .support import (
    EXPECT_EXIST,
    EXPECT_NOT_EXIST,
    IGNORE,
    INVALID,
    create,
    delete,
    delete_item,
    every,
    fetch,
    get,
    put,
    put_item,
    raw_delete,
    raw_get,
    raw_put,
    raw_update,
    refuse,
    service_error,
    update,
    update_item,
    write,
    write_results,
)


@pytest.fixture
def table(client):
    create(client, key=[("p", "STRING"), ("n", "INTEGER", PK_AUTO_INCR)])
    return client


def new(p="a"):
    return [("p", p), ("n", PK_AUTO_INCR)]


def at(n, p="a"):
    return [("p", p), ("n", n)]


def insert(client, columns=None, p="a"):
    """Returns the number that the new row was given."""
    _, row = put(client, "t", new(p), columns or {"x": 1}, return_type=ReturnType.RT_PK)
    (name, value), (number_name, number) = row.primary_key
    assert (name, value, number_name) == ("p", p, "n")
    assert type(number) is int
    return number


class TestInsert:
    def test_numbers_rise(self, table):
        numbers = [insert(table, {"x": n}) for n in range(20)]
        assert numbers == sorted(set(numbers))
        assert [get(table, "t", at(number)) for number in numbers] == [{"x": n} for n in range(20)]
        assert every(table, "t", "pn").keys == [("a", number) for number in numbers]

    def test_numbers_are_not_used_again(self, table):
        first = insert(table)
        delete(table, "t", at(first), EXPECT_EXIST)
        assert insert(table) > first

    def test_partition_keys_are_apart(self, table):
        for p in "abab":
            insert(table, p=p)
        assert [p for p, _ in every(table, "t", "pn").keys] == ["a", "a", "b", "b"]

    def test_without_return_type_nothing_comes_back(self, table):
        assert put(table, "t", new(), {"x": 1})[1] is None
        assert len(every(table, "t", "pn").rows) == 1

    def test_in_a_batch(self, table):
        answer = write(table, {"t": [put_item(new(), {"x": n}, return_type=ReturnType.RT_PK) for n in range(5)]})
        assert answer.is_all_succeed()
        numbers = [row.row.primary_key[1][1] for row in write_results(answer)]
        assert len(set(numbers)) == 5
        assert [get(table, "t", at(number)) for number in numbers] == [{"x": n} for n in range(5)]

    def test_from_many_threads(self, table):
        found = []

        def work():
            found.extend(insert(table) for _ in range(10))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 40
        assert len(every(table, "t", "pn").rows) == 40

    @pytest.mark.parametrize(
        ("condition", "name"),
        [(EXPECT_EXIST, "EXPECT_EXIST"), (EXPECT_NOT_EXIST, "EXPECT_NOT_EXIST")],
        ids=["exist", "not-exist"],
    )
    def test_with_an_expectation(self, table, condition, name):
        with service_error(INVALID, re.compile(rf"Invalid expect: ?{name} when modify row with pk auto increment\.?")):
            put(table, "t", new(), {"x": 1}, condition)
        assert every(table, "t", "pn").rows == []

    def test_with_a_condition(self, table):
        condition = Condition("IGNORE", SingleColumnCondition("x", 1, 0))
        with service_error(INVALID, re.compile(r"Can't set condition when modify row with pk auto increment\.?")):
            put(table, "t", new(), {"x": 1}, condition)
        assert every(table, "t", "pn").rows == []


class TestSpecificRow:
    def test_is_read_and_changed(self, table):
        number = insert(table, {"x": 1})
        update(table, "t", at(number), {"put": [("y", 2)]}, EXPECT_EXIST)
        assert get(table, "t", at(number)) == {"x": 1, "y": 2}
        put(table, "t", at(number), {"z": 3}, EXPECT_EXIST)
        assert get(table, "t", at(number)) == {"z": 3}
        delete(table, "t", at(number), EXPECT_EXIST)
        assert fetch(table, "t", at(number)) is None

    @pytest.mark.parametrize(
        ("condition", "name"),
        [(IGNORE, "IGNORE"), (EXPECT_NOT_EXIST, "EXPECT_NOT_EXIST")],
        ids=["ignore", "not-exist"],
    )
    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda client, k, c: put(client, "t", k, {"x": 9}, c), id="PutRow"),
            pytest.param(lambda client, k, c: update(client, "t", k, {"put": [("x", 9)]}, c), id="UpdateRow"),
        ],
    )
    def test_needs_to_be_expected(self, table, call, condition, name):
        number = insert(table, {"x": 1})
        message = re.compile(rf"Invalid expect: ?{name} when modify a specific row for table with pk auto increment\.?")
        with service_error(INVALID, message):
            call(table, at(number), condition)
        assert get(table, "t", at(number)) == {"x": 1}

    def test_that_is_absent(self, table):
        with service_error("OTSConditionCheckFail", "Condition check failed."):
            put(table, "t", at(12345), {"x": 1}, EXPECT_EXIST)


class TestRefused:
    def test_reading_with_the_placeholder(self, table):
        key = [Cell("p", "a"), Cell("n", raw=plain.AUTO_INCREMENT)]
        refuse(table, "GetRow", raw_get("t", key), "PKAutoIncr can't be used for read operations.")

    def test_deleting_with_the_placeholder(self, table):
        key = [Cell("p", "a"), Cell("n", raw=plain.AUTO_INCREMENT)]
        message = re.compile(r"Invalid row to delete which with pk auto increment\.?")
        refuse(table, "DeleteRow", raw_delete("t", key), message)

    def test_two_placeholders(self, table):
        key = [Cell("p", raw=plain.AUTO_INCREMENT), Cell("n", raw=plain.AUTO_INCREMENT)]
        message = re.compile(r"2 pk auto increment exist in row\.?")
        refuse(table, "PutRow", raw_put("t", key, [Cell("x", 1)]), message)

    def test_a_placeholder_elsewhere(self, client):
        create(client, key=[("p", "STRING"), ("n", "INTEGER")])
        key = [Cell("p", "a"), Cell("n", raw=plain.AUTO_INCREMENT)]
        for api, request in (
            ("PutRow", raw_put("t", key, [Cell("x", 1)])),
            ("UpdateRow", raw_update("t", key, [Cell("x", 1)])),
        ):
            from .support import send

            answer = send(client, api, request)
            assert answer.status == 400
            assert answer.error[0] in {INVALID, "OTSInvalidPK"}
        assert every(client, "t", "pn").rows == []

    def test_in_a_batch_the_others_are_kept(self, table):
        number = insert(table)
        answer = write(
            table,
            {
                "t": [
                    update_item(at(number), {"put": [("x", 5)]}, EXPECT_EXIST),
                    delete_item(at(999), EXPECT_EXIST),
                ]
            },
        )
        assert [row.is_ok for row in write_results(answer)] == [True, False]
        assert get(table, "t", at(number)) == {"x": 5}
