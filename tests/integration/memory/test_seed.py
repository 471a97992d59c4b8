"""The scripts of the AgentScope Runtime guide, line by line, and what went wrong there.

The guide adds memories, searches them, creates a session with two messages and reads it back, each in a process of its
own. Every line that it prints has its counterpart here; roles are called as LangChain calls them.
"""
# ruff: noqa: T201 - what the scripts print is what is compared

from __future__ import annotations

import asyncio
import time

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.messages import AIMessage, HumanMessage
from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory import (
    Connection,
    InvalidArgumentError,
    LongTermMemory,
    SessionRegistry,
    TablestoreChatMessageHistory,
    connect,
)
from langchain_tablestore_memory.local import Tablestore, async_ots_client

from .support import WordEmbeddings, texts_of

USER = "user_001"
LIKES, BIRTHDAY = "I like Sichuan food", "My birthday is March 15th"


@pytest.fixture
def place(tmp_path):
    return f"local:{tmp_path}"


async def add_memories(place):
    async with connect(place) as connection:
        memory = LongTermMemory(connection=connection)
        await memory.asetup()
        print("Memory ready")
        messages = [HumanMessage(LIKES), HumanMessage(BIRTHDAY)]
        print(f"Preparing to write {len(messages)} memories:")
        for message in messages:
            print(f" - [{message.type}] {message.text}")
        await memory.aremember(USER, messages, session_id="session_001")
        print(f"Write successful, user_id={USER}, session_id=session_001")


async def search_memories(place):
    async with connect(place) as connection:
        memory = LongTermMemory(connection=connection)
        print("Memory ready")
        query = [HumanMessage("What kind of food do I like?")]
        print(f"Search query: {query[0].text}")
        found = await memory.arecall(USER, query)
        print(f"Search results, found {len(found)} related memories:")
        for each in found:
            print(f" - [{each.role}] {each.text}")
        page = await memory.alist(USER)
        print(f"User {USER} has a total of {page.total} long-term memories")


async def create_session(place):
    async with connect(place) as connection:
        registry = SessionRegistry(connection)
        await registry.asetup()
        print("Session history ready")
        session = await registry.acreate(USER, "session_003")
        print(f"Session created successfully: session_id={session.session_id}, user_id={session.user_id}")
        history = TablestoreChatMessageHistory("session_003", user_id=USER, connection=connection)
        messages = [HumanMessage("Hello, my name is John Doe"), AIMessage("Hello John Doe! How can I help you?")]
        for message in messages:
            await history.aadd_messages([message])
            print(f"Writing message: [{message.type}] {message.text}")
        print(f"Wrote {len(messages)} messages to session session_003")


async def read_session(place):
    async with connect(place) as connection:
        history = TablestoreChatMessageHistory("session_003", user_id=USER, connection=connection)
        messages = await history.aget_messages()
        print(f"Getting session session_003, found {len(messages)} messages:")
        for message in messages:
            print(f" - [{message.type}] {message.text}")
        sessions = await SessionRegistry(connection).alist(USER)
        print(f"User {USER} has a total of {len(sessions.items)} sessions")


PRINTED = {
    add_memories: [
        "Memory ready",
        "Preparing to write 2 memories:",
        " - [human] I like Sichuan food",
        " - [human] My birthday is March 15th",
        "Write successful, user_id=user_001, session_id=session_001",
    ],
    search_memories: [
        "Memory ready",
        "Search query: What kind of food do I like?",
        "Search results, found 1 related memories:",
        " - [human] I like Sichuan food",
        "User user_001 has a total of 2 long-term memories",
    ],
    create_session: [
        "Session history ready",
        "Session created successfully: session_id=session_003, user_id=user_001",
        "Writing message: [human] Hello, my name is John Doe",
        "Writing message: [ai] Hello John Doe! How can I help you?",
        "Wrote 2 messages to session session_003",
    ],
    read_session: [
        "Getting session session_003, found 2 messages:",
        " - [human] Hello, my name is John Doe",
        " - [ai] Hello John Doe! How can I help you?",
        "User user_001 has a total of 1 sessions",
    ],
}


def test_the_scripts(place, capsys):
    for script, expected in PRINTED.items():
        asyncio.run(script(place))
        assert capsys.readouterr().out.splitlines() == expected


def test_the_first_script_again(place, capsys):
    """The guide's scripts are run again and again: nothing is there twice."""
    for _ in range(3):
        asyncio.run(add_memories(place))
    capsys.readouterr()
    asyncio.run(search_memories(place))
    assert capsys.readouterr().out.splitlines() == PRINTED[search_memories]


# What went wrong there


@pytest.fixture
def connection(place):
    with connect(place) as connection:
        yield connection


def test_nobody_reads_or_deletes_the_session_of_another(connection):
    """Defect B-A1: whoever named a session got its messages, and could delete them."""
    registry = SessionRegistry(connection)
    mine = TablestoreChatMessageHistory("session_003", user_id=USER, connection=connection)
    mine.add_messages([HumanMessage("my secret"), AIMessage("noted")])
    evil = TablestoreChatMessageHistory("session_003", user_id="evil", connection=connection)
    assert evil.messages == []
    registry.create("evil", "session_003")
    assert evil.messages == []
    registry.delete("session_003", "evil")
    registry.delete_user("evil")
    assert texts_of(mine.messages) == ["my secret", "noted"]
    memory = LongTermMemory(connection=connection)
    [told] = memory.remember(USER, "my secret", session_id="session_003")
    assert memory.recall("evil", "secret") == memory.list("evil").items == []
    assert memory.get("evil", told.memory_id) == [None]
    assert memory.forget("evil", session_id="session_003") == memory.forget_user("evil") == 0
    assert memory.count(USER) == 1


def test_the_total_is_the_total(connection):
    """Defect B-A2: it was never more than 10, each page read all pages before it, and ids gave the order."""
    memory = LongTermMemory(connection=connection)
    for n in range(17):
        memory.remember(USER, f"fact {n}")
    first = memory.list(USER, limit=10)
    second = memory.list(USER, limit=10, cursor=first.cursor)
    assert (first.total, second.total) == (17, 17)
    assert texts_of([*first.items, *second.items]) == [f"fact {n}" for n in reversed(range(17))]
    assert second.cursor is None
    assert memory.count(USER) == 17


def test_everything_is_forgotten():
    """Defect B-A3: the first 100 hits were deleted, one request each, and what the index did not show yet stayed."""
    with Tablestore(None, index_delay=0.3) as service:
        requests = []
        handle = service.handle

        def watched(path, headers, body):
            requests.append(path.rsplit("/", 1)[-1])
            return handle(path, headers, body)

        service.handle = watched

        async def main():
            memory = LongTermMemory(connection=Connection.of(async_ots_client(service)))
            await memory.aremember(USER, [f"fact {n}" for n in range(150)], session_id="s1")
            await memory.aremember(USER, [f"more {n}" for n in range(60)], session_id="s2")
            requests.clear()
            assert await memory.aforget(USER, session_id="s1") == 150
            assert requests.count("BatchWriteRow") + requests.count("DeleteRow") <= 4
            assert await memory.aforget_user(USER) == 60
            await memory.await_until_searchable()
            assert await memory.acount(USER) == 0

        asyncio.run(main())


def test_a_session_with_more_messages_than_one_request_takes(connection):
    """Defect B-A4: deleting one with 201 messages failed when 200 were gone."""
    history = TablestoreChatMessageHistory("s1", user_id=USER, connection=connection)
    history.add_messages([HumanMessage(f"text {n}") for n in range(201)])
    SessionRegistry(connection).delete("s1", USER)
    assert history.messages == []
    assert SessionRegistry(connection).list(USER).items == []


def test_sessions_come_in_the_order_of_their_last_message(connection):
    """Defect B-A5: they came in the order of their ids, and no message was noted with its session."""
    histories = {
        name: TablestoreChatMessageHistory(name, user_id=USER, connection=connection) for name in ("a", "b", "c")
    }
    for name in ("b", "c", "a", "b"):
        histories[name].add_messages([HumanMessage(f"in {name}")])
    assert [each.session_id for each in SessionRegistry(connection).list(USER).items] == ["b", "a", "c"]


LOOKALIKES = {"code": "123", "flag": "true", "json": '{"a": 1}', "null": "null", "float": "1.0", "number": 123}


def test_text_that_looks_like_something_else_stays_text(connection):
    """Defect B-A6: "123" came back as a number, and the whole session could not be read any more."""
    history = TablestoreChatMessageHistory("s1", user_id=USER, connection=connection)
    message = HumanMessage("123", additional_kwargs=dict(LOOKALIKES), id="123")
    history.add_messages([message], metadata=LOOKALIKES)
    assert history.messages == [message]
    [entry] = history.entries()
    assert entry.metadata == LOOKALIKES
    memory = LongTermMemory(connection=connection)
    for text in LOOKALIKES.values():
        memory.remember(USER, str(text), metadata=LOOKALIKES)
    for found in memory.list(USER).items:
        assert found.metadata == LOOKALIKES
        assert {key: type(value) for key, value in found.metadata.items()} == {
            key: type(value) for key, value in LOOKALIKES.items()
        }


def test_messages_with_metadata_and_usage_are_remembered(connection):
    """Defect B-A7: a message with a dict in it could not be added."""
    message = AIMessage(
        "You like noodles",
        response_metadata={"model": {"name": "qwen"}},
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    )
    memory = LongTermMemory(connection=connection)
    [told] = memory.remember(USER, message, metadata={"usage": dict(message.usage_metadata), "deep": {"list": [{}]}})
    assert memory.get(USER, told.memory_id) == [told]
    assert told.metadata["usage"]["total_tokens"] == 3


def test_no_embedding_model_means_none(connection):
    """Defect B-A8: without a model, one with a key was asked for every memory, within the event loop."""
    memory = LongTermMemory(connection=connection)
    memory.remember(USER, LIKES)
    assert texts_of(memory.recall(USER, "food")) == [LIKES]
    with pytest.raises(InvalidArgumentError, match="needs an embedding model, and this memory has none"):
        memory.recall(USER, "food", search_type="vector")
    [(_, row)] = rows_of(connection, "memory")
    assert "embedding" not in row


async def test_a_model_does_not_block_the_event_loop(tmp_path):
    """Defect B-A8: models that have no async calls of their own are called in a thread."""

    class Slow(WordEmbeddings):
        def embed_documents(self, texts):
            time.sleep(0.05)
            return super().embed_documents(texts)

        def embed_query(self, text):
            time.sleep(0.05)
            return super().embed_query(text)

    async with connect(f"local:{tmp_path}") as connection:
        with blockbuster_ctx():
            memory = LongTermMemory(Slow(), connection=connection)
            await memory.aremember(USER, LIKES)
            assert texts_of(await memory.arecall(USER, "food")) == [LIKES]


def test_two_sets_of_tables_in_one_instance(connection):
    """Defect B-A9: their indexes had one name, and the second set could not be made."""
    memories = [LongTermMemory(connection=connection, table_name=f"{name}_memory") for name in ("demo", "other")]
    registries = [
        SessionRegistry(connection, session_table=f"{name}_session", message_table=f"{name}_message")
        for name in ("demo", "other")
    ]
    for n, (memory, registry) in enumerate(zip(memories, registries, strict=True)):
        memory.remember(USER, f"fact {n}")
        registry.create(USER, f"session {n}")
    assert [texts_of(memory.recall(USER, "fact")) for memory in memories] == [["fact 0"], ["fact 1"]]
    assert [[each.session_id for each in registry.list(USER).items] for registry in registries] == [
        ["session 0"],
        ["session 1"],
    ]


def test_a_list_keeps_its_order_and_reading_writes_nothing():
    """Defect B-A10: order was a matter of luck, one request was sent for each message, and reading made sessions."""

    async def main():
        with Tablestore(None) as service:
            requests = []
            handle = service.handle

            def watched(path, headers, body):
                requests.append(path.rsplit("/", 1)[-1])
                return handle(path, headers, body)

            service.handle = watched
            client = async_ots_client(service)
            connection = Connection.of(client)
            memory = LongTermMemory(connection=connection)
            history = TablestoreChatMessageHistory("s1", user_id=USER, connection=connection)
            texts = [f"text {n}" for n in range(100)]
            await SessionRegistry(connection).asetup()
            await memory.asetup()
            # A session that does not exist yet is made with its first message; nothing is dropped with a warning.
            requests.clear()
            await history.aadd_messages([HumanMessage(text) for text in texts])
            await memory.aremember(USER, texts)
            assert sum(api in {"BatchWriteRow", "PutRow", "UpdateRow"} for api in requests) <= 4
            requests.clear()
            assert texts_of(await history.aget_messages()) == texts
            assert texts_of(await memory.alist(USER)) == texts[::-1]
            absent = TablestoreChatMessageHistory("absent", user_id="nobody", connection=connection)
            assert await absent.aget_messages() == []
            assert (await memory.alist("nobody")).items == []
            assert not {"BatchWriteRow", "PutRow", "UpdateRow"} & set(requests)
            assert (await SessionRegistry(connection).alist("nobody")).items == []
            # Whoever brought the client goes on using it.
            await connection.aclose()
            assert len(await client.list_table()) >= 3
            await client.close()

    asyncio.run(main())


def rows_of(connection, table):
    """All rows, read without this package's stores."""
    client = connection.client
    key = [name for name, _ in client.describe_table(table).table_meta.schema_of_primary_key]
    low, high = [[(name, end) for name in key] for end in (INF_MIN, INF_MAX)]
    _, _, rows, _ = client.get_range(table, "FORWARD", low, high)
    return [
        ([value for _, value in row.primary_key], {column[0]: column[1] for column in row.attribute_columns})
        for row in rows
    ]
