"""``tablestore-memory export`` and ``import``: the files, and what is told of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from langchain_tablestore_memory.cli.display import counted
from langchain_tablestore_memory.cli.exporting import Counts, Selection, export
from langchain_tablestore_memory.cli.files import new_file
from langchain_tablestore_memory.cli.importing import Import
from langchain_tablestore_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_tablestore_memory.cli.chat.models import Recall
    from langchain_tablestore_memory.connection import Connection

STANDARD_INPUT = Path("-")
_TOLD = 100
"""Broken lines that are told one by one."""


def export_to(
    connection: Connection,
    file: Path | None,
    user_id: str | None,
    session_id: str | None,
    *,
    memories: bool,
    force: bool,
) -> None:
    """Write to a file, or to standard output, and say how much on standard error.

    Raises:
        ConfigurationError: The file exists or cannot be written, or there is no such conversation.
        ServiceError: The service cannot be reached.
    """
    with _target(file, force=force) as lines:
        counts = export(connection, Selection(user_id, session_id, memories), lines)
    hint = "" if user_id is None or counts != Counts() else f" User {user_id} has none; --all-users takes all."
    print(f"Exported {counts}.{hint}", file=sys.stderr)


def import_from(connection: Connection, file: Path, recall: Recall) -> int:
    """Read a file, or standard input, and say how much of it was kept.

    Returns:
        The exit status: 1 where lines were broken.

    Raises:
        ConfigurationError: The file cannot be read.
        ServiceError: The service cannot be reached.
    """
    told = 0

    def complain(number: int, reason: str) -> None:
        nonlocal told
        told += 1
        if told <= _TOLD:
            print(f"Error: {file}, line {number}: {' '.join(reason.split())}", file=sys.stderr)

    with _source(file) as lines:
        work = Import(connection, recall, complain)
        work.run(lines)
    if told > _TOLD:
        print(f"Error: {file}: {told - _TOLD} more lines are broken.", file=sys.stderr)
    left_out = f"; {counted(work.broken, 'broken line')} left out" if work.broken else ""
    print(f"Imported {work.counts}{left_out}.")
    if work.counts.memories:
        # Where there is no embedding model, or the index was made for another one, they have no vectors.
        print(f"Memories are found {work.recall.description}.", file=sys.stderr)
    return 1 if work.broken else 0


@contextlib.contextmanager
def _target(file: Path | None, *, force: bool) -> Iterator[TextIO]:
    if file is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        with new_file(file, force=force) as lines:
            yield lines
    except FileExistsError:
        raise ConfigurationError(f"The file {file} exists. Name another one, or pass --force.") from None
    except OSError as error:
        raise ConfigurationError(
            f"The file {file} cannot be written ({error.strerror or error}). Name another one."
        ) from error


@contextlib.contextmanager
def _source(file: Path) -> Iterator[BinaryIO]:
    if file == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    try:
        lines = file.open("rb")
    except OSError as error:
        raise ConfigurationError(f"The file {file} cannot be read ({error.strerror or error}).") from error
    with lines:
        yield lines
