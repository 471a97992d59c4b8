"""The tree of exceptions, as callers catch it."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

import langchain_tablestore_memory
from langchain_tablestore_memory import errors
from langchain_tablestore_memory.errors import ServiceError, TablestoreMemoryError, UnavailableError, WriteError

ALL = [each for _, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__]

PARENTS = {
    "TablestoreMemoryError": {Exception},
    "ConfigurationError": {TablestoreMemoryError, ValueError},
    "InvalidArgumentError": {TablestoreMemoryError, ValueError},
    "FilterError": {errors.InvalidArgumentError, ValueError},
    "CursorError": {errors.InvalidArgumentError, ValueError},
    "SchemaMismatchError": {TablestoreMemoryError},
    "SessionNotFoundError": {TablestoreMemoryError, LookupError},
    "MessageNotFoundError": {TablestoreMemoryError, LookupError},
    "MemoryNotFoundError": {TablestoreMemoryError, LookupError},
    "StoredDataError": {TablestoreMemoryError},
    "EmbeddingError": {TablestoreMemoryError},
    "ServiceError": {TablestoreMemoryError},
    "AuthenticationError": {ServiceError},
    "PermissionDeniedError": {ServiceError},
    "UnavailableError": {ServiceError},
    "WriteError": {ServiceError},
}


def test_the_tree():
    assert {each.__name__ for each in ALL} == set(PARENTS)
    for each in ALL:
        assert all(issubclass(each, parent) for parent in PARENTS[each.__name__])


@pytest.mark.parametrize("error", ALL)
def test_it_is_told_to_users(error):
    assert getattr(langchain_tablestore_memory, error.__name__) is error
    assert error.__name__ in langchain_tablestore_memory.__all__
    assert error.__doc__
    assert error.__name__ in errors.__doc__


def test_a_service_error():
    error = UnavailableError("gone", api="put_row", code="OTSServerBusy", status=503, request_id="r7")
    assert (str(error), error.api, error.code, error.status, error.request_id) == (
        "gone",
        "put_row",
        "OTSServerBusy",
        503,
        "r7",
    )
    plain = ServiceError("gone")
    assert (plain.api, plain.code, plain.status, plain.request_id) == ("", "", 0, "")


def test_a_write_error():
    error = WriteError("some", failed=["message 'a'"], stored=["message 'b'"], code="OTSServerBusy")
    assert error.failed == ("message 'a'",)
    assert error.stored == ("message 'b'",)
    assert error.code == "OTSServerBusy"


@pytest.mark.parametrize(
    "error",
    [
        errors.ConfigurationError("text"),
        errors.SessionNotFoundError("text"),
        errors.EmbeddingError("text", failed=["a"], stored=["b"]),
        UnavailableError("text", api="put_row", code="OTSServerBusy", status=503, request_id="r7"),
        WriteError("text", failed=["message 'a'"], stored=["message 'b'"], api="batch_write_row"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_it_crosses_processes(error, again):
    same = again(error)
    assert type(same) is type(error)
    assert str(same) == str(error)
    assert vars(same) == vars(error)
