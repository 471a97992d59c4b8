"""Connections and histories: in the process and over HTTP, sync and async."""

from __future__ import annotations

import asyncio

import pytest
from core.support import SYNC_FIRST

from langchain_tablestore_memory import connect
from langchain_tablestore_memory.local import Tablestore
from langchain_tablestore_memory.local.server import Server

from .support import Caller, Chats, CountingTablestore


def connect_to(server):
    return connect(server.url, instance_name="local", access_key_id="local", access_key_secret="local")


@pytest.fixture(scope="session", params=["embedded", pytest.param("http", marks=pytest.mark.slow)])
def connection(request):
    """What is stored is the same either way; among the fast tests `counted` shows histories over HTTP."""
    if request.param == "embedded":
        with connect("local::memory:") as connection:
            yield connection
        return
    with Tablestore(None) as service, Server(service, port=0) as server, connect_to(server) as connection:
        yield connection


@pytest.fixture(scope="session", params=["sync", "async"])
def call(request, connection):
    if request.param == "sync":
        yield Caller(None)
        return
    # Before the connection closes: its client of this loop ends with the loop.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield Caller(runner)


@pytest.fixture(scope="session")
def chats(connection, call):
    """Makes histories, for all four combinations."""
    return Chats(connection, call)


@pytest.fixture(scope="session")
def embedded():
    """A connection for tests that need no other."""
    with connect("local::memory:") as connection:
        yield connection


@pytest.fixture(scope="session", params=SYNC_FIRST)
def local_chats(request, embedded):
    """Makes histories on the embedded engine, for tests in which the way to it makes no difference."""
    if request.param == "sync":
        yield Chats(embedded, Caller(None))
        return
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield Chats(embedded, Caller(runner))


@pytest.fixture(params=["sync", "async"])
def counted(request):
    """Histories over HTTP, and the engine that counts their requests."""
    with CountingTablestore() as service, Server(service, port=0) as server, connect_to(server) as connection:
        if request.param == "sync":
            yield Chats(connection, Caller(None)), service
            return
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            yield Chats(connection, Caller(runner)), service
