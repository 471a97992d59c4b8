"""How many requests things take, and when there are none."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_tablestore_memory import TablestoreChatMessageHistory, connect
from langchain_tablestore_memory.local import async_ots_client, ots_client

from .models import EchoModel
from .support import Caller, Chats, CountingTablestore, unique

TURN = [HumanMessage("Hi"), AIMessage("Hello", id="lc_run-1")]


def ready(chats, service):
    """Let the tables be made."""
    chats().add_messages(TURN)
    service.taken()


def test_the_constructor_sends_nothing(counted):
    chats, service = counted
    chats(window=5, max_tokens=100, ttl=86_400)
    repr(chats())
    assert service.taken() == []


def test_the_constructor_makes_no_folder(tmp_path, monkeypatch):
    """Without a connection and without settings, data goes to the user's data folder, once there is data."""
    for variable in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    TablestoreChatMessageHistory("s")
    assert list(tmp_path.iterdir()) == []


async def test_the_constructor_sends_nothing_on_an_event_loop(counted_service):
    history = TablestoreChatMessageHistory("s", connection=ots_client(counted_service))
    assert history.session_id == "s"
    assert counted_service.taken() == []


@pytest.fixture
def counted_service():
    with CountingTablestore() as service:
        yield service


def test_a_turn_is_two_requests(counted):
    chats, service = counted
    ready(chats, service)
    chat = chats()
    for _ in range(3):
        chat = chats.again(chat, window=20)
        _ = chat.messages
        assert service.taken() == ["GetRange"]
        chat.add_messages(TURN[:1])
        assert service.taken() == ["BatchWriteRow"]
    assert chats.session(chat).message_count == 3
    assert len(chat.entries()) == 3


def test_adding_writes_messages_and_session_in_one_request(counted):
    chats, service = counted
    ready(chats, service)
    chat = chats()
    _ = chat.messages
    service.taken()
    chat.add_messages([HumanMessage(str(number)) for number in range(199)])
    assert service.taken() == ["BatchWriteRow"]
    assert len(chat.entries()) == chats.session(chat).message_count == 199
    service.taken()
    chat.add_messages([HumanMessage(str(number)) for number in range(200)])
    assert service.taken() == ["BatchWriteRow", "BatchWriteRow"]


def test_adding_without_having_read_looks_first_where_the_conversation_ends(counted):
    chats, service = counted
    ready(chats, service)
    chat = chats()
    chat.add_messages(TURN)
    assert service.taken() == ["GetRange", "BatchWriteRow"]
    chat.add_messages(TURN[:1])
    assert service.taken() == ["BatchWriteRow"]


def test_ids_that_were_read_are_not_looked_up(counted):
    chats, service = counted
    ready(chats, service)
    chat = chats()
    chat.add_messages([HumanMessage(str(number), id=f"m{number}") for number in range(10)])
    service.taken()
    chat.add_messages([HumanMessage("new", id="m3")])
    assert service.taken() == ["BatchWriteRow"]
    other = chats.again(chat, window=2)
    _ = other.messages
    service.taken()
    other.add_messages([HumanMessage("new", id="m9")])
    assert service.taken() == ["BatchWriteRow"]
    other.add_messages([HumanMessage("new", id="m1")])
    requests = service.taken()
    assert requests.count("BatchWriteRow") == 1
    assert requests.count("GetRange") == len(requests) - 1 <= 2


@pytest.mark.parametrize("read_first", [True, False])
def test_many_ids_are_looked_up_together(counted, read_first):
    """An old conversation that is imported, a second time too."""
    chats, service = counted
    ready(chats, service)
    messages = [HumanMessage(str(number), id=unique("m")) for number in range(150)]
    for _ in range(2):
        chat = chats("imported", user_id="u1", window=5)
        if read_first:
            _ = chat.messages
        service.taken()
        chat.add_messages(messages)
        requests = [request for request in service.taken() if request != "DescribeTable"]
        assert requests.count("BatchWriteRow") == 1
        assert len(requests) <= 3
        assert [entry.message for entry in chat.entries()] == messages
        assert chats.session(chat).message_count == 150


@pytest.mark.parametrize("shape", ["list", "prompt"])
@pytest.mark.parametrize("method", ["invoke", "stream"])
def test_a_turn_under_runnable_with_message_history_is_two_requests(counted, shape, method):
    from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder

    chats, service = counted
    ready(chats, service)

    def history(session_id):
        return TablestoreChatMessageHistory(session_id, connection=chats.connection, window=20)

    if shape == "list":
        chain = RunnableWithMessageHistory(EchoModel(), history)
    else:
        prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{q}")])
        chain = RunnableWithMessageHistory(
            prompt | EchoModel(), history, input_messages_key="q", history_messages_key="history"
        )
    session = unique("s")
    for number in range(12):
        given = [HumanMessage(str(number))] if shape == "list" else {"q": str(number)}
        chats.call(chain, method, given, {"configurable": {"session_id": session}})
        assert service.taken() == ["GetRange", "BatchWriteRow"], number
    assert len(history(session).messages) == 20


def test_a_page_and_a_get(counted):
    chats, service = counted
    ready(chats, service)
    chat = chats()
    chat.add_messages([HumanMessage(str(number), id=f"m{number}") for number in range(30)])
    service.taken()
    page = chat.page(limit=10)
    assert service.taken() == ["GetRange"]
    chat.page(limit=10, cursor=page.older)
    assert service.taken() == ["GetRange"]
    chat.get("m3")
    requests = service.taken()
    # The index is looked up once per connection.
    assert [request for request in requests if request != "DescribeTable"] == ["GetRange", "GetRow"]
    chat.get("m4")
    assert service.taken() == ["GetRange", "GetRow"]


def test_a_window_reads_no_more_than_it_gives(counted):
    chats, service = counted
    ready(chats, service)
    chat = chats()
    chat.add_messages([HumanMessage("x" * 5_000) for _ in range(150)])
    service.taken()
    assert len(chats.again(chat, window=10).messages) == 10
    assert service.taken() == ["GetRange"]


def test_what_is_refused_is_not_sent(counted):
    from langchain_tablestore_memory import InvalidArgumentError

    chats, service = counted
    ready(chats, service)
    chat = chats()
    for wrong in ("text", [None], [HumanMessage("\ud800")], 5):
        with pytest.raises(InvalidArgumentError):
            chat.add_messages(wrong)
    with pytest.raises(InvalidArgumentError):
        chat.delete("")
    with pytest.raises(InvalidArgumentError):
        chat.edit("m", "text")
    with pytest.raises(InvalidArgumentError):
        chat.page(limit=0)
    assert service.taken() == []


def test_a_client_of_ones_own(counted_service):
    """An SDK client instead of a connection, sync methods over the one, async methods over the other."""
    import asyncio

    user = unique("u")
    sync = Chats(ots_client(counted_service), Caller(None))("s1", user_id=user)
    sync.add_messages(TURN)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        chats = Chats(async_ots_client(counted_service), Caller(runner))
        chat = chats("s1", user_id=user)
        assert chat.messages == TURN
        chat.add_messages([HumanMessage("Bye")])
        assert chats.session(chat).message_count == 3
    assert sync.texts == ["Hi", "Hello", "Bye"]


def test_missing_tables_are_made_by_the_first_request_that_needs_them(counted):
    chats, service = counted
    chat = chats()
    assert chat.messages == []
    requests = service.taken()
    assert requests[0] == "GetRange"
    assert "CreateTable" in requests
    chat.add_messages(TURN)
    assert chats.again(chat).messages == TURN


@pytest.mark.parametrize("first", ["messages", "add_messages", "page", "get", "delete", "clear", "fork", "entries"])
def test_any_call_may_be_the_first_one(first):
    with connect("local::memory:") as connection:
        chat = Chats(connection, Caller(None))()
        if first == "messages":
            assert chat.messages == []
        elif first == "add_messages":
            chat.add_messages(TURN)
        elif first in {"get", "delete"}:
            assert not getattr(chat, first)("x")
        else:
            getattr(chat, first)()
        chat.add_messages([HumanMessage("then")])
        assert chat.texts[-1] == "then"
