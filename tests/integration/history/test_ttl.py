"""Messages that vanish after a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory import (
    InvalidArgumentError,
    MessageStore,
    SchemaMismatchError,
    connect,
)
from langchain_tablestore_memory.local import Tablestore, ots_client

from .support import Caller, Chats

DAY = 86_400


@pytest.fixture
def chats():
    with connect("local::memory:") as connection:
        yield Chats(connection, Caller(None))


def connect_to_same(chats):
    """Another connection to the same server, which knows nothing of its tables."""
    return connect(
        chats.connection.client.host, instance_name="local", access_key_id="local", access_key_secret="local"
    )


def options_of(connection, table="message"):
    return connection.client.describe_table(table).table_options


@pytest.mark.parametrize("ttl", [DAY, 7 * DAY + 1, timedelta(days=30), 2**31 - 1])
def test_the_table_is_made_with_it_and_takes_no_updates(chats, ttl):
    chat = chats(ttl=ttl)
    chat.add_messages([HumanMessage("Hi")])
    options = options_of(chats.connection)
    assert options.time_to_live == (ttl.total_seconds() if isinstance(ttl, timedelta) else ttl)
    assert options.allow_update is False
    # Sessions do not vanish by themselves: they are updated with each turn, which a table with a ttl refuses.
    assert options_of(chats.connection, "session").time_to_live == -1


def test_without_it_messages_stay(chats):
    chats().add_messages([HumanMessage("Hi")])
    assert options_of(chats.connection).time_to_live == -1


def test_everything_works_with_it(counted):
    chats, _ = counted
    chat = chats(ttl=DAY)
    chat.add_messages([HumanMessage("one", id="1"), AIMessage("two", id="2")], metadata={"a": [1]})
    chat.add_messages([AIMessage("TWO", id="2"), HumanMessage("three", id="3")])
    chat.edit("1", HumanMessage("ONE", id="1"))
    assert chat.get("1").metadata == {"a": [1]}
    assert chat.messages == [HumanMessage("ONE", id="1"), AIMessage("TWO", id="2"), HumanMessage("three", id="3")]
    assert chats.session(chat).message_count == 3
    fork = chat.fork("2")
    fork.edit("2", AIMessage("forked", id="2"))
    chat.delete("3")
    assert chat.texts == ["ONE", "TWO"]
    assert fork.texts == ["ONE", "forked"]
    chat.clear()
    assert chat.texts == []
    assert (chats.session(chat).message_count, chats.session(fork).message_count) == (0, 2)


@pytest.mark.parametrize(("made", "asked"), [(DAY, None), (None, DAY), (DAY, 2 * DAY)])
def test_an_existing_table_with_another_one_is_refused(made, asked):
    with Tablestore(None) as service:
        Chats(ots_client(service), Caller(None))("s", user_id="u", ttl=made).add_messages([HumanMessage("Hi", id="1")])
        before = ots_client(service).describe_table("message").table_options.time_to_live
        # A client that has not seen the table yet.
        client = ots_client(service)
        with pytest.raises(SchemaMismatchError, match="time to live"):
            MessageStore(client, ttl=asked).setup()
        chat = Chats(client, Caller(None))("s", user_id="u", ttl=asked)
        for refused in (lambda: chat.edit("1", HumanMessage("x")), lambda: chat.delete("1"), lambda: chat.fork("1")):
            with pytest.raises(SchemaMismatchError, match="time to live"):
                refused()
        assert chat.texts == ["Hi"]
        assert ots_client(service).describe_table("message").table_options.time_to_live == before


@pytest.mark.parametrize("made", [None, 2 * DAY])
def test_nobody_believes_that_messages_vanish_which_do_not(counted, made):
    chats, _ = counted
    chats(ttl=made).add_messages([HumanMessage("Hi")])
    with connect_to_same(chats) as connection:
        other = Chats(connection, chats.call)
        chat = other("s", ttl=DAY)
        for refused in (lambda: chat.add_messages([HumanMessage("secret")]), chat.fork):
            with pytest.raises(SchemaMismatchError, match="time to live"):
                refused()
        assert chat.messages == []
        assert other.session(chat) is None


def test_the_table_is_looked_at_once_per_connection(counted):
    chats, service = counted
    chats(ttl=DAY).add_messages([HumanMessage("Hi")])
    with connect_to_same(chats) as connection:
        service.taken()
        for _ in range(3):
            Chats(connection, chats.call)(ttl=DAY).add_messages([HumanMessage("Hi")])
        assert service.taken().count("DescribeTable") == 1


@pytest.mark.parametrize(
    "ttl", [0, -1, 1, DAY - 1, timedelta(hours=23), timedelta(0), 2**31, 1.5, float(DAY), "86400", True, [DAY], b"1"]
)
def test_bad_values_are_refused_by_the_constructor(chats, ttl):
    with pytest.raises(InvalidArgumentError, match="ttl"):
        chats(ttl=ttl)
