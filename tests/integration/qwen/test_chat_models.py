"""Chat models for Qwen beside this package: ChatQwen of langchain-qwq, and ChatTongyi of langchain-community."""

from __future__ import annotations

import json
import warnings

import dashscope
import openai
import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage, message_chunk_to_message
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool

from langchain_tablestore_memory import (
    DashScopeEmbeddings,
    SessionRegistry,
    TablestoreChatMessageHistory,
    TablestoreVectorStore,
    connect,
)

from .standin import COMPATIBLE_CHAT, EMBEDDINGS, KEY, NATIVE_CHAT, Fault, vector

with warnings.catch_warnings():
    # Deprecated as a whole, and used by many.
    warnings.simplefilter("ignore")
    from langchain_community.chat_models import ChatTongyi
    from langchain_community.embeddings import DashScopeEmbeddings as CommunityEmbeddings
    from langchain_qwq import ChatQwen

OTHER_KEY = "sk-other-key-9876543210"
WAYS = ["invoke", "stream", "ainvoke", "astream"]


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


@pytest.fixture
def connection():
    with connect("local::memory:") as connection:
        yield connection


@pytest.fixture
def history(connection):
    return lambda session_id: TablestoreChatMessageHistory(session_id, user_id="u1", connection=connection)


@pytest.fixture
async def qwen(service):
    """It works in one event loop only, and nobody closes its clients."""
    model = ChatQwen(model="qwen-plus", api_key=KEY, base_url=service.compatible_url, max_retries=0)
    yield model
    model.root_client.close()
    await model.root_async_client.close()


@pytest.fixture
def native(service, monkeypatch):
    """The older API of the SDK, which has its settings in the module."""
    monkeypatch.setattr(dashscope, "base_http_api_url", service.base_url)
    monkeypatch.setattr(dashscope, "api_key", None)


@pytest.fixture(params=["as a whole", "streaming"])
def tongyi(request, native):
    return ChatTongyi(model="qwen-plus", api_key=KEY, streaming=request.param == "streaming", max_retries=1)


def conversation(model, history):
    """A model that remembers, with a prompt."""
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Be brief."), MessagesPlaceholder("history"), ("human", "{text}")]
    )
    return RunnableWithMessageHistory(
        prompt | model, history, input_messages_key="text", history_messages_key="history"
    )


async def say(chain, text, way):
    """Say something in one of the ways there are; returns the answer, put together."""
    config = {"configurable": {"session_id": "s1"}}
    if way == "invoke":
        return chain.invoke({"text": text}, config)
    if way == "ainvoke":
        return await chain.ainvoke({"text": text}, config)
    if way == "stream":
        chunks = list(chain.stream({"text": text}, config))
    else:
        chunks = [chunk async for chunk in chain.astream({"text": text}, config)]
    assert len(chunks) > 2
    return message_chunk_to_message(sum(chunks[1:], chunks[0]))


def asked(service, path):
    """The messages of each request, as role and content."""
    requests = [request.body for request in service.taken() if request.path == path]
    messages = [body["input"]["messages"] if "input" in body else body["messages"] for body in requests]
    return [[(message["role"], message["content"]) for message in each] for each in messages]


def call_of(name, arguments, call_id="call_1", index=0):
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"index": index, "id": call_id, "type": "function", "function": function}


# ChatQwen


@pytest.mark.parametrize("way", WAYS)
async def test_qwen_remembers(way, qwen, history, service):
    chain = conversation(qwen, history)
    first = await say(chain, "I am Li", way)
    second = await say(chain, "Who am I?", way)
    assert (first.text, second.text) == ("You said: I am Li", "You said: Who am I?")
    assert asked(service, COMPATIBLE_CHAT) == [
        [("system", "Be brief."), ("user", "I am Li")],
        [
            ("system", "Be brief."),
            ("user", "I am Li"),
            ("assistant", "You said: I am Li"),
            ("user", "Who am I?"),
        ],
    ]
    kept = history("s1").messages
    assert [message.text for message in kept] == ["I am Li", first.text, "Who am I?", second.text]
    assert kept[1].usage_metadata["total_tokens"] == 12
    assert kept[1].usage_metadata == first.usage_metadata


def test_qwen_has_its_messages_back_as_they_were(qwen, history, service):
    service.replies.append({"role": "assistant", "content": "", "tool_calls": [call_of("weather", {"city": "北京"})]})
    question = HumanMessage("What is the weather in 北京?", id="m1")
    calling = qwen.bind_tools([weather]).invoke([question])
    answer = weather.invoke(calling.tool_calls[0])
    history("s1").add_messages([question, calling, answer])

    kept = history("s1").messages
    assert kept == [question, calling, answer]
    assert kept[1].tool_calls == [{"name": "weather", "args": {"city": "北京"}, "id": "call_1", "type": "tool_call"}]
    service.taken()
    assert qwen.invoke([question, calling, answer]).text == qwen.invoke(kept).text
    first, second = service.taken()
    assert first.body == second.body
    assert second.body["messages"][1]["tool_calls"][0]["id"] == second.body["messages"][2]["tool_call_id"] == "call_1"


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_streamed_tool_calls_of_qwen_are_kept(way, qwen, history, service):
    calls = [call_of("weather", {"city": "北京"}), call_of("weather", {"city": "上海"}, "call_2", 1)]
    service.replies.append({"role": "assistant", "content": "Let me look.", "tool_calls": calls})
    said = await say(conversation(qwen.bind_tools([weather]), history), "The weather?", way)
    _, kept = history("s1").messages
    assert kept.text == "Let me look."
    assert [call["args"] for call in kept.tool_calls] == [{"city": "北京"}, {"city": "上海"}]
    assert kept.tool_calls == said.tool_calls


@pytest.mark.parametrize("way", WAYS)
async def test_an_answer_of_qwen_that_fails_is_not_kept(way, qwen, history, service):
    chain = conversation(qwen, history)
    await say(chain, "I am Li", way)
    service.fail(Fault(500), when=lambda request: request.path == COMPATIBLE_CHAT)
    with pytest.raises(openai.InternalServerError):
        await say(chain, "Who am I?", way)
    assert [message.text for message in history("s1").messages] == ["I am Li", "You said: I am Li"]
    assert (await say(chain, "Who am I now?", way)).text == "You said: Who am I now?"


async def test_conversations_with_qwen_are_listed(qwen, history, connection):
    await say(conversation(qwen, history), "I am Li", "invoke")
    (session,) = SessionRegistry(connection).list("u1").items
    assert (session.session_id, session.message_count) == ("s1", 2)


# ChatTongyi


@pytest.mark.parametrize(
    ("tongyi", "way"),
    # It streams only where it was made to.
    [("as a whole", "invoke"), ("as a whole", "ainvoke"), *(("streaming", way) for way in WAYS)],
    indirect=["tongyi"],
)
async def test_tongyi_remembers(way, tongyi, history, service):
    chain = conversation(tongyi, history)
    first = await say(chain, "I am Li", way)
    second = await say(chain, "Who am I?", way)
    assert (first.text.strip(), second.text.strip()) == ("You said: I am Li", "You said: Who am I?")
    assert asked(service, NATIVE_CHAT)[1] == [
        ("system", "Be brief."),
        ("user", "I am Li"),
        ("assistant", first.text),
        ("user", "Who am I?"),
    ]
    kept = history("s1").messages
    assert [message.text for message in kept] == ["I am Li", first.text, "Who am I?", second.text]
    assert kept[1].response_metadata == first.response_metadata


def test_tongyi_has_its_messages_back_as_they_were(tongyi, history, service):
    """It sends calls only where they are in `additional_kwargs`."""
    service.replies.append({"role": "assistant", "content": "", "tool_calls": [call_of("weather", {"city": "北京"})]})
    question = HumanMessage("What is the weather in 北京?", id="m1")
    calling = tongyi.bind_tools([weather]).invoke([question])
    assert calling.additional_kwargs["tool_calls"]
    answer = weather.invoke(calling.tool_calls[0])
    assert isinstance(answer, ToolMessage)
    history("s1").add_messages([question, calling, answer])

    kept = history("s1").messages
    assert kept == [question, calling, answer]
    assert kept[1].additional_kwargs == calling.additional_kwargs
    service.taken()
    tongyi.invoke([question, calling, answer])
    tongyi.invoke(kept)
    first, second = service.taken()
    assert first.body == second.body
    assert second.body["input"]["messages"][1]["tool_calls"][0]["function"]["name"] == "weather"


# DashScopeEmbeddings of langchain-community


@pytest.fixture
def theirs(native):
    return CommunityEmbeddings(model="text-embedding-v4", dashscope_api_key=OTHER_KEY)


def test_a_vector_store_with_embeddings_of_the_community(theirs, connection, service):
    store = TablestoreVectorStore(theirs, connection=connection)
    store.add_texts([f"text {number}" for number in range(25)])
    assert {request.key for request in service.taken()} == {OTHER_KEY}
    (found,) = store.similarity_search_by_vector(vector("text 7", 1024), k=1)
    assert found.page_content == "text 7"


async def test_the_same_asynchronously(theirs, connection):
    store = TablestoreVectorStore(theirs, connection=connection)
    await store.aadd_texts(["tea", "coffee"])
    (found,) = await store.asimilarity_search_by_vector(vector("tea", 1024), k=1)
    assert found.page_content == "tea"


def test_ours_reads_what_theirs_embedded(theirs, connection, service):
    TablestoreVectorStore(theirs, connection=connection).add_texts(["tea", "coffee"])
    ours = DashScopeEmbeddings("text-embedding-v4", api_key=KEY, base_url=service.base_url)
    assert ours.embed_documents(["tea"]) == theirs.embed_documents(["tea"])
    assert ours.embed_query("tea") == theirs.embed_query("tea")
    (found,) = TablestoreVectorStore(ours, connection=connection).similarity_search("tea", k=1)
    assert found.page_content in {"tea", "coffee"}
    keys = [request.key for request in service.taken() if request.path == EMBEDDINGS]
    assert keys == [OTHER_KEY, KEY, OTHER_KEY, KEY, OTHER_KEY, KEY]


async def test_all_together(tongyi, theirs, qwen, history, connection, service):
    """Four clients with their own keys and addresses, in one process."""
    ours = DashScopeEmbeddings(api_key=KEY + "-ours", base_url=service.base_url)
    for model in (tongyi, qwen):
        await say(conversation(model, history), "I am Li", "invoke")
    theirs.embed_query("tea")
    ours.embed_query("tea")
    keys = [(request.path, request.key) for request in service.taken()]
    assert keys == [(NATIVE_CHAT, KEY), (COMPATIBLE_CHAT, KEY), (EMBEDDINGS, OTHER_KEY), (EMBEDDINGS, KEY + "-ours")]
    assert len(history("s1").messages) == 4


def test_chunks_can_be_stored_too(qwen, history):
    """What was streamed until somebody stopped it."""
    chunks = []
    for chunk in qwen.stream([HumanMessage("Tell me a long story about tea")]):
        chunks.append(chunk)
        if len(chunks) == 4:
            break
    said = sum(chunks[1:], chunks[0])
    assert isinstance(said, AIMessageChunk)
    history("s1").add_message(message_chunk_to_message(said))
    (kept,) = history("s1").messages
    assert kept.text == said.text != ""
