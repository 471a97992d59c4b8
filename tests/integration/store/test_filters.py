"""The contract of a store: filters. The operators of LangGraph with the same answers; then what is told apart here."""

from __future__ import annotations

import pytest
from langgraph.store.base import PutOp

from .support import keys_of

NS = ("docs",)

VALUES = {
    "one": {"n": 1, "s": "b", "flag": True, "tags": ["x", "y"], "meta": {"n": 1, "deep": {"s": "q"}}, "none": None},
    "two": {"n": 2.5, "s": "a", "flag": False, "tags": ["y", "x"], "meta": {"n": 2, "deep": {"s": "r"}}, "none": 0},
    "three": {"n": -3, "s": "B", "tags": [], "flag": True, "meta": {"n": 10, "deep": {}}},
    "four": {"n": 10, "s": "茶", "tags": ["x"], "flag": False, "meta": {}, "extra": [{"a": 1}, {"a": 2}]},
}

SAME = [
    ({}, "one two three four"),
    ({"n": 1}, "one"),
    ({"n": 1.0}, "one"),
    ({"n": 2.5}, "two"),
    ({"n": 3}, ""),
    ({"s": "b"}, "one"),
    ({"s": "茶"}, "four"),
    ({"s": ""}, ""),
    ({"flag": True}, "one three"),
    ({"flag": False}, "two four"),
    ({"absent": "x"}, ""),
    ({"n": 10, "s": "茶"}, "four"),
    ({"n": 10, "s": "b"}, ""),
    # Equal, with words
    ({"n": {"$eq": 10}}, "four"),
    ({"s": {"$eq": "a"}}, "two"),
    ({"flag": {"$eq": False}}, "two four"),
    ({"absent": {"$eq": "x"}}, ""),
    # Different: also where there is none
    ({"n": {"$ne": 10}}, "one two three"),
    ({"s": {"$ne": "a"}}, "one three four"),
    ({"extra": {"$ne": "x"}}, "one two three four"),
    ({"absent": {"$ne": 1}}, "one two three four"),
    # Numbers compare as numbers
    ({"n": {"$gt": 2}}, "two four"),
    ({"n": {"$gt": 2.5}}, "four"),
    ({"n": {"$gte": 2.5}}, "two four"),
    ({"n": {"$lt": 1}}, "three"),
    ({"n": {"$lte": 1}}, "one three"),
    ({"n": {"$gt": -10}}, "one two three four"),
    ({"n": {"$gt": 0, "$lt": 10}}, "one two"),
    ({"n": {"$gte": 1, "$ne": 10}}, "one two"),
    # Within
    ({"meta": {"n": 1}}, "one"),
    ({"meta": {"n": 1, "deep": {"s": "q"}}}, "one"),
    ({"meta": {"n": {"$ne": 1}, "deep": {"s": "r"}}}, "two"),
    ({"meta": {"deep": {"s": {"$ne": "q"}}}}, "two three"),
    ({"meta": {"deep": {"s": "r"}}, "n": {"$gt": 2}}, "two"),
    ({"meta": {"absent": {"absent": "x"}}}, ""),
    ({"n": {"n": 1}}, ""),
    # Lists, as wholes
    ({"tags": ["x", "y"]}, "one"),
    ({"tags": ["y", "x"]}, "two"),
    ({"tags": []}, "three"),
    ({"tags": ["x"]}, "four"),
    ({"tags": "x"}, ""),
    ({"tags": {"$eq": ["x"]}}, "four"),
    ({"tags": {"$ne": ["x"]}}, "one two three"),
    ({"extra": [{"a": 1}, {"a": 2}]}, "four"),
    ({"extra": [{"a": 1}, {"a": 3}]}, ""),
    ({"meta": {"$eq": {}}}, "four"),
    ({"meta": {"$eq": {"n": 2, "deep": {"s": "r"}}}}, "two"),
    ({"meta": {"$ne": {}}}, "one two three"),
    # Any dict
    ({"meta": {}}, "one two three four"),
    ({"n": {}}, ""),
]


@pytest.fixture(params=["nothing declared", "declared"])
async def filled(request, open_any):
    """Both ways in which this package's store filters: by values, and by columns."""
    declared = {}
    if request.param == "declared":
        declared = {"index": {"fields": ["s"]}, "filterable": {"n": float, "s": str, "flag": bool, "meta.n": int}}
    store = open_any(**declared)
    await store.batch([PutOp(NS, key, value) for key, value in VALUES.items()])
    return store


async def test_same_answers(filled):
    wrong = []
    for wanted, expected in SAME:
        found = keys_of(await filled.search(NS, filter=wanted))
        if found != expected.split():
            wrong.append((wanted, found))
    assert wrong == []


DOTTED = {
    "literal": {"a.b": 1, "a": {"b": 2}},
    "beside": {"a.b": 1, "a": {}},
    "file": {"files": {"read.me": {"lines": 3}, "x": {"y.z": None}}},
}


async def test_names_with_periods(any_store):
    """A nested dict names what is nested; a period in a key is a character."""
    await any_store.batch([PutOp(NS, key, value) for key, value in DOTTED.items()])
    for wanted, expected in (
        ({"a": {"b": 2}}, "literal"),
        ({"a": {"b": 1}}, ""),
        ({"a": {"b": None}}, "beside"),
        ({"a.b": 1}, "literal beside"),
        ({"a": {"b": {"$ne": 2}}}, "beside"),
        ({"files": {"read.me": {"lines": 3}}}, "file"),
        ({"files": {"read.me": {"lines": {"$gt": 2}}}}, "file"),
        ({"files": {"read": {"me": {"lines": 3}}}}, ""),
        ({"files": {"x": {"y.z": None}}}, "file"),
    ):
        assert keys_of(await any_store.search(NS, filter=wanted)) == expected.split(), wanted


async def test_none(any_store):
    """None is what is None, or not there."""
    await any_store.batch([PutOp(NS, "none", {"v": None}), PutOp(NS, "absent", {}), PutOp(NS, "zero", {"v": 0})])
    for wanted, expected in (
        ({"v": None}, "none absent"),
        ({"v": {"$eq": None}}, "none absent"),
        ({"v": {"$ne": None}}, "zero"),
        ({"v": {"$ne": 0}}, "none absent"),
        ({"v": 0}, "zero"),
    ):
        assert keys_of(await any_store.search(NS, filter=wanted)) == expected.split(), wanted
