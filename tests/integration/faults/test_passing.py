"""A request fails once, and would succeed if it were repeated: nobody notices, and nothing is doubled."""

from __future__ import annotations

import inspect

import pytest

from langchain_tablestore_memory import (
    KnowledgeStore,
    MemoryStore,
    SessionRegistry,
    TablestoreChatMessageHistory,
    TablestoreVectorStore,
)
from langchain_tablestore_memory.langgraph import TablestoreSaver, TablestoreStore

from .operations import OPERATIONS, each_operation_and_large_ones
from .reporting import told_in_failures
from .wire import CONNECTION_FAULTS, PASSING_FAULTS, PASSING_ROW_FAULTS, SOME_PASSING_FAULTS


@pytest.mark.parametrize(
    "owner",
    [
        TablestoreChatMessageHistory,
        SessionRegistry,
        MemoryStore,
        KnowledgeStore,
        TablestoreVectorStore,
        TablestoreStore,
        TablestoreSaver,
    ],
)
def test_no_operation_is_left_out(owner):
    members = {
        name: member
        for base in owner.__mro__
        if base.__module__.startswith("langchain_tablestore_memory")
        for name, member in vars(base).items()
    }
    twins = {
        name
        for name, member in members.items()
        if inspect.isfunction(member) and not name.startswith("_") and f"a{name}" in members
    }
    aliases = {"get_messages", "get_all_messages", *({"init_table", "delete_table"} if owner is KnowledgeStore else ())}
    # They send nothing themselves.
    aliases |= {"start_ttl_sweeper", "stop_ttl_sweeper"}
    tested = {operation.method for operation in OPERATIONS if operation.owner is owner}
    assert twins - aliases - {"close"} - tested == set()


@each_operation_and_large_ones
def test_undisturbed(operation, undisturbed):
    before, _, after, _ = undisturbed(operation)
    assert before.faults == after.faults == ()
    assert before.miscounted() == []
    if operation.owner is TablestoreChatMessageHistory:
        assert after.miscounted() == []
    if operation.method != "fork":
        assert sorted(ids_of(after) - ids_of(before)) == sorted(operation.adds)


def ids_of(contents):
    return {row_id for _, row_id, _ in contents.versions()}


def faults_of(kinds, mode):
    if kinds == "some":
        return SOME_PASSING_FAULTS
    return [*PASSING_FAULTS, *PASSING_ROW_FAULTS] if mode == "sync" else CONNECTION_FAULTS


# Among the fast tests each fault hits a turn; see test_http.py.
@pytest.mark.parametrize("kinds", ["some", pytest.param("all", marks=pytest.mark.slow)])
@each_operation_and_large_ones
def test_a_request_fails_once(operation, kinds, perform, enter, undisturbed):
    expected = undisturbed(operation)
    for fault in faults_of(kinds, perform.mode):
        for position in range(100):
            with (
                told_in_failures(f"{fault}, at request {position} of those that it concerns"),
                enter(operation) as world,
            ):
                subject = operation.of(world)
                with world.faults.at(position, fault):
                    result = perform(operation, subject)
                    if not world.faults.met:
                        break
                assert result == expected.result
                if expected.writes or position == 0:
                    assert world.contents() == expected.after
        assert position > 0 or fault.apis
