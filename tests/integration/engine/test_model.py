"""Random histories of writes and reads against a plain dict that says what each must do."""

from __future__ import annotations

import itertools
import operator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tablestore import (
    INF_MAX,
    INF_MIN,
    ComparatorType,
    CompositeColumnCondition,
    Condition,
    LogicalOperator,
    OTSServiceError,
    SecondaryIndexMeta,
    SecondaryIndexType,
    SingleColumnCondition,
)

from .support import (
    allow,
    create,
    delete,
    delete_item,
    fetch,
    page,
    plain_key,
    put,
    put_item,
    read,
    update,
    update_item,
    values,
    write,
    write_results,
)

NAMES = ("p", "n")
PARTITIONS = ["", "a", "a\x00", "aa", "b", "é", "\U0001f600"]
NUMBERS = [-(2**63), -2, -1, 0, 1, 2, 2**63 - 1]
COMPARATORS = {
    ComparatorType.EQUAL: operator.eq,
    ComparatorType.NOT_EQUAL: operator.ne,
    ComparatorType.GREATER_THAN: operator.gt,
    ComparatorType.GREATER_EQUAL: operator.ge,
    ComparatorType.LESS_THAN: operator.lt,
    ComparatorType.LESS_EQUAL: operator.le,
}

keys = st.tuples(st.sampled_from(PARTITIONS), st.sampled_from(NUMBERS))
integers = st.integers(-3, 3)
texts = st.sampled_from(["", "x", "xy", "y", "文"])
columns = st.fixed_dictionaries(
    {},
    optional={
        "a": integers,
        "b": texts,
        "c": st.one_of(integers, texts, st.booleans(), st.sampled_from([0.5, -1.0]), st.just(bytearray(b"\x00"))),
        "d": integers,
    },
)
selections = st.one_of(
    st.none(), st.lists(st.sampled_from(["a", "b", "c", "d", "zz", "p", "n"]), min_size=1, max_size=3)
)
limits = st.one_of(st.none(), st.integers(1, 6))
expectations = st.sampled_from(["IGNORE", "EXPECT_EXIST", "EXPECT_NOT_EXIST"])

singles = st.one_of(
    *(
        st.tuples(st.just("is"), st.just(name), values_, st.sampled_from(list(COMPARATORS)), st.booleans())
        for name, values_ in (("a", integers), ("b", texts), ("d", integers), ("zz", integers))
    )
)
filters = st.recursive(
    singles,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.just("and"), inner, inner),
        st.tuples(st.just("or"), inner, inner, inner),
    ),
    max_leaves=5,
)


def build(tree: Any) -> Any:
    """A filter as the SDK's conditions."""
    if tree[0] == "is":
        _, name, value, comparator, pass_if_missing = tree
        return SingleColumnCondition(name, value, comparator, pass_if_missing)
    found = CompositeColumnCondition(
        {"not": LogicalOperator.NOT, "and": LogicalOperator.AND, "or": LogicalOperator.OR}[tree[0]]
    )
    for part in tree[1:]:
        found.add_sub_condition(build(part))
    return found


def holds(tree: Any, row: dict[str, Any]) -> bool:
    """What a filter means."""
    kind, *parts = tree
    if kind == "is":
        name, value, comparator, pass_if_missing = parts
        return COMPARATORS[comparator](row[name], value) if name in row else pass_if_missing
    results = [holds(part, row) for part in parts]
    return {"not": not results[0], "and": all(results), "or": any(results)}[kind]


def order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part.encode() if isinstance(part, str) else part for part in key)


def view(
    key: tuple[Any, ...], row: dict[str, Any], wanted: list[str] | None, tree: Any, names: tuple[str, ...] = NAMES
) -> dict[str, Any] | None:
    """What a read returns of a row: None when it is hidden. A filter sees the key and what is selected."""
    shown = row if wanted is None else {name: value for name, value in row.items() if name in wanted}
    if wanted is not None and not shown and not set(names) & set(wanted):
        return None
    seen = shown | dict(zip(names, key, strict=True))
    return None if tree is not None and not holds(tree, seen) else shown


def full(key: tuple[Any, ...], names: tuple[str, ...] = NAMES) -> list[tuple[str, Any]]:
    return list(zip(names, key, strict=True))


def same(found: dict[str, Any] | None, expected: dict[str, Any] | None) -> bool:
    """Equal, types included: 1, 1.0 and True are three values."""
    if found is None or expected is None:
        return found is expected
    return found == expected and all(type(found[name]) is type(value) for name, value in expected.items())


class Machine(RuleBasedStateMachine):
    client: Any = None
    tables = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}
        number = next(self.tables)
        self.table, self.local, self.everywhere = f"t{number}", f"l{number}", f"g{number}"
        create(
            self.client,
            self.table,
            [("p", "STRING"), ("n", "INTEGER")],
            defined=[("a", "INTEGER"), ("b", "STRING")],
            indexes=[
                SecondaryIndexMeta(self.local, ["p", "a"], ["b"], SecondaryIndexType.LOCAL_INDEX),
                SecondaryIndexMeta(self.everywhere, ["b"], ["a"], SecondaryIndexType.GLOBAL_INDEX),
            ],
        )

    def teardown(self) -> None:
        self.client.delete_table(self.table)

    # What the rows are, seen through the table and its indexes

    def content(self, name: str) -> tuple[tuple[str, ...], dict[tuple[Any, ...], dict[str, Any]]]:
        if name == self.table:
            return NAMES, dict(self.rows)
        if name == self.local:
            return ("p", "a", "n"), {
                (p, row["a"], n): {k: v for k, v in row.items() if k == "b"}
                for (p, n), row in self.rows.items()
                if "a" in row
            }
        return ("b", "p", "n"), {
            (row["b"], p, n): {k: v for k, v in row.items() if k == "a"}
            for (p, n), row in self.rows.items()
            if "b" in row
        }

    def passes(self, key: tuple[str, int], expectation: str, tree: Any = None) -> bool:
        exists = key in self.rows
        if (expectation, exists) in {("EXPECT_EXIST", False), ("EXPECT_NOT_EXIST", True)}:
            return False
        return tree is None or holds(tree, self.rows.get(key, {}))

    def attempt(self, call: Any, key: tuple[str, int], expectation: str, tree: Any) -> bool:
        """Runs a guarded write; True when it went through, which it must exactly when the model says so."""
        condition = Condition(expectation, None if tree is None else build(tree))
        expected = self.passes(key, expectation, tree)
        try:
            call(condition)
        except OTSServiceError as error:
            allow(error, "OTSConditionCheckFail")
            passed = False
        else:
            passed = True
        assert passed == expected
        return passed

    def change(self, key: tuple[str, int], puts: dict[str, Any], deletes: set[str], increments: dict[str, int]) -> None:
        """An update's effect; one that only deletes makes no row."""
        if key not in self.rows and not puts and not increments:
            return
        row = self.rows.setdefault(key, {})
        row.update(puts)
        for name in deletes:
            row.pop(name, None)
        for name, amount in increments.items():
            row[name] = row.get(name, 0) + amount

    # Writes

    @rule(key=keys, row=columns, expectation=expectations, tree=st.none() | filters)
    def put_row(self, key: Any, row: Any, expectation: str, tree: Any) -> None:
        if self.attempt(lambda c: put(self.client, self.table, full(key), row, c), key, expectation, tree):
            self.rows[key] = dict(row)

    @rule(
        key=keys,
        puts=columns,
        deletes=st.sets(st.sampled_from("abcd"), max_size=2),
        amount=st.none() | integers,
        expectation=expectations,
        tree=st.none() | filters,
    )
    def update_row(self, key: Any, puts: Any, deletes: Any, amount: Any, expectation: str, tree: Any) -> None:
        deletes = deletes - set(puts) - ({"d"} if amount is not None else set())
        puts = {name: value for name, value in puts.items() if not (name == "d" and amount is not None)}
        increments = {} if amount is None else {"d": amount}
        changes = changes_of(puts, deletes, increments)
        if not changes:
            return
        if self.attempt(lambda c: update(self.client, self.table, full(key), changes, c), key, expectation, tree):
            self.change(key, puts, deletes, increments)

    @rule(key=keys, expectation=expectations, tree=st.none() | filters)
    def delete_row(self, key: Any, expectation: str, tree: Any) -> None:
        if self.attempt(lambda c: delete(self.client, self.table, full(key), c), key, expectation, tree):
            self.rows.pop(key, None)

    @rule(
        items=st.lists(
            st.tuples(st.sampled_from(["put", "update", "delete"]), keys, columns, expectations),
            min_size=1,
            max_size=12,
            unique_by=lambda item: item[1],
        )
    )
    def batch_write(self, items: Any) -> None:
        sent, expected = [], []
        for kind, key, row, expectation in items:
            if kind == "update" and not row:
                continue
            condition = Condition(expectation)
            passing = self.passes(key, expectation)
            expected.append(passing)
            if kind == "put":
                sent.append(put_item(full(key), row, condition))
            elif kind == "update":
                sent.append(update_item(full(key), {"put": list(row.items())}, condition))
            else:
                sent.append(delete_item(full(key), condition))
            if not passing:
                continue
            if kind == "put":
                self.rows[key] = dict(row)
            elif kind == "update":
                self.change(key, row, set(), {})
            else:
                self.rows.pop(key, None)
        if sent:
            results = write_results(write(self.client, {self.table: sent}))
            assert [result.is_ok for result in results] == expected

    @rule(key=keys, rows=st.lists(columns, min_size=2, max_size=4))
    def batch_write_of_one_row(self, key: Any, rows: Any) -> None:
        results = write_results(write(self.client, {self.table: [put_item(full(key), row) for row in rows]}))
        assert all(result.is_ok for result in results)
        self.rows[key] = dict(rows[-1])

    # Reads

    @rule(key=keys, wanted=selections, tree=st.none() | filters)
    def get_row(self, key: Any, wanted: Any, tree: Any) -> None:
        column_filter = None if tree is None else build(tree)
        found = values(fetch(self.client, self.table, full(key), columns_to_get=wanted, column_filter=column_filter))
        expected = view(key, self.rows[key], wanted, tree) if key in self.rows else None
        assert same(found, expected), (found, expected)

    @rule(wanted_keys=st.lists(keys, min_size=1, max_size=8), wanted=selections, tree=st.none() | filters)
    def batch_get(self, wanted_keys: Any, wanted: Any, tree: Any) -> None:
        column_filter = None if tree is None else build(tree)
        found = read(
            self.client,
            self.table,
            [full(key) for key in wanted_keys],
            columns_to_get=wanted,
            column_filter=column_filter,
        )
        for key, item in zip(wanted_keys, found, strict=True):
            expected = view(key, self.rows[key], wanted, tree) if key in self.rows else None
            assert same(values(item.row), expected)

    @rule(
        which=st.sampled_from(["table", "local", "everywhere"]),
        bounds=st.tuples(st.data(), st.data()),
        backward=st.booleans(),
        limit=limits,
        wanted=selections,
        tree=st.none() | filters,
    )
    def get_range(self, which: str, bounds: Any, backward: bool, limit: Any, wanted: Any, tree: Any) -> None:
        name = getattr(self, which)
        names, content = self.content(name)
        parts = {"p": st.sampled_from(PARTITIONS), "n": st.sampled_from(NUMBERS), "a": integers, "b": texts}
        ends = sorted((tuple(data.draw(ends_of(parts[n])) for n in names) for data in bounds), key=bound_order)
        if bound_order(ends[0]) == bound_order(ends[1]):
            return
        inside = [key for key in sorted(content, key=order) if between(ends[0], key, ends[1], backward=backward)]
        if backward:
            inside.reverse()
            ends.reverse()
        direction = "BACKWARD" if backward else "FORWARD"
        start = full(ends[0], names)
        column_filter = None if tree is None else build(tree)
        pages = 0
        while start is not None:
            found = page(
                self.client,
                name,
                start,
                full(ends[1], names),
                direction,
                limit=limit,
                columns_to_get=wanted,
                column_filter=column_filter,
            )
            size = len(inside) if limit is None else limit
            scanned = inside[pages * size : (pages + 1) * size]
            expected = {key: view(key, content[key], wanted, tree, names) for key in scanned}
            shown = {key: row for key, row in expected.items() if row is not None}
            assert [plain_key(row.primary_key) for row in found.rows] == list(shown)
            for row, (_, expected_row) in zip(found.rows, shown.items(), strict=True):
                assert same(values(row), expected_row)
            rest = inside[(pages + 1) * size :]
            assert (found.next_key and plain_key(found.next_key)) == (rest[0] if rest else None)
            start = found.next_key
            pages += 1

    @invariant()
    def everything_is_there(self) -> None:
        for name in (self.table, self.local, self.everywhere):
            names, content = self.content(name)
            found = page(self.client, name, [(n, INF_MIN) for n in names], [(n, INF_MAX) for n in names])
            assert found.keys == sorted(content, key=order)
            for row in found.rows:
                assert same(values(row), content[plain_key(row.primary_key)])


def changes_of(puts: dict[str, Any], deletes: set[str], increments: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if puts:
        found["put"] = list(puts.items())
    if deletes:
        found["delete_all"] = sorted(deletes)
    if increments:
        found["increment"] = list(increments.items())
    return found


def ends_of(strategy: Any) -> Any:
    return st.one_of(strategy, strategy, st.just(INF_MIN), st.just(INF_MAX))


def bound_order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    ranked = []
    for part in key:
        if part is INF_MIN:
            ranked.append((0, b""))
        elif part is INF_MAX:
            ranked.append((2, b""))
        else:
            ranked.append((1, part.encode() if isinstance(part, str) else part))
    return tuple(ranked)


def between(low: Any, key: Any, high: Any, *, backward: bool) -> bool:
    """Inclusive where reading starts, exclusive where it ends."""
    low_rank, rank, high_rank = bound_order(low), bound_order(key), bound_order(high)
    return low_rank < rank <= high_rank if backward else low_rank <= rank < high_rank


@pytest.mark.slow
def test_histories(client, front):
    machine = type("Bound", (Machine,), {"client": client})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40 if front == "in-process" else 10,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
