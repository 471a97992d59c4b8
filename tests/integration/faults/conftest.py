"""Worlds to break, and how to call operations in them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from langchain_tablestore_memory.langgraph import TablestoreSaver

from .checkpoint_operations import keep_threads
from .operation import DOCUMENT_OWNERS, STORE_OWNERS, Operation
from .store_operations import shelve
from .worlds import Contents, World, furnish, opened, prepare, stock


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], None]], Path]:
    """The folder that a function made a Tablestore in, once for all tests, to be copied."""

    @functools.cache
    def find(fill: Callable[[Path], None]) -> Path:
        folder = tmp_path_factory.mktemp(fill.__name__)
        fill(folder)
        return folder

    return find


@pytest.fixture(scope="session")
def bare(filled: Callable[[Callable[[Path], None]], Path]) -> Path:
    """The folder of a Tablestore without tables, to be copied."""
    return filled(prepare)


@pytest.fixture(scope="session")
def furnished(filled: Callable[[Callable[[Path], None]], Path]) -> Path:
    """The folder of a Tablestore with conversations in it, to be copied."""
    return filled(furnish)


@pytest.fixture(scope="session")
def beginning(filled: Callable[[Callable[[Path], None]], Path]) -> Callable[[Operation], Path]:
    """The folder from which an operation's world is copied."""

    def find(operation: Operation) -> Path:
        if not operation.furnished:
            return filled(prepare)
        if operation.owner is TablestoreSaver:
            return filled(keep_threads)
        if operation.owner in STORE_OWNERS:
            return filled(shelve)
        return filled(stock if operation.owner in DOCUMENT_OWNERS else furnish)

    return find


@dataclass(frozen=True)
class Perform:
    """Calls an operation on an object and returns its result, or raises its exception."""

    mode: str
    call: Callable[[Operation, Any], Any]

    def __call__(self, operation: Operation, subject: Any) -> Any:
        return self.call(operation, subject)


@pytest.fixture(params=["sync", pytest.param("async", marks=pytest.mark.slow)])
def perform(request: pytest.FixtureRequest) -> Iterator[Perform]:
    if request.param == "sync":
        yield Perform("sync", lambda operation, subject: operation.run(subject))
        return
    with asyncio.Runner() as runner:
        yield Perform("async", lambda operation, subject: runner.run(operation.arun(subject)))


_READING = {
    "DescribeTable",
    "ListTable",
    "GetRow",
    "GetRange",
    "BatchGetRow",
    "ListSearchIndex",
    "DescribeSearchIndex",
    "Search",
}


class Undisturbed(NamedTuple):
    """What an operation does where nothing goes wrong."""

    before: Contents
    result: Any
    after: Contents
    writes: bool


@pytest.fixture(scope="session")
def undisturbed(beginning: Callable[[Operation], Path]) -> Callable[[Operation], Undisturbed]:
    known: dict[Operation, Undisturbed] = {}

    def find(operation: Operation) -> Undisturbed:
        if operation not in known:
            with opened(beginning(operation)) as world:
                subject, before = operation.of(world), world.contents()
                with world.faults.deciding(lambda _number, _request: None):
                    result = operation.run(subject)
                    writes = any(request.api not in _READING for request in world.faults.requests)
                known[operation] = Undisturbed(before, result, world.contents(), writes)
        return known[operation]

    return find


@pytest.fixture
def enter(
    beginning: Callable[[Operation], Path], undisturbed: Callable[[Operation], Undisturbed]
) -> Iterator[Callable[[Operation], AbstractContextManager[World]]]:
    """Opens a world for an operation, as it was in the beginning."""
    with ExitStack() as stack:
        shared: list[World] = []

        @contextmanager
        def enter(operation: Operation) -> Iterator[World]:
            if undisturbed(operation).writes:
                with opened(beginning(operation)) as world:
                    yield world
                return
            # What is only read need not be copied each time. Nothing that a connection learnt is kept.
            if not shared:
                shared.append(stack.enter_context(opened(beginning(operation))))
            yield World(shared[0].service)

        yield enter
