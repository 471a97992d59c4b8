"""A request, or some rows of it, are refused for good, or the service is gone: the caller is told, and can repeat."""

from __future__ import annotations

import time

import pytest

from langchain_tablestore_memory import (
    PermissionDeniedError,
    ServiceError,
    UnavailableError,
    WriteError,
)

from .operations import each_operation
from .reporting import told_in_failures
from .wire import LASTING_FAULTS, LASTING_ROW_FAULTS, PASSING_FAULTS

_BY_NAME = {str(fault): fault for fault in PASSING_FAULTS}
OUTAGES = [
    (_BY_NAME[first], _BY_NAME[rest])
    for first, rest in (
        ("busy", "busy"),
        ("refused connection", "refused connection"),
        ("dropped before", "dropped before"),
        ("silent after", "silent after"),
        # Not carried out, and carried out when it was sent again, but nobody knows either.
        ("silent before", "dropped after"),
    )
]


@each_operation
def test_a_request_is_refused(operation, perform, enter, undisturbed):
    expected = undisturbed(operation)
    for fault in LASTING_FAULTS:
        for position in range(100):
            with told_in_failures(f"{fault}, at request {position}"), enter(operation) as world:
                subject = operation.of(world)
                with world.faults.at(position, fault):
                    error = failure_of(perform, operation, subject)
                    if not world.faults.met:
                        break
                assert error is not None
                assert isinstance(error, PermissionDeniedError if str(fault) == "forbidden" else ServiceError) or (
                    isinstance(error, WriteError) and error.stored
                )
                assert error.code in str(error)
                check_kept(operation, expected, world, error)
                check_repeated(operation, expected, world, perform, subject)
        assert position > 0


@each_operation
def test_rows_are_refused(operation, perform, enter, undisturbed):
    expected = undisturbed(operation)
    for fault in LASTING_ROW_FAULTS:
        for position in range(100):
            with told_in_failures(f"{fault}, at batch {position}"), enter(operation) as world:
                subject = operation.of(world)
                with world.faults.at(position, fault):
                    error = failure_of(perform, operation, subject)
                    if not world.faults.met:
                        break
                if error is None:
                    # The batch met no table, and was sent again when there was one.
                    assert not operation.furnished
                    assert world.contents() == expected.after
                    continue
                assert error.code == "OTSOutOfRowSizeLimit"
                if expected.writes:
                    assert isinstance(error, WriteError)
                if operation.adds:
                    # What the service refuses at once is known precisely.
                    there = {message_id for _, message_id, _ in world.contents().message_versions()}
                    assert {f"message {i!r}" for i in set(operation.adds) & there} == {
                        name for name in error.stored if name in named(operation.adds)
                    }
                    assert world.contents().miscounted() == []
                check_kept(operation, expected, world, error)
                check_repeated(operation, expected, world, perform, subject)


@each_operation
def test_the_service_is_gone(operation, perform, enter, undisturbed):
    expected = undisturbed(operation)
    for first, rest in OUTAGES:
        for position in range(100):
            with told_in_failures(f"{first}, then {rest}, from request {position} on"), enter(operation) as world:
                subject = operation.of(world)
                begun = time.monotonic()

                def decide(number, _request, fault=first, later=rest, begin=position):
                    return None if number < begin else fault if number == begin else later

                with world.faults.deciding(decide):
                    error = failure_of(perform, operation, subject)
                    if not world.faults.met:
                        break
                    assert world.faults.met <= 30
                assert time.monotonic() - begun < 10
                assert isinstance(error, UnavailableError | WriteError)
                check_kept(operation, expected, world, error)
                check_repeated(operation, expected, world, perform, subject)
        assert position > 0


def failure_of(perform, operation, subject):
    try:
        perform(operation, subject)
    except ServiceError as error:
        return error
    return None


def named(message_ids):
    return {f"message {message_id!r}" for message_id in message_ids}


def check_kept(operation, expected, world, error):
    """Nothing is lost, doubled or mixed up that the operation did not mean to change, and the error names the rest."""
    contents = world.contents()
    assert contents.faults == ()
    before, after = expected.before.message_versions(), expected.after.message_versions()
    present = contents.message_versions()
    assert before & after <= present <= before | after
    if isinstance(error, WriteError):
        told = {name for name in (*error.failed, *error.stored) if name.startswith("message ")}
        assert told >= named(operation.adds)
        # What was added and not there is not said to be stored.
        assert not named(operation.adds) & set(error.stored) - named(message_id for _, message_id, _ in present)
        assert error.failed
        assert all(name in str(error) for name in error.failed[:5])
    for conversation, messages in expected.before.messages.items():
        if messages == expected.after.messages.get(conversation):
            assert contents.messages[conversation] == messages


def check_repeated(operation, expected, world, perform, subject):
    """Calling it again, now that nothing fails, does what it would have done."""
    try:
        perform(operation, subject)
    except operation.repeated:
        return
    assert world.contents() == expected.after
