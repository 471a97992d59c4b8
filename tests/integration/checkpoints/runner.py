"""Runs a graph on thread after thread until it is killed: ``python runner.py FOLDER DURABILITY WRITES WHEN``.

It kills itself at that write to the table (from 1; never for 0): WHEN is ``before`` or ``after`` it takes effect.
Prints ``ready`` when all is imported, waits for a line on standard input, and then prints what is acknowledged.
"""

from __future__ import annotations

import itertools
import operator
import os
import random
import signal
import sys
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph
from typing_extensions import override

from langchain_tablestore_memory import connect
from langchain_tablestore_memory.langgraph import TablestoreSaver
from langchain_tablestore_memory.local import Tablestore

ROUNDS = 5
_WRITES = {"PutRow", "UpdateRow", "BatchWriteRow"}


class State(TypedDict):
    """What two nodes have said in each round."""

    log: Annotated[list[bytes], operator.add]
    round: int


def said(side: str, number: int) -> bytes:
    """So much that it does not fit into the row of a checkpoint."""
    return f"{side} {number} ".encode() + random.Random(f"{side} {number}").randbytes(50_000)


def log_of(rounds: int) -> list[bytes]:
    """All that is said in the first rounds."""
    return [said(side, number) for number in range(rounds) for side in ("left", "right")]


def graph(saver: Any) -> Any:
    """In each round two nodes run side by side, and then one that counts."""
    made = StateGraph(State)
    for side in ("left", "right"):
        made.add_node(side, lambda state, side=side: {"log": [said(side, state["round"])]})
    made.add_node("count", lambda state: {"round": state["round"] + 1})
    for side in ("left", "right"):
        made.add_edge(START, side)
        made.add_edge(side, "count")
    made.add_conditional_edges("count", lambda state: ["left", "right"] if state["round"] < ROUNDS else [])
    return made.compile(checkpointer=saver)


def go_on(running: Any, config: Any, durability: str) -> None:
    """Begin a thread, or go on with it, up to its end."""
    state = running.get_state(config)
    if not state.values:
        running.invoke({"log": [], "round": 0}, config, durability=durability)
    elif state.tasks:
        # Also where all of them have written, and the checkpoint after them was not stored any more.
        running.invoke(None, config, durability=durability)


def config_of(number: int) -> Any:
    """The configuration of a thread, by its number."""
    return {"configurable": {"thread_id": f"t{number}"}, "recursion_limit": 100}


class Telling(TablestoreSaver):
    """Prints what is acknowledged."""

    @override
    def put(self, config: Any, checkpoint: Any, *rest: Any) -> Any:
        stored = super().put(config, checkpoint, *rest)
        os.write(1, f"{stored['configurable']['thread_id']} {checkpoint['id']}\n".encode())
        return stored

    @override
    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, writes, task_id, task_path)
        where = config["configurable"]
        os.write(1, f"{where['thread_id']} {where['checkpoint_id']} {task_id}\n".encode())


def die_at(position: int, when: str) -> None:
    """Have this process killed at a write."""
    handle = Tablestore.handle
    seen = itertools.count(1)

    def killing(self: Any, path: str, headers: Any, body: bytes) -> Any:
        last = path.rsplit("/", 1)[-1] in _WRITES and next(seen) == position
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = handle(self, path, headers, body)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    Tablestore.handle = killing


def run(folder: str, durability: str) -> None:
    running = graph(Telling(connect(f"local:{folder}")))
    for number in itertools.count():
        config = config_of(number)
        go_on(running, config, durability)


if __name__ == "__main__":
    os.write(1, b"ready\n")
    sys.stdin.readline()
    die_at(int(sys.argv[3]), sys.argv[4])
    run(sys.argv[1], sys.argv[2])
