"""Checkpoints as they are written and read: what passes between the saver and the checkpoint table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from langchain_tablestore_memory.errors import StoredDataError
from langchain_tablestore_memory.langgraph.checkpoints.rows import Line, Place
from langchain_tablestore_memory.langgraph.checkpoints.values import Held, Part, Value, Version

OWN_PARTS = 2
"""Parts of a checkpoint's bundle before the values: the skeleton and the metadata."""


class ValuesGoneError(StoredDataError):
    """Values that a checkpoint needs were deleted: it is what is left of a thread that was deleted or pruned."""


@dataclass(slots=True)
class NewCheckpoint:
    """A checkpoint to be stored.

    Attributes:
        line: Its line.
        checkpoint_id: Its id.
        parent_id: The checkpoint before it.
        run_id: The run that made it.
        skeleton: The checkpoint without its channels.
        metadata: Its metadata.
        versions: The version of each channel.
        channels: The channels that it names or has values of.
        changed: The channels that are new with it.
        before: The values of the checkpoint before.
        fresh: The values that are new with it.
        kept: The values that were new with others.
    """

    line: Line
    checkpoint_id: str
    parent_id: str | None
    run_id: str | None
    skeleton: Part
    metadata: Part
    versions: Mapping[str, Version]
    channels: Collection[str]
    changed: Collection[str]
    before: Mapping[str, Held] = field(default_factory=dict)
    fresh: dict[str, Value] = field(default_factory=dict)
    kept: dict[str, Held] = field(default_factory=dict)

    def keeps(self, channel: str, held: Held | None) -> bool:
        """Whether the value of a channel is the one that the checkpoint before has."""
        version = self.versions.get(channel)
        return held is not None and version is not None and held.version == version and channel not in self.changed


@dataclass(slots=True)
class StoredWrite:
    """Something that a task wrote.

    Attributes:
        task_id: The task.
        path: Its path.
        index: Which of the task's writes; negative for special ones.
        channel: The channel.
        value: What was written.
    """

    task_id: str
    path: str
    index: int
    channel: str
    value: Part


@dataclass(slots=True)
class StoredCheckpoint:
    """A checkpoint as it is stored.

    Attributes:
        line: Its line.
        checkpoint_id: Its id.
        parent_id: The checkpoint before it.
        written: When it, or what was written after it, was written last; microseconds since 1970-01-01 UTC.
        skeleton: The checkpoint without its channels.
        metadata: Its metadata.
        versions: The version of each channel.
        places: Where the values are.
        parts: The parts of its own bundle.
        writes: What tasks wrote after it.
        values: The values, as far as they have been read.
    """

    line: Line
    checkpoint_id: str
    parent_id: str | None
    written: int
    skeleton: Part
    metadata: Part
    versions: dict[str, Version]
    places: dict[str, Place]
    parts: list[Part]
    writes: list[StoredWrite] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)

    def take_own_values(self) -> None:
        """Take the values that are in its own bundle."""
        for channel, place in self.places.items():
            if all(run.checkpoint_id == self.checkpoint_id and not run.pieces for run in place.runs):
                found = [part for run in place.runs for part in self.parts[run.first : run.first + run.length]]
                self.values[channel] = Value(place.is_list, found)

    def missing(self, channels: Collection[str] | None = None) -> dict[str, Place]:
        """Where the values are that have not been read, of all channels or of some."""
        return {
            channel: place
            for channel, place in self.places.items()
            if channel not in self.values and (channels is None or channel in channels)
        }

    def held(self) -> dict[str, Held]:
        """Its values, as the next checkpoint keeps them."""
        return {
            channel: Held.of(self.versions.get(channel), place, self.values.get(channel))
            for channel, place in self.places.items()
        }
