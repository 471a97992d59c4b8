"""What LangGraph hands to a checkpointer, checked: configurations, ids and metadata."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import CheckpointMetadata, get_checkpoint_metadata

from langchain_tablestore_memory.core.checks import MAX_KEY_BYTES, check_id
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.langgraph.checkpoint_rows import ITEM, Line

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

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


def check_thread(thread_id: Any, name: str = "thread_id") -> str:
    """Check the id of a thread. Numbers and UUIDs become text, as in other checkpointers.

    Raises:
        InvalidArgumentError: It cannot be one.
    """
    as_text = isinstance(thread_id, int | uuid.UUID) and not isinstance(thread_id, bool)
    return check_id(str(thread_id) if as_text else thread_id, name)


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
    # What is behind it in a key: the name of pieces.
    _check_item(Line("", "").piece(checked, "0" * 24, 0)[-1][1], "checkpoint_id")
    return checked


def check_task(line: Line, checkpoint_id: str, task_id: Any) -> str:
    """Check the id of a task, which is a part of keys.

    Raises:
        InvalidArgumentError: It is no str, empty, or too long.
    """
    checked = check_id(task_id, "task_id")
    _check_item(dict(line.task(checkpoint_id, checked))[ITEM], "checkpoint_id and task_id together")
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
    if not isinstance(metadata, Mapping):
        raise InvalidArgumentError(f"The metadata is a {type(metadata).__name__}. Give a dict.")
    sources: list[Mapping[str, Any]] = [metadata, config.get("metadata") or {}, config.get("configurable") or {}]
    merged: dict[str, Any] = {**get_checkpoint_metadata(config, metadata)}
    for key, value in merged.items():
        if isinstance(value, str):
            merged[key] = next(source[key] for source in sources if isinstance(source.get(key), str))
    return merged  # type: ignore[return-value]


def config_of(line: Line, checkpoint_id: str) -> RunnableConfig:
    """The configuration that names a checkpoint."""
    return {
        "configurable": {
            "thread_id": line.thread_id,
            "checkpoint_ns": line.namespace,
            "checkpoint_id": checkpoint_id,
        }
    }


def several(ids: Any, name: str) -> list[Any]:
    """Check that these are several ids, and not one.

    Raises:
        InvalidArgumentError: It is one.
    """
    if isinstance(ids, str):
        raise InvalidArgumentError(f"{name} is a str. Give a list of ids.")
    return list(ids)


def _check_item(item: str, what: str) -> None:
    excess = len(item.encode()) - MAX_KEY_BYTES
    if excess > 0:
        raise InvalidArgumentError(
            f"{what} take {excess} bytes in UTF-8 more than fit into a key of Tablestore. Give shorter ids."
        )
