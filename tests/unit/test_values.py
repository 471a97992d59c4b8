"""Lists that grow are stored without what they held before, in a few runs."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_tablestore_memory.langgraph.checkpoints.rows import Place, Run
from langchain_tablestore_memory.langgraph.checkpoints.values import (
    MAX_CARRIED,
    MAX_REWRITTEN,
    Held,
    Value,
    stored_runs,
)

LARGE = b"." * MAX_REWRITTEN
"""Makes a list so large that it is not simply stored again."""


def entries(*names):
    return [("bytes", f"{name}".encode() + (b"" if number else LARGE)) for number, name in enumerate(names)]


class Stored:
    """What a table would hold: parts by checkpoint."""

    def __init__(self):
        self.parts = {}
        self.held = None

    def put(self, parts):
        """Store a version of the list; returns how many parts were written for it."""
        value = Value(True, parts)
        runs, stored = stored_runs(value, self.held)
        checkpoint_id = f"{len(self.parts):06}"
        rest = parts[stored:]
        self.parts[checkpoint_id] = rest
        if rest:
            runs.append(Run(checkpoint_id, 0, len(rest)))
        self.held = Held.of(checkpoint_id, Place(True, tuple(runs)), value)
        assert self.read(runs) == parts
        return len(rest)

    def read(self, runs):
        return [part for run in runs for part in self.parts[run.checkpoint_id][run.first : run.first + run.length]]


class TestLists:
    def test_only_what_is_new_is_written(self):
        stored = Stored()
        assert stored.put(entries(*range(10))) == 10
        assert stored.put(entries(*range(11))) == 1

    def test_the_same_list_is_not_written_again(self):
        stored = Stored()
        stored.put(entries(1, 2, 3))
        assert stored.put(entries(1, 2, 3)) == 0

    def test_what_follows_a_changed_entry_is_written_again(self):
        stored = Stored()
        stored.put(entries(*range(100)))
        assert stored.put(entries(*range(90), "new", *range(91, 100))) == 10

    def test_a_shorter_list_refers_to_its_beginning(self):
        stored = Stored()
        stored.put(entries(*range(10)))
        assert stored.put(entries(*range(4))) == 0

    def test_an_entry_of_another_kind_is_another_entry(self):
        stored = Stored()
        first, *others = entries(1, 2, 3, 4)
        stored.put([first, *others])
        assert stored.put([first, *others[:-1], ("msgpack", others[-1][1])]) == 1

    @settings(deadline=None)
    @given(st.integers(2, 200))
    def test_few_runs_and_few_writes(self, length):
        stored = Stored()
        written = sum(stored.put(entries(*range(count))) for count in range(1, length + 1))
        assert len(stored.held.place.runs) <= math.log2(length) + 1
        assert written <= length * (math.log2(length) + 1)

    @settings(deadline=None)
    @given(st.lists(st.lists(st.integers(0, 2), max_size=12), min_size=1, max_size=12))
    def test_any_versions_are_read_as_they_were(self, versions):
        stored = Stored()
        for version in versions:
            stored.put(entries(*version))

    def test_a_small_list_is_written_whole(self):
        stored = Stored()
        stored.put([("bytes", b"a"), ("bytes", b"b")])
        assert stored.put([("bytes", b"a"), ("bytes", b"b"), ("bytes", b"c")]) == 3

    def test_a_list_of_which_the_entries_are_not_known_is_written_whole(self):
        held = Held.of("1", Place(True, (Run("c", 0, 3),)), None)
        assert stored_runs(Value(True, entries(1, 2, 3)), held) == ([], 0)

    def test_a_value_that_was_no_list_is_nothing_to_go_on_from(self):
        held = Held.of("1", Place(False, (Run("c", 0, 1),)), Value(False, entries(1)))
        assert stored_runs(Value(True, entries(1, 2)), held) == ([], 0)


class TestHeld:
    place = Place(False, (Run("c", 0, 1),))

    def test_a_small_value_is_carried_along(self):
        value = Value(False, [("bytes", b"." * MAX_CARRIED)])
        assert Held.of("1", self.place, value).value is value

    def test_a_larger_one_is_not(self):
        assert Held.of("1", self.place, Value(False, [("bytes", b"." * (MAX_CARRIED + 1))])).value is None

    def test_of_a_list_no_entries_are_kept(self):
        held = Held.of("1", Place(True, (Run("c", 0, 2),)), Value(True, entries(1, 2)))
        assert held.value is None
        assert len(held.told) == 32
