"""A request fails once, and would succeed if it were repeated: nobody notices, and nothing is doubled."""

from __future__ import annotations

import inspect

import pytest

from langchain_tablestore_memory import MemoryStore, SessionRegistry, TablestoreChatMessageHistory

from .operations import OPERATIONS, each_operation_and_large_ones
from .reporting import told_in_failures
from .wire import CONNECTION_FAULTS, PASSING_FAULTS, PASSING_ROW_FAULTS


@pytest.mark.parametrize("owner", [TablestoreChatMessageHistory, SessionRegistry, MemoryStore])
def test_no_operation_is_left_out(owner):
    twins = {
        name
        for name, member in vars(owner).items()
        if inspect.isfunction(member) and not name.startswith("_") and f"a{name}" in vars(owner)
    }
    aliases = {"get_messages", "get_all_messages"}
    tested = {operation.method for operation in OPERATIONS if operation.owner is owner}
    assert twins - aliases - {"close"} - tested == set()


@each_operation_and_large_ones
def test_undisturbed(operation, undisturbed):
    before, _, after, _ = undisturbed(operation)
    assert before.faults == after.faults == ()
    assert before.miscounted() == []
    if operation.owner is TablestoreChatMessageHistory:
        assert after.miscounted() == []
    added = [i for conversation in after.messages for i in after.ids(conversation) if i not in before.ids(conversation)]
    if operation.method != "fork":
        assert tuple(added) == operation.adds


@each_operation_and_large_ones
def test_a_request_fails_once(operation, perform, enter, undisturbed):
    expected = undisturbed(operation)
    for fault in [*PASSING_FAULTS, *PASSING_ROW_FAULTS] if perform.mode == "sync" else CONNECTION_FAULTS:
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
