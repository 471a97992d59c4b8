"""What the tests of the checkpointer share: checkpoints as LangGraph makes them, and a model of what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from core.support import WatchedTablestore
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from tablestore import INF_MAX, INF_MIN, Direction

from langchain_tablestore_memory.local import ots_client
from langchain_tablestore_memory.local.errors import RequestError
from langchain_tablestore_memory.local.service import Response, error_body, response_headers

WRITES = {"PutRow", "UpdateRow", "DeleteRow", "BatchWriteRow"}

NEVER = object()
"""In place of a value: the channel has none any more."""


class MeasuredTablestore(WatchedTablestore):
    """Also keeps how many bytes requests and answers took.

    Attributes:
        sent: The most bytes of a request.
        answered: The most bytes of an answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sent = self.answered = 0
        self._cut: tuple[int, str] | None = None

    @contextmanager
    def cut_off_at(self, position: int, when: str) -> Iterator[None]:
        """Within this block that write (from 1) and all requests that follow are refused, ``before`` or ``after`` it takes effect."""
        self.taken()
        self._cut = position, when
        try:
            yield
        finally:
            self._cut = None

    def handle(self, path: str, headers: Any, body: bytes) -> Response:
        if self._cut is not None:
            position, when = self._cut
            now = len(self.writes) + (path.rsplit("/", 1)[-1] in WRITES)
            if now > position or (now == position and when == "before"):
                return _refused()
            if now == position:
                super().handle(path, headers, body)
                return _refused()
        response = super().handle(path, headers, body)
        self.sent, self.answered = max(self.sent, len(body)), max(self.answered, len(response.body))
        return response


def _refused() -> Response:
    error = RequestError(403, "OTSNoPermissionAccess", "You have no permission.")
    body = error_body(error)
    return Response(error.status, error.code, response_headers(body), body)


@dataclass(frozen=True)
class State:
    """A checkpoint with what a graph holds in memory beside it.

    Attributes:
        config: Names the checkpoint.
        parent: Names the one before it.
        checkpoint: The checkpoint.
    """

    config: dict[str, Any]
    parent: dict[str, Any] | None
    checkpoint: dict[str, Any]

    @property
    def values(self) -> dict[str, Any]:
        return self.checkpoint["channel_values"]


@dataclass
class Step:
    """What a saver is given for one checkpoint."""

    config: dict[str, Any]
    checkpoint: dict[str, Any]
    metadata: dict[str, Any]
    new_versions: dict[str, str]

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.config, self.checkpoint, self.metadata, self.new_versions

    @property
    def state(self) -> State:
        configurable = {**self.config["configurable"], "checkpoint_id": self.checkpoint["id"]}
        parent = self.config if "checkpoint_id" in self.config["configurable"] else None
        return State({"configurable": configurable}, parent, self.checkpoint)


@dataclass
class Thread:
    """Makes the checkpoints of a thread as LangGraph does: ids grow, and a channel that changes gets a new version."""

    thread_id: str = "t1"
    namespace: str = ""
    numbers: Iterable[int] = field(default_factory=count)

    def config(self, checkpoint_id: str | None = None) -> dict[str, Any]:
        named = {} if checkpoint_id is None else {"checkpoint_id": checkpoint_id}
        return {"configurable": {"thread_id": self.thread_id, "checkpoint_ns": self.namespace, **named}}

    def step(self, before: State | None, changes: Mapping[str, Any], **metadata: Any) -> Step:
        """The step after a checkpoint, in which some channels change; `NEVER` empties one."""
        number = next(iter(self.numbers))
        values = dict(before.checkpoint["channel_values"]) if before else {}
        versions = dict(before.checkpoint["channel_versions"]) if before else {}
        maker = InMemorySaver()
        new_versions = {channel: maker.get_next_version(versions.get(channel), None) for channel in changes}
        values = {channel: value for channel, value in (values | dict(changes)).items() if value is not NEVER}
        checkpoint = self.checkpoint(number, values, versions | new_versions)
        config = self.config(before.checkpoint["id"] if before else None)
        return Step(config, checkpoint, {"source": "loop", "step": number, "parents": {}} | metadata, new_versions)

    def copy(self, of: State) -> Step:
        """What LangGraph does for ``update_state(..., as_node="__copy__")``: nothing is said to be new."""
        number = next(iter(self.numbers))
        checkpoint = self.checkpoint(number, of.values, of.checkpoint["channel_versions"])
        return Step(of.parent or self.config(), checkpoint, {"source": "fork", "step": number, "parents": {}}, {})

    @staticmethod
    def checkpoint(number: int, values: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any]:
        return {
            "v": 4,
            "id": f"1f0{number:05x}-0000-6000-8000-000000000000",
            "ts": f"2026-01-01T00:00:00.{number:06}+00:00",
            "channel_values": dict(values),
            "channel_versions": dict(versions),
            "versions_seen": {"__input__": {}, "node": dict(versions)},
            "updated_channels": sorted(values),
        }


class ModelSaver(InMemorySaver):
    """LangGraph's saver in memory, with what it lacks."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        for namespace, checkpoints in self.storage[source_thread_id].items():
            self.storage[target_thread_id][namespace].update(checkpoints)
        for (thread, *rest), writes in list(self.writes.items()):
            if thread == source_thread_id:
                self.writes[target_thread_id, *rest].update(writes)
        for (thread, *rest), blob in list(self.blobs.items()):
            if thread == source_thread_id:
                self.blobs[target_thread_id, *rest] = blob

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        for thread_id in thread_ids:
            if strategy == "delete":
                self.delete_thread(thread_id)
                continue
            for namespace, checkpoints in self.storage[thread_id].items():
                for checkpoint_id in sorted(checkpoints)[:-1]:
                    self._remove(thread_id, namespace, checkpoint_id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        for found in list(self.list(None)):
            if found.metadata.get("run_id") in run_ids:
                configurable = found.config["configurable"]
                self._remove(*(configurable[key] for key in ("thread_id", "checkpoint_ns", "checkpoint_id")))

    def _remove(self, thread_id: str, namespace: str, checkpoint_id: str) -> None:
        del self.storage[thread_id][namespace][checkpoint_id]
        self.writes.pop((thread_id, namespace, checkpoint_id), None)


def told(found: CheckpointTuple | None) -> Any:
    """All that a reader is told, in a form in which ``1``, ``1.0`` and ``True`` differ."""
    if found is None:
        return None
    checkpoint = dict(found.checkpoint)
    values = checkpoint.pop("channel_values")
    return (
        place(found.config),
        sorted(checkpoint.items()),
        {channel: (type(value), repr(value)) for channel, value in values.items()},
        found.metadata,
        found.parent_config and place(found.parent_config),
        [(task, channel, type(value), repr(value)) for task, channel, value in found.pending_writes or []],
    )


def place(config: Any) -> tuple[str, str, str]:
    """Thread, namespace and checkpoint."""
    configurable = config["configurable"]
    return configurable["thread_id"], configurable.get("checkpoint_ns", ""), configurable.get("checkpoint_id")


def by_line(found: Iterable[CheckpointTuple]) -> dict[tuple[str, str], list[Any]]:
    """Checkpoints by thread and namespace, in the order of the list; in which order those come is not laid down."""
    lines: dict[tuple[str, str], list[Any]] = {}
    for each in found:
        lines.setdefault(place(each.config)[:2], []).append(told(each))
    return lines


def filled(saver: BaseCheckpointSaver, thread: Thread, steps: Iterable[Mapping[str, Any]]) -> list[State]:
    """Put a chain of checkpoints, each with its changes."""
    states: list[State] = []
    for changes in steps:
        step = thread.step(states[-1] if states else None, changes)
        saver.put(*step.arguments)
        states.append(step.state)
    return states


def rows(engine: MeasuredTablestore, table: str = "checkpoint") -> int:
    """How many rows there are, of any kind."""
    keys = ("thread_id", "checkpoint_ns", "item")
    client = ots_client(engine)
    start: Any = [(key, INF_MIN) for key in keys]
    total = 0
    while start is not None:
        _, start, found, _ = client.get_range(
            table, Direction.FORWARD, start, [(key, INF_MAX) for key in keys], ["thread_id"]
        )
        total += len(found)
    return total
