"""What channels that store changes alone are put together from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from langgraph.checkpoint.base import DeltaChannelHistory

from langchain_tablestore_memory.langgraph.checkpoints.records import StoredCheckpoint, StoredWrite
from langchain_tablestore_memory.langgraph.checkpoints.serialized import load_value, load_write
from langchain_tablestore_memory.langgraph.checkpoints.values import Value

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol


class DeltaHistory:
    """The writes of channels and the values before them, while checkpoints are read from the latest backward.

    Args:
        channels: The channels.

    Attributes:
        open: The channels of which no value has been found yet.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        self.open = set(channels)
        self._writes: dict[str, list[StoredWrite]] = {channel: [] for channel in channels}
        self._seeds: dict[str, Value] = {}

    def add(self, found: StoredCheckpoint) -> None:
        """Take in the checkpoint before those that were taken in."""
        for write in reversed(found.writes):
            if write.channel in self.open:
                self._writes[write.channel].append(write)
        seeds = {channel: found.values[channel] for channel in self.open if channel in found.values}
        self._seeds.update(seeds)
        self.open -= seeds.keys()

    def load(self, serde: SerializerProtocol) -> Mapping[str, DeltaChannelHistory]:
        """What LangGraph wants to know."""
        history: dict[str, DeltaChannelHistory] = {}
        for channel, writes in self._writes.items():
            entry: DeltaChannelHistory = {"writes": [load_write(serde, write) for write in reversed(writes)]}
            if channel in self._seeds:
                entry["seed"] = load_value(serde, self._seeds[channel])
            history[channel] = entry
        return history
