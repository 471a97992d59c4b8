"""What cannot work is one clear exception of ours, before anything is written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory import (
    ConfigurationError,
    InvalidArgumentError,
    Message,
    MessageStore,
    Order,
    StoredDataError,
    TablestoreChatMessageHistory,
    TablestoreMemoryError,
    connect,
)

from .support import unique

HI = HumanMessage("Hi")


def clear(error):
    """One sentence or two that name the matter, and no user text or secret."""
    text = str(error.value)
    assert 10 < len(text) < 600
    assert "object at 0x" not in text
    assert "secret words" not in text


def nothing_written(chats, chat):
    assert chats.again(chat).entries() == []
    assert chats.session(chat) is None


@pytest.mark.parametrize("name", ["session_id", "user_id"])
@pytest.mark.parametrize("wrong", ["", None, 5, b"s", "x" * 1025, "汉" * 342, "\ud800", ["s"], True])
def test_wrong_ids_are_refused_by_the_constructor(embedded, name, wrong):
    arguments = {"session_id": "s", "user_id": "u", name: wrong}
    with pytest.raises(InvalidArgumentError, match=name) as error:
        TablestoreChatMessageHistory(arguments["session_id"], user_id=arguments["user_id"], connection=embedded)
    clear(error)


def test_ids_that_are_too_long_together(embedded):
    with pytest.raises(InvalidArgumentError, match="1024") as error:
        TablestoreChatMessageHistory("s" * 600, user_id="u" * 600, connection=embedded)
    clear(error)
    assert TablestoreChatMessageHistory("s" * 500, user_id="u" * 500, connection=embedded).messages == []
    assert TablestoreChatMessageHistory("汉" * 341, connection=embedded).messages == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"window": 0}, "window"),
        ({"window": -1}, "window"),
        ({"window": 1.0}, "window"),
        ({"window": "20"}, "window"),
        ({"window": True}, "window"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 10, "token_counter": "gpt-4"}, "token_counter"),
        ({"artifact_types": 5}, "artifact_types"),
        ({"artifact_types": ["Shape"]}, "artifact_types"),
        ({"artifact_types": HumanMessage("x")}, "artifact_types"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_by_the_constructor(embedded, options, named):
    with pytest.raises(InvalidArgumentError, match=named) as error:
        TablestoreChatMessageHistory("s", connection=embedded, **options)
    clear(error)


@pytest.mark.parametrize("wrong", ["local::memory:", 5, object(), {}])
def test_what_is_no_connection(wrong):
    with pytest.raises(ConfigurationError, match="connection") as error:
        TablestoreChatMessageHistory("s", connection=wrong)
    clear(error)


@pytest.mark.parametrize("name", ["session_table", "message_table"])
@pytest.mark.parametrize("wrong", ["", "a b", "1table", "x" * 256, "表", 5, None])
def test_wrong_table_names(embedded, name, wrong):
    with pytest.raises(TablestoreMemoryError) as error:
        TablestoreChatMessageHistory("s", connection=embedded, **{name: wrong}).add_messages([HI])
    clear(error)


def test_one_table_for_both():
    with connect("local::memory:") as connection:
        history = TablestoreChatMessageHistory("s", connection=connection, session_table="t", message_table="t")
        with pytest.raises(TablestoreMemoryError) as error:
            history.add_messages([HI])
        clear(error)


@pytest.mark.parametrize(
    "messages",
    [
        "secret words",
        "",
        b"secret words",
        None,
        5,
        HI,
        {"role": "user", "content": "Hi"},
        {},
        [None],
        ["secret words"],
        [("human", "secret words")],
        [{"role": "user", "content": "secret words"}],
        [HI, "secret words"],
        [HI, [HI]],
        [Message("s", "m", content="secret words")],
        [HumanMessage],
        [HI, HumanMessage("Hi", id="x" * 1025)],
        [HI, HumanMessage("Hi", id="汉" * 342)],
        [HI, HumanMessage("Hi", id="\ud800")],
        [HI, HumanMessage.model_construct(content=5)],
        [HI, HumanMessage.model_construct(content="Hi", id=5)],
        [HI, HumanMessage.model_construct()],
    ],
)
def test_what_are_no_messages(local_chats, messages):
    chat = local_chats()
    with pytest.raises(InvalidArgumentError) as error:
        chat.add_messages(messages)
    clear(error)
    nothing_written(local_chats, chat)


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [{}],
        [{}, {}, {}],
        5,
        "ab",
        [None, {}],
        [{}, "a"],
        [{}, 5],
        {"a": object()},
        {"a": [1, {"b": object()}]},
        {5: "x"},
        {None: "x"},
        {"a": "\ud800"},
        {"a": lambda: None},
        [{}, {"a": object()}],
        {"a": "x" * 4_200_000},
    ],
)
def test_wrong_metadata(local_chats, metadata):
    chat = local_chats()
    with pytest.raises(InvalidArgumentError) as error:
        chat.add_messages([HI, AIMessage("Hello")], metadata=metadata)
    clear(error)
    nothing_written(local_chats, chat)


@pytest.mark.parametrize(
    "times",
    [
        [],
        [1],
        [1, 2, 3],
        5,
        "12",
        datetime(2026, 1, 1, tzinfo=UTC),
        [1, "2"],
        [1, 2.0],
        [1, True],
        [1, 2**63],
        [1, -(2**63) - 1],
        [1, datetime(2026, 1, 1)],
        {1: 2, 3: 4},
    ],
)
def test_wrong_times(local_chats, times):
    chat = local_chats()
    with pytest.raises(InvalidArgumentError, match="create_time") as error:
        chat.add_messages([HI, AIMessage("Hello")], create_times=times)
    clear(error)
    nothing_written(local_chats, chat)


def test_times_after_the_latest(local_chats):
    chat = local_chats()
    with pytest.raises(InvalidArgumentError, match="latest time"):
        chat.add_messages([HI, AIMessage("Hello")], create_times=[2**63 - 1, 2**63 - 1])
    nothing_written(local_chats, chat)
    chat.add_messages([HI])
    assert chat.messages == [HI]


@pytest.mark.parametrize("wrong", [None, "", 5, b"m", "x" * 1025, "\ud800", ["m"]])
@pytest.mark.parametrize("method", ["get", "edit", "delete", "fork"])
def test_wrong_ids_of_messages(local_chats, method, wrong):
    chat = local_chats()
    chat.add_messages([HI])
    arguments = (HumanMessage("new"),) if method == "edit" else ()
    if method == "fork" and wrong is None:
        return
    with pytest.raises(InvalidArgumentError, match="message_id") as error:
        getattr(chat, method)(wrong, *arguments)
    clear(error)
    assert chat.texts == ["Hi"]


@pytest.mark.parametrize("limit", [0, -1, 1.5, "5", True, None])
def test_wrong_limits(local_chats, limit):
    chat = local_chats()
    with pytest.raises(InvalidArgumentError, match="limit"):
        chat.page(limit=limit)
    if limit is not None:
        with pytest.raises(InvalidArgumentError, match="limit"):
            chat.entries(limit=limit)


@pytest.mark.parametrize("order", ["asc", "desc", None, 0, True])
def test_wrong_orders(local_chats, order):
    with pytest.raises(InvalidArgumentError, match="order"):
        local_chats().entries(order=order)
    assert Order.ASC is not Order.DESC


def test_messages_cannot_be_assigned(local_chats):
    chat = local_chats()
    chat.add_messages([HI])
    for value in ([], [AIMessage("x")], None):
        with pytest.raises(InvalidArgumentError, match=r"add_messages\(\)"):
            chat.history.messages = value
    assert chat.texts == ["Hi"]


# Rows that were damaged


@pytest.fixture
def damaged(local_chats, embedded):
    """A conversation with one row in the middle that no message can be made of."""
    chat = local_chats(unique("s"), user_id="default")
    chat.add_messages([HumanMessage("before", id="1"), AIMessage("damaged", id="2"), HumanMessage("after", id="3")])
    store = MessageStore(embedded)
    store.update(Message(chat.conversation, "2", body='{"type": "ai", "tool_calls": 5}'))
    return chat


@pytest.mark.parametrize(
    "body", ["", "no JSON", "[]", "null", "{}", '{"type": "alien"}', '{"type": "ai", "content": 5}', '{"type":5}']
)
def test_a_row_that_cannot_be_decoded_is_named(local_chats, embedded, body):
    chat = local_chats(unique("s"), user_id="default")
    MessageStore(embedded).put([Message(chat.conversation, "broken-1", content="secret words", body=body)])
    for read in (lambda: chat.messages, chat.page, chat.entries, lambda: chat.get("broken-1")):
        with pytest.raises(StoredDataError, match="broken-1") as error:
            read()
        clear(error)


def test_a_damaged_row_is_no_obstacle_for_what_is_around_it(damaged, local_chats):
    again = local_chats.again(damaged)
    with pytest.raises(StoredDataError, match="'2'"):
        _ = again.messages
    again.add_messages([HumanMessage("more", id="4")])
    assert local_chats.again(damaged, window=2).messages == [
        HumanMessage("after", id="3"),
        HumanMessage("more", id="4"),
    ]
    assert damaged.get("1").message == HumanMessage("before", id="1")
    assert damaged.page(limit=2).messages == [HumanMessage("after", id="3"), HumanMessage("more", id="4")]
    damaged.edit("1", HumanMessage("BEFORE", id="1"))
    fork = damaged.fork("1")
    assert fork.messages == [HumanMessage("BEFORE", id="1")]
    assert local_chats.session(damaged).message_count == 4


@pytest.mark.parametrize("mend", ["delete", "edit", "add", "clear"])
def test_a_damaged_row_can_be_mended(damaged, local_chats, mend):
    match mend:
        case "delete":
            damaged.delete("2")
        case "edit":
            damaged.edit("2", AIMessage("mended", id="2"))
        case "add":
            local_chats.again(damaged).add_messages([AIMessage("mended", id="2")])
        case "clear":
            damaged.clear()
    texts = {"delete": ["before", "after"], "clear": []}.get(mend, ["before", "mended", "after"])
    assert [message.text for message in local_chats.again(damaged).messages] == texts
    assert local_chats.session(damaged).message_count == len(texts)


def test_a_damaged_row_at_the_end(local_chats, embedded):
    chat = local_chats(unique("s"), user_id="default")
    chat.add_messages([HumanMessage("one", id="1"), AIMessage("two", id="2")])
    MessageStore(embedded).update(Message(chat.conversation, "2", body="damaged"))
    local_chats.again(chat).add_messages([HumanMessage("three", id="3")])
    chat.delete("1")
    session = local_chats.session(chat)
    assert (session.message_count, session.preview) == (2, "three")


# Secrets


def test_nothing_secret_is_shown():
    with connect(
        "http://127.0.0.1:9",
        instance_name="inst",
        access_key_id="KEY-ID-123",
        access_key_secret="SECRET-456",
        sts_token="TOKEN-789",
    ) as connection:
        history = TablestoreChatMessageHistory("s1", user_id="u1", connection=connection)
        for text in (repr(history), repr(connection), f"{history!r}"):
            assert not any(secret in text for secret in ("KEY-ID-123", "SECRET-456", "TOKEN-789"))
        assert "s1" in repr(history)
        assert "127.0.0.1:9" in repr(history)


def test_a_refused_key_is_one_clear_error_and_shows_no_secret():
    from langchain_tablestore_memory import AuthenticationError
    from langchain_tablestore_memory.local import Tablestore
    from langchain_tablestore_memory.local.server import Server

    with (
        Tablestore(None) as service,
        Server(service, port=0) as server,
        connect(server.url, instance_name="local", access_key_id="local", access_key_secret="WRONG-456") as connection,
    ):
        history = TablestoreChatMessageHistory("s1", connection=connection)
        for refused in (lambda: history.messages, lambda: history.add_messages([HI])):
            with pytest.raises(AuthenticationError) as error:
                refused()
            assert "WRONG-456" not in str(error.value)
            clear(error)
