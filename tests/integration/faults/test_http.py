"""The same over HTTP, where connections really break, stay silent, and end in the middle of an answer."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager

import pytest

from langchain_tablestore_memory import SessionRegistry, TablestoreChatMessageHistory, UnavailableError, connect
from langchain_tablestore_memory.local import Server

from .operations import spoken
from .proxy import FaultyProxy
from .reporting import told_in_failures
from .wire import PASSING_FAULTS, PASSING_ROW_FAULTS, Faults
from .worlds import IMPATIENT, opened

# A proxy that is there refuses nobody; see test_kill.py.
FAULTS = [fault for fault in (*PASSING_FAULTS, *PASSING_ROW_FAULTS) if str(fault) != "refused connection"]

PATIENCE = 1.0
"""Seconds that the clients wait for an answer."""


@contextmanager
def connected(folder):
    """A world, its server, a proxy with faults before it, and a connection to that."""
    faults = Faults()
    with (
        opened(folder) as world,
        Server(world.service, port=0) as server,
        FaultyProxy(server.url, faults) as proxy,
        connect(
            proxy.url,
            instance_name="local",
            access_key_id="local",
            access_key_secret="local",
            retry=IMPATIENT,
            socket_timeout=PATIENCE,
        ) as connection,
    ):
        yield world, faults, connection


def turn(connection, session_id):
    history = TablestoreChatMessageHistory(session_id, user_id="u9", connection=connection)
    read = history.messages
    history.add_messages(spoken("a", "b"))
    [listed] = SessionRegistry(connection).list("u9", limit=1).items
    return read, listed, history.messages


async def aturn(connection, session_id):
    history = TablestoreChatMessageHistory(session_id, user_id="u9", connection=connection)
    read = await history.aget_messages()
    await history.aadd_messages(spoken("a", "b"))
    [listed] = (await SessionRegistry(connection).alist("u9", limit=1)).items
    return read, listed, await history.aget_messages()


@pytest.mark.parametrize("mode", ["sync", pytest.param("async", marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_turn(furnished, fault, mode):
    with connected(furnished) as (world, faults, connection):
        for position in range(100):
            session_id = f"s{position}"
            with told_in_failures(f"{fault}, at request {position}"), faults.at(position, fault):
                if mode == "sync":
                    read, listed, reread = turn(connection, session_id)
                else:
                    read, listed, reread = asyncio.run(aturn(connection, session_id))
            assert read == []
            assert reread == spoken("a", "b")
            assert (listed.session_id, listed.message_count, listed.title) == (session_id, 2, "text of a")
            contents = world.contents()
            assert contents.faults == ()
            assert contents.miscounted() == []
            if not faults.met:
                break
        assert position > 0


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(
    "name", ["dropped before", pytest.param("silent after", marks=pytest.mark.slow), "gateway page before"]
)
def test_a_server_that_is_gone(furnished, name, mode):
    [fault] = [fault for fault in PASSING_FAULTS if str(fault) == name]
    with connected(furnished) as (_, faults, connection), faults.deciding(lambda _number, _request: fault):
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match=r"kept failing \(get_range\)"):
            turn(connection, "s1") if mode == "sync" else asyncio.run(aturn(connection, "s1"))
        assert faults.met == IMPATIENT.attempts
        assert time.monotonic() - begun < 3 * PATIENCE + 2
