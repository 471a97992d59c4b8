"""Random batches on a LangGraph store under random faults, held against a dict."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import GetOp, PutOp, SearchOp

from langchain_tablestore_memory import ServiceError, UnavailableError, WriteError

from .reporting import told_in_failures
from .store_operations import NAMED
from .wire import FORBIDDEN_FAULT, LASTING_ROW_FAULTS, PASSING_FAULTS, PASSING_ROW_FAULTS
from .worlds import World, opened

PASSING = [*PASSING_FAULTS, *PASSING_ROW_FAULTS]
LASTING = [FORBIDDEN_FAULT, *LASTING_ROW_FAULTS]

Place = tuple[tuple[str, ...], str]
Items = dict[Place, dict[str, Any]]

places = st.tuples(st.sampled_from([("a",), ("a", "b"), ("ab",)]), st.sampled_from(["k1", "k2", "k3"]))
texts = st.sampled_from(["tea", "a bean", "bread", "eel"])
values = st.fixed_dictionaries(
    {"year": st.integers(0, 3)}, optional={"text": texts, "more": st.lists(texts, max_size=3, unique=True)}
)
# A value, None for one that is deleted.
changes = st.dictionaries(places, values | st.none(), min_size=1, max_size=4)
steps = st.lists(st.tuples(changes, st.booleans()), min_size=1, max_size=8)


def ops_of(what: dict[Place, Any], number: int) -> list[Any]:
    reads = [GetOp(*place) for place in what]
    searches = [SearchOp(("a",), {"year": {"$gte": 1}}, 100), SearchOp(("a",), query="a bean", limit=100)]
    return [*reads, *searches, *(PutOp(*place, value and {**value, "number": number}) for place, value in what.items())]


def expected_of(items: Items, what: dict[Place, Any]) -> list[Any]:
    below = {place: value for place, value in items.items() if place[0][0] == "a"}
    return [
        *(items.get(place) for place in what),
        {place: value for place, value in below.items() if value["year"] >= 1},
        below,
    ]


def read_of(results: list[Any], number: int) -> list[Any]:
    gets, searches = results[:number], results[number : number + 2]
    return [
        *(item and item.value for item in gets),
        *({(item.namespace, item.key): item.value for item in found} for found in searches),
    ]


def live_through(world: World, run: Any, steps: Any, chance: random.Random) -> None:
    store = world.items()
    items: Items = {}

    def decide(_number: int, request: Any) -> Any:
        if chance.random() > 0.3:
            return None
        fault = chance.choice(LASTING if chance.random() < 0.4 else PASSING)
        return fault if fault.concerns(request) else None

    for number, (what, reopen) in enumerate(steps):
        with told_in_failures(f"step {number}: {what}"):
            if reopen:
                store = world.items()
            results, error = None, None
            with world.faults.deciding(decide):
                try:
                    results = run(store, ops_of(what, number))
                except ServiceError as raised:
                    error = raised
            after = {**items, **{place: value and {**value, "number": number} for place, value in what.items()}}
            after = {place: value for place, value in after.items() if value is not None}
            if error is not None:
                assert isinstance(error, UnavailableError) or error.code in str(error)
                check_whole(world, items, after, error)
                # Whoever was told of a failure does it again. What is read then may be new or old.
                run(store, ops_of(what, number))
            else:
                assert read_of(results, len(what)) == expected_of(items, what)
            items = after
            check_stored(world, items)


def check_whole(world: World, before: Items, after: Items, error: Exception) -> None:
    """Each item is as it was or as it was to be; what an error says to be stored is."""
    contents = world.contents()
    assert contents.faults == ()
    there = {(item.namespace, item.key): item.value for item in world.items().search((), limit=100)}
    for place in {*before, *after, *there}:
        assert there.get(place) in (before.get(place), after.get(place))
    if isinstance(error, WriteError):
        for place in {*before, *after}:
            if NAMED.format(place) in error.stored:
                assert there.get(place) == after.get(place)


def check_stored(world: World, items: Items) -> None:
    contents = world.contents()
    assert contents.faults == ()
    assert {place for place, _ in contents.items} == items.keys()
    found = world.items().search((), limit=100)
    assert {(item.namespace, item.key): item.value for item in found} == items
    for place, value in items.items():
        told = {*([value["text"]] if "text" in value else []), *value.get("more", [])}
        assert len(contents.vectors[place]) == len(told)


def agree(mode: str, folder: Any, examples: int) -> None:
    with asyncio.Runner() as runner:

        def run(store: Any, ops: list[Any]) -> list[Any]:
            return store.batch(ops) if mode == "sync" else runner.run(store.abatch(ops))

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(steps, st.integers(0, 2**32))
        def check(steps: Any, seed: int) -> None:
            with opened(folder) as world:
                live_through(world, run, steps, random.Random(seed))

        check()


@pytest.mark.parametrize(
    ("mode", "examples"),
    [
        ("sync", 4),
        pytest.param("sync", 40, marks=pytest.mark.slow),
        pytest.param("async", 25, marks=pytest.mark.slow),
    ],
)
def test_items_under_faults(bare, mode, examples):
    agree(mode, bare, examples)
