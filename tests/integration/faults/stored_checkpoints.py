"""Checkpoints as LangGraph makes them, and what of them is stored."""

from __future__ import annotations

import random
from typing import Any

from tablestore import INF_MAX, INF_MIN, Direction, OTSClient

from langchain_tablestore_memory.langgraph import TablestoreSaver

TABLE = "checkpoint"
KEY = ("thread_id", "checkpoint_ns", "item")

Checkpoints = dict[str, list[tuple[str, dict[str, Any]]]]
"""Checkpoints, and apart from them the writes of tasks, by thread and namespace, in order."""


def keep_thread(saver: TablestoreSaver, thread_id: str, namespace: str) -> None:
    """Store a thread of four checkpoints by two runs, with a list that grows, a large value, and writes."""
    for number in range(1, 5):
        saver.put(*checkpoint(number, thread_id, namespace))
        config = checkpoint_config(number, thread_id, namespace)
        saver.put_writes(config, [("log", f"write {number}"), ("n", None)], "task-b", "~1")
        if number > 2:
            saver.put_writes(config, [("__interrupt__", ["?"])], "task-a", "~2")


def checkpoint_config(number: int | None, thread_id: str = "t1", namespace: str = "") -> Any:
    """The configuration that names a checkpoint, by its number, or the latest one."""
    named = {} if number is None else {"checkpoint_id": checkpoint_id(number)}
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, **named}}


def checkpoint_id(number: int) -> str:
    return f"1f00000{number}-0000-6000-8000-000000000000"


def checkpoint(number: int, thread_id: str = "t1", namespace: str = "", **values: Any) -> tuple[Any, ...]:
    """What a saver is given for a checkpoint: the list is longer each time, the large value is that of the first."""
    where = f"{thread_id} {namespace}"
    held = {
        "list": [f"{entry} {where} " * 100 for entry in range(3 * number)],
        "n": number,
        "large": random.Random(where).randbytes(60_000),
        **values,
    }
    versions = {channel: f"{number if channel != 'large' else 1:032}.{where}" for channel in held}
    new = {channel: version for channel, version in versions.items() if number == 1 or channel != "large"}
    stored = {
        "v": 4,
        "id": checkpoint_id(number),
        "ts": "2026-01-01T00:00:00+00:00",
        "channel_values": held,
        "channel_versions": versions,
        "versions_seen": {"node": versions},
        "updated_channels": sorted(new),
    }
    metadata = {"source": "loop", "step": number, "parents": {}, "run_id": f"run-{number % 2}"}
    parent = checkpoint_config(number - 1 or None, thread_id, namespace)
    return parent, stored, metadata, new


def read_checkpoints(client: OTSClient) -> tuple[Checkpoints, tuple[str, ...]]:
    """What readers are told, and what rows there are besides: pieces, and what is left of removed checkpoints."""
    lines: Checkpoints = {}
    for found in TablestoreSaver(client).list(None):
        where = found.config["configurable"]
        line = lines.setdefault(f"{where['thread_id']} {where['checkpoint_ns']}", [])
        told = {"checkpoint": found.checkpoint, "metadata": found.metadata, "parent": found.parent_config}
        line.append((found.checkpoint["id"], told))
        for task_id, channel, value in found.pending_writes or []:
            line.append((task_id, {"after": found.checkpoint["id"], "channel": channel, "value": value}))
    rest = []
    start: Any = [(name, INF_MIN) for name in KEY]
    while start is not None:
        end = [(name, INF_MAX) for name in KEY]
        _, start, rows, _ = client.get_range(TABLE, Direction.FORWARD, start, end, ["thread_id"])
        keys = (tuple(value for _, value in row.primary_key) for row in rows)
        rest += [repr(key) for key in keys if not key[2].startswith("c")]
    return lines, tuple(rest)
