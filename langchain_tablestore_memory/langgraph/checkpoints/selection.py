"""Which checkpoints are listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_tablestore_memory.core.checks import check_count
from langchain_tablestore_memory.core.ranges import KeyColumns
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.langgraph.checkpoints.configs import checkpoint_of, configurable_of, line_of
from langchain_tablestore_memory.langgraph.checkpoints.rows import Line, whole

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """Which checkpoints are listed.

    Attributes:
        line: Their line; None for all threads.
        all_namespaces: Whether all namespaces of the thread are meant.
        checkpoint_id: The only one.
        before: The one that they come before.
        metadata: What their metadata holds.
        limit: How many at the most.
    """

    line: Line | None
    all_namespaces: bool
    checkpoint_id: str | None
    before: str | None
    metadata: Mapping[str, Any]
    limit: int | None

    @classmethod
    def of(cls, config: Any, metadata: Any, before: Any, limit: Any) -> Selection:
        """From the arguments of `list`.

        Raises:
            InvalidArgumentError: No thread is named, or an argument is of a wrong type.
        """
        if metadata is not None and not isinstance(metadata, Mapping):
            raise InvalidArgumentError(f"filter is a {type(metadata).__name__}. Give a dict.")
        if limit is not None and (limit != 0 or isinstance(limit, bool)):
            check_count(limit, "limit")
        return cls(
            None if config is None else line_of(config),
            config is not None and configurable_of(config).get("checkpoint_ns") is None,
            None if config is None else checkpoint_of(config),
            None if before is None else checkpoint_of(before),
            metadata or {},
            limit,
        )

    def range(self) -> tuple[KeyColumns, KeyColumns]:
        """Where they are, to be read backward."""
        if self.line is None or self.all_namespaces:
            low, high = whole(None if self.line is None else self.line.thread_id)
            return high, low
        if self.checkpoint_id:
            return self.line.of_checkpoint(self.checkpoint_id)
        return self.line.backward(self.before)

    @property
    def page_size(self) -> int:
        """Rows of the first page. Most checkpoints have some writes after them."""
        return _PAGE if self.limit is None else min(_PAGE, 2 * self.limit + 1)

    def has_id(self, checkpoint_id: str) -> bool:
        """Whether a checkpoint can be one of them, by its id."""
        if self.before is not None and checkpoint_id >= self.before:
            return False
        return self.checkpoint_id is None or checkpoint_id == self.checkpoint_id

    def has_metadata(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a checkpoint can be one of them, by its metadata."""
        return all(metadata.get(key) == value for key, value in self.metadata.items())
