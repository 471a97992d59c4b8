"""Every way in which a request can fail, at every request of every call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from faults.reporting import told_in_failures
from faults.wire import (
    FORBIDDEN_FAULT,
    LASTING_ROW_FAULTS,
    PASSING_FAULTS,
    PASSING_ROW_FAULTS,
    SOME_PASSING_FAULTS,
    Fault,
)
from faults.worlds import World, opened, prepare
from tablestore import INF_MAX, INF_MIN, Direction

from langchain_tablestore_memory import (
    Connection,
    LongTermMemory,
    PermissionDeniedError,
    ServiceError,
    UnavailableError,
    WriteError,
    connect,
)
from langchain_tablestore_memory.core.memories import id_of_text
from langchain_tablestore_memory.local import ots_client

from .support import SECOND, START, Clock, WordEmbeddings

LATER = START + 100 * SECOND
Contents = dict[tuple[str, str], dict[str, Any]]


def memory_of(world: World, operation: Operation, learnt: Connection | None = None) -> LongTermMemory:
    """The memory to call an operation on.

    Args:
        world: Where.
        operation: The operation. Cold ones find a connection that knows nothing.
        learnt: A connection from which others know what there is.
    """
    if operation.warm and learnt is not None:
        world.connection.tables.update(learnt.tables)
        world.connection.search_indexes.update(learnt.search_indexes)
    return LongTermMemory(
        WordEmbeddings(16),
        connection=world.connection,
        clock=Clock(LATER),
        filterable={"topic": str},
        dimension=16 if operation.warm else None,
    )


def contents(world: World) -> Contents:
    """All rows of the table, read without this package and without faults."""
    client = ots_client(world.service)
    if "memory" not in client.list_table():
        return {}
    low, high = [[("document_id", end), ("tenant_id", end)] for end in (INF_MIN, INF_MAX)]
    _, following, rows, _ = client.get_range("memory", Direction.FORWARD, low, high)
    assert following is None
    return {
        (row.primary_key[1][1], row.primary_key[0][1]): {column[0]: column[1] for column in row.attribute_columns}
        for row in rows
    }


@dataclass(frozen=True, eq=False)
class Operation:
    """One call of a method.

    Attributes:
        method: The method.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        note: What tells it from other calls of the method.
        furnished: Whether there are memories before.
        writes: Whether it changes rows.
        warm: Whether the connection knows the table before.
    """

    method: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    furnished: bool = True
    writes: bool = True
    warm: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.note}".strip()


FACT = id_of_text("fact 0")
OPERATIONS = [
    Operation("remember", ("u1", ["new 1", "new 2"]), {"metadata": {"topic": "x", "deep": [None]}, "ttl": 50}),
    Operation("remember", ("u1", ["new 1", "new 2"]), note="no table", furnished=False, warm=False),
    Operation("remember", ("u1", ["fact 0", "new 1", "old"]), {"metadata": {"topic": "y"}}, note="some again"),
    Operation("remember", ("u1", ["changed", "first"]), {"ttl": 50}, note="moved ones again"),
    Operation("update", ("u1", FACT), {"text": "another"}, note="text"),
    Operation("update", ("u1", FACT), {"metadata": {"topic": "y", "deep": [None]}}, note="metadata"),
    Operation("get", ("u1", [FACT, "absent"]), writes=False),
    Operation("recall", ("u1", "fact"), writes=False),
    Operation("recall", ("u1", "fact"), {"search_type": "full_text", "session_id": "s1"}, note="words", writes=False),
    Operation("list", ("u1",), {"limit": 2}, writes=False),
    Operation("count", ("u1",), writes=False),
    Operation("forget", ("u1", [FACT, "absent"])),
    Operation("forget", ("u1",), {"session_id": "s1"}, note="session"),
    Operation("forget_user", ("u1",)),
    Operation("forget_expired"),
    Operation("forget_expired", note="first call", warm=False),
]
ALL_FAULTS = [*PASSING_FAULTS, *PASSING_ROW_FAULTS]

QUICK = {"remember no table", "remember some again", "update text", "recall", "forget session"}

each_operation = pytest.mark.parametrize(
    "operation",
    [pytest.param(each, id=str(each), marks=[] if str(each) in QUICK else [pytest.mark.slow]) for each in OPERATIONS],
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The folder of a Tablestore with memories in it, and that of one without tables, to be copied."""
    bare, furnished = [tmp_path_factory.mktemp(name) for name in ("bare", "furnished")]
    prepare(bare)
    clock = Clock()
    with connect(f"local:{furnished}") as connection:
        memory = LongTermMemory(
            WordEmbeddings(16), connection=connection, clock=clock, filterable={"topic": str}, dimension=16
        )
        for user in ("u1", "u2"):
            memory.remember(user, [f"fact {n}" for n in range(3)], session_id="s1", metadata={"topic": "x"})
            memory.remember(user, ["other", "old"], session_id="s2", ttl=50)
            memory.remember(user, "other", session_id="s2")
            # One whose text was changed, and one whose place was taken by it.
            [first] = memory.remember(user, "first")
            memory.update(user, first.memory_id, text="changed")
            memory.remember(user, "first")
    return {False: bare, True: furnished}


@pytest.fixture
def enter(folders: dict[bool, Path]) -> Iterator[Callable[[Operation], AbstractContextManager[World]]]:
    """Opens a world for an operation, as it was in the beginning."""
    with contextlib.ExitStack() as stack:
        shared: list[World] = []

        @contextlib.contextmanager
        def enter(operation: Operation) -> Iterator[World]:
            if operation.writes:
                with opened(folders[operation.furnished]) as world:
                    yield world
                return
            if not shared:
                shared.append(stack.enter_context(opened(folders[operation.furnished])))
            # Nothing that a connection learnt is kept.
            yield World(shared[0].service)

        yield enter


@pytest.fixture(params=["sync", pytest.param("async", marks=pytest.mark.slow)])
def perform(request: pytest.FixtureRequest) -> Iterator[Callable[[Operation, LongTermMemory], Any]]:
    if request.param == "sync":
        yield lambda operation, memory: getattr(memory, operation.method)(*operation.args, **operation.kwargs)
        return
    with asyncio.Runner() as runner:
        yield lambda operation, memory: runner.run(
            getattr(memory, f"a{operation.method}")(*operation.args, **operation.kwargs)
        )


@dataclass(frozen=True)
class Undisturbed:
    """What an operation does where nothing goes wrong."""

    before: Contents
    result: Any
    after: Contents
    learnt: Connection


@pytest.fixture(scope="module")
def undisturbed(folders: dict[bool, Path]) -> Callable[[Operation], Undisturbed]:
    known: dict[Operation, Undisturbed] = {}

    def find(operation: Operation) -> Undisturbed:
        if operation not in known:
            with opened(folders[operation.furnished]) as world:
                before = contents(world)
                result = getattr(memory_of(world, operation), operation.method)(*operation.args, **operation.kwargs)
                known[operation] = Undisturbed(before, result, contents(world), world.connection)
        return known[operation]

    return find


@each_operation
def test_undisturbed(operation, undisturbed):
    expected = undisturbed(operation)
    assert (expected.before != expected.after) == operation.writes
    assert (len(expected.before) == 14) == operation.furnished
    assert {key: row for key, row in expected.after.items() if key[0] == "u2" and row["text"] != "old"} == {
        key: row for key, row in expected.before.items() if key[0] == "u2" and row["text"] != "old"
    }


@each_operation
@pytest.mark.parametrize(
    ("perform", "faults"),
    [
        pytest.param("sync", SOME_PASSING_FAULTS, id="sync"),
        pytest.param("async", SOME_PASSING_FAULTS, id="async", marks=pytest.mark.slow),
        pytest.param("sync", ALL_FAULTS, id="all faults", marks=pytest.mark.slow),
    ],
    indirect=["perform"],
)
def test_a_request_fails_once(operation, perform, enter, undisturbed, faults):
    """It would succeed if it were repeated: nobody notices, and nothing is doubled."""
    expected = undisturbed(operation)
    for fault in faults:
        for position in range(100):
            with told_in_failures(f"{fault}, at request {position}"), enter(operation) as world:
                memory = memory_of(world, operation, expected.learnt)
                with world.faults.at(position, fault):
                    result = perform(operation, memory)
                    if not world.faults.met:
                        break
                assert result == expected.result
                assert not operation.writes or contents(world) == expected.after
        assert position > 0 or fault.apis


def check_kept(expected, world):
    """Every row is as it was, or as it was to become."""
    found = contents(world)
    for key in expected.before.keys() | expected.after.keys() | found.keys():
        assert found.get(key) in (expected.before.get(key), expected.after.get(key))


def check_repeated(operation, expected, world, perform, memory):
    """Calling it again, now that nothing fails, does what it would have done."""
    perform(operation, memory)
    assert contents(world) == expected.after


@each_operation
def test_a_request_is_refused(operation, perform, enter, undisturbed):
    expected = undisturbed(operation)
    for position in range(100):
        with told_in_failures(f"at request {position}"), enter(operation) as world:
            memory = memory_of(world, operation, expected.learnt)
            with world.faults.at(position, FORBIDDEN_FAULT):
                error = failure_of(perform, operation, memory)
                if not world.faults.met:
                    break
            assert isinstance(error, PermissionDeniedError) or (isinstance(error, WriteError) and error.stored)
            assert error.code in str(error)
            check_kept(expected, world)
            check_repeated(operation, expected, world, perform, memory)
    assert position > 0


@each_operation
def test_rows_are_refused(operation, perform, enter, undisturbed):
    expected = undisturbed(operation)
    for fault in LASTING_ROW_FAULTS:
        for position in range(100):
            with told_in_failures(f"{fault}, at batch {position}"), enter(operation) as world:
                memory = memory_of(world, operation, expected.learnt)
                with world.faults.at(position, fault):
                    error = failure_of(perform, operation, memory)
                    if not world.faults.met:
                        break
                if error is None:
                    # The batch met no table, and was sent again when there was one.
                    assert not operation.furnished
                    assert contents(world) == expected.after
                    continue
                assert error.code == "OTSOutOfRowSizeLimit"
                check_kept(expected, world)
                check_repeated(operation, expected, world, perform, memory)


@each_operation
def test_the_service_is_gone(operation, perform, enter, undisturbed):
    expected = undisturbed(operation)
    by_name = {str(fault): fault for fault in PASSING_FAULTS}
    for name in ("refused connection", "silent after"):
        for position in range(100):
            with told_in_failures(f"{name}, from request {position} on"), enter(operation) as world:
                memory = memory_of(world, operation, expected.learnt)

                def decide(number, _request, begin=position, outage=by_name[name]):
                    return outage if number >= begin else None

                with world.faults.deciding(decide):
                    error = failure_of(perform, operation, memory)
                    if not world.faults.met:
                        break
                    assert world.faults.met <= 30
                assert isinstance(error, UnavailableError | WriteError)
                check_kept(expected, world)
                check_repeated(operation, expected, world, perform, memory)
        assert position > 0


@each_operation
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_key_is_pressed(operation, when, enter, undisturbed):
    def effect(request, forward):
        if when == "after":
            forward(request)
        raise KeyboardInterrupt

    expected = undisturbed(operation)

    def perform(operation, memory):
        return getattr(memory, operation.method)(*operation.args, **operation.kwargs)

    for position in range(100):
        with told_in_failures(f"at request {position}"), enter(operation) as world:
            memory = memory_of(world, operation, expected.learnt)
            with world.faults.at(position, Fault("interrupted", effect)):
                try:
                    perform(operation, memory)
                except KeyboardInterrupt:
                    assert world.faults.met
                if not world.faults.met:
                    break
            check_kept(expected, world)
            check_repeated(operation, expected, world, perform, memory)
    assert position > 0


def failure_of(perform, operation, memory):
    try:
        perform(operation, memory)
    except ServiceError as error:
        return error
    return None
