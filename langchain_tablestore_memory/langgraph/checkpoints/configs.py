"""What LangGraph hands to a checkpointer, checked: configurations, ids and metadata."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import CheckpointMetadata, get_checkpoint_metadata

from langchain_tablestore_memory.core.checks import MAX_KEY_BYTES, check_id, check_text
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.langgraph.checkpoints.rows import ITEM, PIECE_NAME_LENGTH, Line
from langchain_tablestore_memory.runtime import check_thread

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

_BESIDE_CHECKPOINT = len(dict(Line("", "").piece("", "0" * PIECE_NAME_LENGTH, 0))[ITEM])
"""Bytes in the longest key that holds the id of a checkpoint, besides that id."""
_BESIDE_TASK = len(dict(Line("", "").task("", ""))[ITEM])

_EXAMPLE = 'Give {"configurable": {"thread_id": ...}}.'


def configurable_of(config: Any) -> Mapping[str, Any]:
    """What a configuration says to checkpointers.

    Raises:
        InvalidArgumentError: It says nothing.
    """
    found = config.get("configurable") if isinstance(config, Mapping) else None
    if not isinstance(found, Mapping):
        raise InvalidArgumentError(f'The configuration has no dict "configurable". {_EXAMPLE}')
    return found


def line_of(config: Any) -> Line:
    """The line of checkpoints that a configuration names.

    Raises:
        InvalidArgumentError: It names no thread, or a name that cannot be one.
    """
    configurable = configurable_of(config)
    if configurable.get("thread_id") is None:
        raise InvalidArgumentError(f"The configuration names no thread. {_EXAMPLE}")
    return Line(check_thread(configurable["thread_id"]), check_namespace(configurable.get("checkpoint_ns")))


def checkpoint_of(config: Any) -> str | None:
    """The checkpoint that a configuration names; None where it names none.

    Raises:
        InvalidArgumentError: It cannot be one.
    """
    checkpoint_id = configurable_of(config).get("checkpoint_id")
    return None if checkpoint_id is None or checkpoint_id == "" else check_checkpoint(checkpoint_id)


def check_namespace(namespace: Any) -> str:
    """Check a namespace of checkpoints; the empty one, or None, is that of the graph itself.

    Raises:
        InvalidArgumentError: It cannot be one.
    """
    return "" if namespace is None or namespace == "" else check_id(namespace, "checkpoint_ns")


def check_checkpoint(checkpoint_id: Any) -> str:
    """Check the id of a checkpoint, which is a part of keys.

    Raises:
        InvalidArgumentError: It is no str, empty, too long, or holds a NUL.
    """
    checked = check_id(checkpoint_id, "checkpoint_id")
    if "\x00" in checked:
        raise InvalidArgumentError("checkpoint_id holds a NUL character. Give one without.")
    _check_item(checked, _BESIDE_CHECKPOINT, "checkpoint_id takes")
    return checked


def check_task(checkpoint_id: str, task_id: Any) -> str:
    """Check the id of a task, which is a part of keys.

    Raises:
        InvalidArgumentError: It is no str, empty, or too long.
    """
    checked = check_id(task_id, "task_id")
    _check_item(checkpoint_id + checked, _BESIDE_TASK, "checkpoint_id and task_id together take")
    return checked


def check_run(run_id: Any) -> str:
    """Check the id of a run.

    Raises:
        InvalidArgumentError: It cannot be one.
    """
    return check_id(str(run_id) if isinstance(run_id, uuid.UUID) else run_id, "run_id")


def metadata_of(config: RunnableConfig, metadata: CheckpointMetadata) -> CheckpointMetadata:
    """The metadata to be stored with a checkpoint: what is given, and what the configuration adds.

    LangGraph's function for it removes NUL characters, which PostgreSQL cannot hold. They stay here.

    Raises:
        InvalidArgumentError: The metadata is no dict.
    """
    _check_mapping(metadata, "The metadata")
    sources: list[Mapping[str, Any]] = [metadata, config.get("metadata") or {}, config.get("configurable") or {}]
    merged: dict[str, Any] = {**get_checkpoint_metadata(config, metadata)}
    for key, value in merged.items():
        if isinstance(value, str):
            merged[key] = next(source[key] for source in sources if isinstance(source.get(key), str))
    return merged  # type: ignore[return-value]


def run_of(metadata: Mapping[str, Any]) -> str | None:
    """The run that metadata names; None where it names none.

    Raises:
        InvalidArgumentError: Its id cannot be stored.
    """
    run_id = metadata.get("run_id")
    return check_run(run_id) if isinstance(run_id, str | uuid.UUID) and run_id != "" else None


def config_of(line: Line, checkpoint_id: str) -> RunnableConfig:
    """The configuration that names a checkpoint."""
    return {
        "configurable": {
            "thread_id": line.thread_id,
            "checkpoint_ns": line.namespace,
            "checkpoint_id": checkpoint_id,
        }
    }


def check_new_checkpoint(checkpoint: Any, new_versions: Any) -> str:
    """Check a checkpoint that is to be stored. Returns its id.

    Raises:
        InvalidArgumentError: It is none, or its id cannot be one.
    """
    _check_mapping(checkpoint, "The checkpoint")
    for part in ("channel_values", "channel_versions"):
        if part not in checkpoint:
            raise InvalidArgumentError(f"The checkpoint has no {part}. Give a dict, if need be an empty one.")
        _check_mapping(checkpoint[part], f"{part} of the checkpoint")
    _check_mapping(new_versions, "new_versions")
    return check_checkpoint(checkpoint.get("id"))


def check_writes(writes: Any) -> Sequence[tuple[str, Any]]:
    """Check what a task wrote.

    Raises:
        InvalidArgumentError: It is no list of pairs of a channel's name and a value.
    """
    pairs = several(writes, "writes", "pairs of channel and value")
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:  # noqa: PLR2004 - a channel and a value
            raise InvalidArgumentError("writes holds something that is no pair of a channel's name and a value.")
        check_text(pair[0], "The channel of a write")
    return pairs


def several(values: Any, name: str, what: str = "ids") -> list[Any]:
    """Check that there are several of something, and not one.

    Raises:
        InvalidArgumentError: There are not.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InvalidArgumentError(f"{name} is a {type(values).__name__}. Give a list of {what}.")
    return list(values)


def _check_mapping(value: Any, name: str) -> None:
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(f"{name} is a {type(value).__name__}. Give a dict.")


def _check_item(ids: str, beside: int, what: str) -> None:
    excess = len(ids.encode()) + beside - MAX_KEY_BYTES
    if excess > 0:
        raise InvalidArgumentError(
            f"{what} {excess} bytes in UTF-8 more than fit into a key of Tablestore. Give shorter ids."
        )
