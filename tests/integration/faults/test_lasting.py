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

from .checks import check_kept, check_repeated
from .operations import each_operation, each_operation_and_large_ones
from .reporting import told_in_failures
from .wire import FORBIDDEN_FAULT, LASTING_ROW_FAULTS, PASSING_FAULTS

_BY_NAME = {str(fault): fault for fault in PASSING_FAULTS}
each_outage = pytest.mark.parametrize(
    ("first", "rest"),
    [
        pytest.param(_BY_NAME["refused connection"], _BY_NAME["refused connection"], marks=pytest.mark.slow),
        pytest.param(_BY_NAME["silent after"], _BY_NAME["silent after"], marks=pytest.mark.slow),
        # Not carried out, and carried out when it was sent again, but nobody knows either.
        pytest.param(_BY_NAME["silent before"], _BY_NAME["dropped after"]),
    ],
    ids=str,
)


@each_operation
def test_a_request_is_refused(operation, perform, enter, undisturbed):
    expected = undisturbed(operation)
    for position in range(100):
        with told_in_failures(f"at request {position}"), enter(operation) as world:
            subject = operation.of(world)
            with world.faults.at(position, FORBIDDEN_FAULT):
                error = failure_of(perform, operation, subject)
                if not world.faults.met:
                    break
            # What follows on rows that were stored is told with them.
            assert isinstance(error, PermissionDeniedError) or (isinstance(error, WriteError) and error.stored)
            assert error.code == "OTSNoPermissionAccess"
            assert error.code in str(error)
            check_kept(operation, expected, world, error)
            check_repeated(operation, expected, world, perform, subject)
    assert position > 0


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, marks=[] if str(fault) == "last rows too large" else pytest.mark.slow)
        for fault in LASTING_ROW_FAULTS
    ],
    ids=str,
)
@each_operation_and_large_ones
def test_rows_are_refused(operation, fault, perform, enter, undisturbed):
    expected = undisturbed(operation)
    for position in range(100):
        with told_in_failures(f"at batch {position}"), enter(operation) as world:
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
            if world.faults.spoilt[0].api == "BatchWriteRow":
                assert isinstance(error, WriteError)
            if operation.adds and isinstance(error, WriteError):
                # What the service refuses at once is known precisely.
                there = {row_id for _, row_id, _ in world.contents().versions()}
                assert operation.named(set(operation.adds) & there) == {
                    name for name in error.stored if name in operation.named(operation.adds)
                }
                assert world.contents().miscounted() == []
            check_kept(operation, expected, world, error)
            check_repeated(operation, expected, world, perform, subject)


@each_operation
@each_outage
def test_the_service_is_gone(operation, first, rest, perform, enter, undisturbed):
    expected = undisturbed(operation)
    for position in range(100):
        with told_in_failures(f"from request {position} on"), enter(operation) as world:
            subject = operation.of(world)
            begun = time.monotonic()

            def decide(number, _request, begin=position):
                return None if number < begin else first if number == begin else rest

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
