"""The newest checkpoint of a line is remembered, and the one that was used last."""

from __future__ import annotations

from langchain_tablestore_memory.langgraph.checkpoints.held_values import HeldValues
from langchain_tablestore_memory.langgraph.checkpoints.rows import Line

LINE = Line("t", "")


def remembered(*checkpoint_ids):
    values = HeldValues()
    for checkpoint_id in checkpoint_ids:
        values.remember(LINE, checkpoint_id, {checkpoint_id: None})
    return {each for each in sorted(set(checkpoint_ids)) if values.of(LINE, each) is not None}


def test_the_newest_stays_while_older_ones_are_read():
    assert remembered("1", "2", "3", "1", "2") == {"2", "3"}


def test_of_newer_and_newer_ones_the_last_two_stay():
    assert remembered("1", "2", "3") == {"2", "3"}


def test_the_latest_values_of_a_checkpoint_count():
    values = HeldValues()
    values.remember(LINE, "1", {"a": None})
    values.remember(LINE, "1", {"b": None})
    assert values.of(LINE, "1") == {"b": None}


def test_a_thread_is_forgotten_with_all_its_lines():
    values = HeldValues()
    for line in (LINE, Line("t", "sub"), Line("u", "")):
        values.remember(line, "1", {})
    values.forget("t")
    assert [values.of(line, "1") for line in (LINE, Line("t", "sub"), Line("u", ""))] == [None, None, {}]
    values.forget()
    assert values.of(Line("u", ""), "1") is None


def test_lines_that_were_not_used_for_long_are_forgotten():
    values = HeldValues()
    for number in range(300):
        values.remember(Line(str(number), ""), "1", {})
    assert values.of(Line("0", ""), "1") is None
    assert values.of(Line("299", ""), "1") == {}
