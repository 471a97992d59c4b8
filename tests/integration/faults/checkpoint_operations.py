"""Operations of LangGraph's checkpointer."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from langchain_tablestore_memory import SessionRegistry, connect
from langchain_tablestore_memory.langgraph import TablestoreSaver

from .operation import Operation
from .stored_checkpoints import checkpoint, checkpoint_config, checkpoint_id, keep_thread
from .worlds import INDEX_META, LONG_AGO, World

LARGE = random.Random(5).randbytes(700_000)
"""Does not fit into a row."""


def keep_threads(folder: Path) -> None:
    """Make the tables of checkpoints and sessions, and some threads; one of them was left long ago."""
    with connect(f"local:{folder}") as connection:
        SessionRegistry(connection, metadata_columns=INDEX_META).setup()
        for thread_id, namespace in (("t1", ""), ("t1", "sub:1"), ("t2", "")):
            keep_thread(TablestoreSaver(connection), thread_id, namespace)
        keep_thread(TablestoreSaver(connection, clock=lambda: LONG_AGO), "left", "")


def reading(world: World) -> TablestoreSaver:
    """A saver in the middle of a run: it knows where the latest values are."""
    saver = world.saver()
    assert saver.get_tuple(checkpoint_config(None))
    return saver


def listing_threads(world: World) -> TablestoreSaver:
    """A saver whose threads are sessions."""
    return world.saver(sessions=world.registry)


def expiring(world: World) -> TablestoreSaver:
    """A saver whose threads expire."""
    return world.saver(ttl=timedelta(days=30))


def of_user(put: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same put for a user."""
    config, *rest = put
    return {"configurable": {**config["configurable"], "user_id": "u1"}}, *rest


def _operations() -> list[Operation]:
    def of(method: str, args: Callable[[], tuple[Any, ...]] = tuple, **options: Any) -> Operation:
        return Operation(TablestoreSaver, method, args, **options)

    def putting(
        note: str = "", put: Callable[[], tuple[Any, ...]] = lambda: checkpoint(5), **options: Any
    ) -> Operation:
        new = {"adds": (checkpoint_id(5),), "calls": "checkpoint {!r}"}
        return of("put", put, note=note, **new | options)

    def writing(note: str = "", *writes: tuple[str, Any], number: int = 4, **options: Any) -> Operation:
        new = {"adds": ("task-z",), "calls": "writes of task {!r}"} | options
        task = new["adds"][0] if new["adds"] else "task-b"
        return of(
            "put_writes",
            lambda: (checkpoint_config(number), writes or [("n", 1), ("log", "x")], task),
            note=note,
            **new,
        )

    none: dict[str, Any] = {"adds": ()}
    new_thread = {"adds": (checkpoint_id(1),), "calls": "checkpoint {!r}"}
    return [
        of("setup"),
        of("setup", note="no tables", furnished=False),
        of("drop"),
        putting(),
        putting("in a run", subject=reading),
        putting("again", put=lambda: checkpoint(4), **none),
        putting("pieces", put=lambda: checkpoint(5, more=LARGE[:200_000])),
        putting("session", put=lambda: of_user(checkpoint(5)), subject=listing_threads),
        putting("expires", subject=expiring),
        putting("expired", put=lambda: checkpoint(1, "left", n="new"), subject=expiring, **none),
        of("put", lambda: checkpoint(1), note="no tables", furnished=False, **new_thread),
        of(
            "put",
            lambda: of_user(checkpoint(1)),
            note="no tables, session",
            furnished=False,
            subject=listing_threads,
            **new_thread,
        ),
        writing(),
        writing("again", ("log", "write 4"), ("n", None), **none),
        writing("more", ("log", "write 4"), ("n", None), ("n", 3), **none),
        writing("special", ("__interrupt__", "?"), ("n", 1)),
        writing("special again", ("__error__", "broken"), **none),
        writing("pieces", ("n", LARGE), ("__interrupt__", LARGE[:300_000])),
        of("get_tuple", lambda: (checkpoint_config(None),)),
        of("get_tuple", lambda: (checkpoint_config(2),), note="by id"),
        of("get_tuple", lambda: (checkpoint_config(None),), note="expires", subject=expiring),
        of("get_tuple", lambda: (checkpoint_config(None),), note="no tables", furnished=False),
        of("list", lambda: (checkpoint_config(None),)),
        of("list", lambda: (None,), kwargs={"filter": {"step": 2}, "limit": 3}, note="filter"),
        of("list", lambda: (None,), note="expires", subject=expiring),
        of("list", lambda: (None,), note="no tables", furnished=False),
        of("get_delta_channel_history", kwargs={"config": checkpoint_config(4), "channels": ["log", "list", "absent"]}),
        of("delete_thread", lambda: ("t1",)),
        of("delete_for_runs", lambda: (["run-1", "absent"],)),
        of("copy_thread", lambda: ("t1", "t9")),
        of("prune", lambda: (["t1", "left"],)),
        of("prune", lambda: (["t1", "t2"],), kwargs={"strategy": "delete"}, note="delete"),
        of("delete_idle", lambda: (timedelta(days=30),)),
    ]


CHECKPOINT_OPERATIONS = _operations()
