"""Several writers at once: nothing is lost, the counts are right, each writer's order is kept."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory import SessionRegistry, TablestoreChatMessageHistory, drafts

from .support import unique

WRITERS = 4
TURNS = 12


def turn(writer, number):
    return [HumanMessage(f"{writer} {number} q"), AIMessage(f"{writer} {number} a", id=f"{writer}-{number}")]


def check(history, connection, writers=WRITERS, turns=TURNS):
    texts = [entry.message.content for entry in history.entries()]
    assert len(texts) == len(set(texts)) == writers * turns * 2
    for writer in range(writers):
        own = [text for text in texts if text.startswith(f"{writer} ")]
        assert own == [f"{writer} {number} {part}" for number in range(turns) for part in "qa"]
    # Two objects may take the same microsecond; the messages of one never do.
    session = SessionRegistry(connection).get(history.session_id, history.user_id)
    assert session.message_count == writers * turns * 2


@pytest.mark.parametrize("shared", [True, False], ids=["one object", "one object each"])
def test_threads(connection, shared):
    history = TablestoreChatMessageHistory(unique("s"), user_id=unique("u"), connection=connection)
    start = threading.Barrier(WRITERS)

    def write(writer):
        own = history if shared else _again(history, connection)
        start.wait()
        for number in range(TURNS):
            own.add_messages(turn(writer, number))
            if number % 4 == 0:
                assert own.messages

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    check(history, connection)


@pytest.mark.parametrize("shared", [True, False], ids=["one object", "one object each"])
async def test_tasks(embedded, shared):
    history = TablestoreChatMessageHistory(unique("s"), user_id=unique("u"), connection=embedded)

    async def write(writer):
        own = history if shared else _again(history, embedded)
        for number in range(TURNS):
            await own.aadd_messages(turn(writer, number))
            if number % 4 == 0:
                assert await own.aget_messages()

    await asyncio.gather(*map(write, range(WRITERS)))
    await asyncio.to_thread(check, history, embedded)


def test_threads_and_event_loops_together(connection):
    history = TablestoreChatMessageHistory(unique("s"), user_id=unique("u"), connection=connection)

    def blocking(writer):
        for number in range(TURNS):
            history.add_messages(turn(writer, number))

    async def awaiting(writer):
        for number in range(TURNS):
            await history.aadd_messages(turn(writer, number))

    with ThreadPoolExecutor(WRITERS) as pool:
        jobs = [
            pool.submit(blocking, writer) if writer % 2 else pool.submit(lambda w=writer: asyncio.run(awaiting(w)))
            for writer in range(WRITERS)
        ]
        for job in jobs:
            job.result()
    check(history, connection)


def test_one_object_under_a_clock_that_stands_still(embedded, monkeypatch):
    """Without the clock's help the order of each thread depends on the object alone."""
    monkeypatch.setattr(drafts, "microseconds_timestamp", lambda: 1000)
    history = TablestoreChatMessageHistory(unique("s"), user_id=unique("u"), connection=embedded)
    start = threading.Barrier(WRITERS)

    def write(writer):
        start.wait()
        for number in range(TURNS):
            history.add_messages(turn(writer, number))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    check(history, embedded)
    times = [entry.create_time for entry in history.entries()]
    assert len(set(times)) == len(times)


def test_one_id_written_by_all_at_once_by_one_object(embedded):
    history = TablestoreChatMessageHistory(unique("s"), user_id=unique("u"), connection=embedded)
    history.add_messages([HumanMessage("first", id="x"), HumanMessage("second", id="y")])

    def write(number):
        history.add_messages([HumanMessage(f"by {number}", id="x")])

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(20)))
    found = [entry.message for entry in history.entries()]
    assert [message.id for message in found] == ["x", "y"]
    assert SessionRegistry(embedded).get(history.session_id, history.user_id).message_count == 2


def test_writing_while_others_edit_and_delete(embedded):
    """The count is right in the end, whatever happened while messages were counted."""
    history = TablestoreChatMessageHistory(unique("s"), user_id=unique("u"), connection=embedded)
    history.add_messages([HumanMessage(str(number), id=f"m{number}") for number in range(20)])

    def add(number):
        own = _again(history, embedded)
        own.add_messages([HumanMessage(f"new {number}")])

    def change(number):
        own = _again(history, embedded)
        if number % 2:
            own.delete(f"m{number}")
        else:
            own.edit(f"m{number}", HumanMessage(f"edited {number}", id=f"m{number}"))

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(job, number) for number in range(20) for job in (add, change)]
        for job in jobs:
            job.result()
    entries = list(history.entries())
    assert len(entries) == 30
    assert [e.message.content for e in entries if e.id.startswith("m")] == [f"edited {n}" for n in range(0, 20, 2)]
    assert SessionRegistry(embedded).get(history.session_id, history.user_id).message_count == 30


def _again(history, connection):
    return TablestoreChatMessageHistory(history.session_id, user_id=history.user_id, connection=connection)
