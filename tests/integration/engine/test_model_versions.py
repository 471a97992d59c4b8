"""Random histories of cells' versions against a plain dict."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from .support import cells, create_versioned, delete, every, fetch, put, read, update

KEPT = 3
names = st.sampled_from(["a", "b", "c"])
stamps = st.integers(1, 8)
new_cells = st.dictionaries(st.tuples(names, stamps), st.integers(0, 99), max_size=6)
time_ranges = st.one_of(st.none(), stamps, st.tuples(stamps, stamps).filter(lambda pair: pair[0] < pair[1]))
selections = st.one_of(st.none(), st.lists(st.sampled_from(["a", "b", "zz", "pk"]), min_size=1, max_size=2))


class Machine(RuleBasedStateMachine):
    client: Any = None
    tables = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.table = f"v{next(self.tables)}"
        create_versioned(self.client, self.table, max_version=KEPT, max_time_deviation=10**12)
        self.columns: dict[str, dict[int, int]] | None = None

    def teardown(self) -> None:
        self.client.delete_table(self.table)

    def store(self, added: dict[tuple[str, int], int]) -> None:
        assert self.columns is not None
        for (name, stamp), value in added.items():
            self.columns.setdefault(name, {})[stamp] = value
        for versions in self.columns.values():
            for stamp in sorted(versions, reverse=True)[KEPT:]:
                del versions[stamp]

    @rule(added=new_cells)
    def put_row(self, added: Any) -> None:
        put(self.client, self.table, "k", [(name, value, stamp) for (name, stamp), value in added.items()])
        self.columns = {}
        self.store(added)

    @rule(added=new_cells.filter(bool))
    def update_row(self, added: Any) -> None:
        puts = [(name, value, stamp) for (name, stamp), value in added.items()]
        update(self.client, self.table, "k", {"put": puts})
        self.columns = self.columns or {}
        self.store(added)

    @rule(name=names, stamp=stamps)
    def delete_version(self, name: str, stamp: int) -> None:
        update(self.client, self.table, "k", {"delete": [(name, None, stamp)]})
        if self.columns is not None:
            self.columns.get(name, {}).pop(stamp, None)

    @rule(name=names)
    def delete_column(self, name: str) -> None:
        update(self.client, self.table, "k", {"delete_all": [name]})
        if self.columns is not None:
            self.columns.pop(name, None)

    @rule()
    def delete_row(self) -> None:
        delete(self.client, self.table, "k")
        self.columns = None

    def expected(self, count: int | None, time_range: Any, wanted: list[str] | None) -> Any:
        if self.columns is None:
            return None
        found = []
        for name in sorted(self.columns):
            if wanted is not None and name not in wanted:
                continue
            low, high = (0, 10**6) if time_range is None else (0, 0)
            if isinstance(time_range, int):
                low, high = time_range, time_range + 1
            elif time_range is not None:
                low, high = time_range
            inside = [stamp for stamp in sorted(self.columns[name], reverse=True) if low <= stamp < high]
            found += [(name, self.columns[name][stamp], stamp) for stamp in inside[:count]]
        if wanted is not None and not found and "pk" not in wanted:
            return None
        return found

    @rule(count=st.none() | st.integers(1, 4), time_range=time_ranges, wanted=selections)
    def read_row(self, count: Any, time_range: Any, wanted: Any) -> None:
        if isinstance(time_range, int):
            count = None
        elif time_range is None and count is None:
            count = 1
        expected = self.expected(count, time_range, wanted)
        options = {"max_version": count, "time_range": time_range, "columns_to_get": wanted}
        assert cells(fetch(self.client, self.table, "k", **options)) == expected
        rows = every(self.client, self.table, **options).rows
        assert (cells(rows[0]) if rows else None) == expected
        assert cells(read(self.client, self.table, ["k"], **options)[0].row) == expected

    @invariant()
    def everything_is_there(self) -> None:
        found = cells(fetch(self.client, self.table, "k", max_version=99))
        assert found == self.expected(None, None, None)


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
