"""Checkpoints and their values, to and from what a serializer makes of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, cast

from langgraph.checkpoint.base import Checkpoint, CheckpointTuple, PendingWrite

from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.langgraph.checkpoints.configs import config_of
from langchain_tablestore_memory.langgraph.checkpoints.entries import Entries, Seen
from langchain_tablestore_memory.langgraph.checkpoints.records import StoredCheckpoint, StoredWrite
from langchain_tablestore_memory.langgraph.checkpoints.values import Part, Value

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.serde.base import SerializerProtocol


def dump(serde: SerializerProtocol, value: Any, name: str) -> Part:
    """Serialize an object.

    Args:
        serde: The serializer.
        value: The object.
        name: What it is called in errors.

    Raises:
        InvalidArgumentError: It cannot be serialized.
    """
    try:
        return serde.dumps_typed(value)
    except Exception as error:
        raise InvalidArgumentError(
            f"The value of {name} cannot be serialized: {error}. Keep it out of the state, or give the saver a serde= "
            "that can."
        ) from error


def dump_value(serde: SerializerProtocol, value: Any, name: str) -> Value:
    """Serialize the value of a channel; a list entry by entry.

    Raises:
        InvalidArgumentError: It cannot be serialized.
    """
    # An empty list has no entries that could be told from another value's.
    if type(value) is list and value:
        return Value(True, [dump(serde, entry, name) for entry in value])
    return Value(False, [dump(serde, value, name)])


def dump_list(serde: SerializerProtocol, value: list[Any], name: str, seen: Seen | None) -> tuple[Value, Seen]:
    """Serialize a list, as far as it takes.

    Args:
        serde: The serializer.
        value: The list.
        name: What the channel is called in errors.
        seen: The list as it was serialized before.

    Returns:
        The value, and the list as it is now.

    Raises:
        InvalidArgumentError: It cannot be serialized.
    """
    entries = Entries(value, lambda entry: dump(serde, entry, name), seen)
    return Value(True, entries, b"".join(entries.seen.digests), sum(entries.seen.sizes)), entries.seen


def load_value(serde: SerializerProtocol, value: Value) -> Any:
    """The value of a channel."""
    entries = [serde.loads_typed(part) for part in value.parts]
    return entries if value.is_list else entries[0]


def load_write(serde: SerializerProtocol, write: StoredWrite) -> PendingWrite:
    """What a task wrote, as LangGraph has it."""
    return write.task_id, write.channel, serde.loads_typed(write.value)


def load_checkpoint(
    serde: SerializerProtocol, found: StoredCheckpoint, config: RunnableConfig | None = None
) -> CheckpointTuple:
    """A checkpoint as LangGraph has it.

    Args:
        serde: The serializer.
        found: The checkpoint.
        config: The configuration that it was asked for with.
    """
    checkpoint = {
        **serde.loads_typed(found.skeleton),
        "channel_versions": found.versions,
        "channel_values": {channel: load_value(serde, found.values[channel]) for channel in found.places},
    }
    return CheckpointTuple(
        config or config_of(found.line, found.checkpoint_id),
        cast("Checkpoint", checkpoint),
        serde.loads_typed(found.metadata),
        config_of(found.line, found.parent_id) if found.parent_id else None,
        [load_write(serde, write) for write in found.writes],
    )


def delta_channels(serde: SerializerProtocol, found: StoredCheckpoint) -> Collection[str]:
    """The channels of which not every checkpoint holds the value."""
    return serde.loads_typed(found.metadata).get("counters_since_delta_snapshot") or ()
