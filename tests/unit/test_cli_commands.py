"""How lines of the chat are read, and what the numbers in its lists mean."""

from __future__ import annotations

import pytest

from langchain_tablestore_memory.cli.chat.commands import COMMANDS, HELP, Line, UsageError, parse
from langchain_tablestore_memory.cli.chat.listing import Listing
from langchain_tablestore_memory.cli.chat.piped import joined
from langchain_tablestore_memory.cli.display import counted, shortened, show_time


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("Hello", Line("", "Hello")),
        ("  Hello \n", Line("", "Hello")),
        ("one\ntwo", Line("", "one\ntwo")),
        ("你好", Line("", "你好")),
        ("/new", Line("new", "")),
        ("/NEW", Line("new", "")),
        ("  /load   s 1  ", Line("load", "s 1")),
        ("/remember\tone\ntwo", Line("remember", "one\ntwo")),
        ("/history", Line("history", "")),
        ("/history 5", Line("history", "5")),
        ("//etc/hosts", Line("", "/etc/hosts")),
        ("/// three", Line("", "// three")),
        ("a /load b", Line("", "a /load b")),
        ("", None),
        (" \t\n", None),
    ],
)
def test_a_line_is_a_command_or_something_to_say(typed, read):
    assert parse(typed) == read


@pytest.mark.parametrize("typed", ["/", "/ new", "/nwe", "/load", "/forget ", "/new x", "/42", "/加载"])
def test_what_is_no_command_is_refused(typed):
    with pytest.raises(UsageError) as caught:
        parse(typed)
    assert "\n" not in str(caught.value)


def test_a_command_that_is_meant_is_named():
    with pytest.raises(UsageError, match=r"Did you mean /memories\?"):
        parse("/memorys")
    with pytest.raises(UsageError) as caught:
        parse("/zzz")
    assert "Did you mean" not in str(caught.value)


def test_help_has_a_line_for_each_command():
    assert len(HELP.splitlines()) == len(COMMANDS) + 4


def test_numbers_run_on_over_pages():
    pages = {None: (["a", "b"], "next"), "next": (["c"], None)}
    listing = Listing()
    assert list(listing.more()) == []
    assert list(listing.begin(pages.__getitem__)) == [(1, "a"), (2, "b")]
    assert listing.has_more
    assert listing.called("3") is None
    assert list(listing.more()) == [(3, "c")]
    assert not listing.has_more
    assert list(listing.more()) == []
    assert [listing.called(number) for number in ("1", "3", "0", "4", "-1", "x", "", "²")] == ["a", "c"] + [None] * 6


@pytest.mark.parametrize(
    ("lines", "read"),
    [
        (["a\n", "b"], ["a", "b"]),
        (["a\\\n", "b\n"], ["a\nb"]),
        (["a\\\r\n", "b\r\n"], ["a\nb"]),
        (["a\\\n", "\\\n", "b\n"], ["a\n\nb"]),
        (["a\\\n"], ["a\n"]),
        ([], []),
    ],
)
def test_lines_that_end_with_a_backslash_go_on(lines, read):
    assert list(joined(lines)) == read


def test_texts_times_and_counts_are_shown_on_one_line():
    assert shortened("one\n two", 20) == "one two"
    assert shortened("one two three", 8) == "one two…"
    assert shortened("x" * 100, 10) == "x" * 9 + "…"
    assert [counted(number, "memory", "memories") for number in (0, 1, 2)] == ["0 memories", "1 memory", "2 memories"]
    assert counted(3, "message") == "3 messages"
    assert show_time(1_700_000_000_000_000).startswith("2023-11-1")
    assert show_time(2**62) == str(2**62)
    assert show_time(-(2**62)) == str(-(2**62))
