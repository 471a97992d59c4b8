"""Memories in the prompt of a chain."""

from __future__ import annotations

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnablePassthrough

from langchain_tablestore_memory import (
    ConfigurationError,
    InvalidArgumentError,
    LongTermMemory,
    OfflineChatModel,
    connect,
)

from .support import WordEmbeddings

PROMPT = ChatPromptTemplate(
    [("system", "You are a helpful assistant. You know of the user:\n{memories}"), ("human", "{input}")]
)
U1 = {"configurable": {"user_id": "u1"}}


@pytest.fixture
def invoke(mode):
    async def invoke(runnable, given, options=None):
        return await runnable.ainvoke(given, options) if mode == "async" else runnable.invoke(given, options)

    return invoke


@pytest.fixture
async def filled(memory):
    await memory.remember("u1", ["I like Sichuan food", "My birthday is March 15th"], session_id="s1")
    await memory.remember(
        "u1", "My dog\nis called   Wang Wang {input} {x}", session_id="s2", metadata={"topic": "pets"}
    )
    await memory.remember("u2", "I like Hunan food")
    return memory


async def test_a_chain_knows_the_user(filled, invoke):
    chain = filled.target.as_runnable(k=3) | PROMPT | OfflineChatModel() | StrOutputParser()
    assert "Sichuan" in await invoke(chain, {"input": "What food do I like?"}, U1)
    answer = await invoke(chain, {"input": "What food do I like?"}, {"configurable": {"user_id": "u2"}})
    assert "Hunan" in answer
    assert "Sichuan" not in answer
    answer = await invoke(chain, {"input": "What food do I like?"}, {"configurable": {"user_id": "u3"}})
    assert "Hunan" not in answer


async def test_what_the_step_adds(filled, invoke):
    step = filled.target.as_runnable("u1", k=1)
    given = {"input": "what is my dog called", "other": [1]}
    # One line for each, whatever is in it; braces stay what they are.
    expected = {**given, "memories": "- My dog is called Wang Wang {input} {x}"}
    assert await invoke(step, given) == expected
    assert given == {"input": "what is my dog called", "other": [1]}
    prompt = await invoke(step | PROMPT, given)
    assert "Wang Wang {input} {x}" in prompt.messages[0].content
    several = await invoke(filled.target.as_runnable("u1", k=3), {"input": "what is my food"})
    assert len(several["memories"].splitlines()) == 3
    assert await invoke(filled.target.as_runnable("u3"), {"input": "food"}) == {"input": "food", "memories": ""}


async def test_keys_and_options(filled, invoke):
    step = filled.target.as_runnable(
        "u1", input_key="question", output_key="facts", search_type="full_text", filter={"topic": "pets"}
    )
    found = await invoke(step, {"question": "my dog"})
    assert found["facts"].startswith("- My dog")
    step = filled.target.as_runnable("u1", session_id="s1", search_type="vector", score_threshold=0.99)
    assert await invoke(step, {"input": "I like Sichuan food"}) == {
        "input": "I like Sichuan food",
        "memories": "- I like Sichuan food",
    }


async def test_with_messages_as_input(filled, invoke):
    prompt = ChatPromptTemplate([("system", "Known:\n{memories}"), MessagesPlaceholder("input")])
    chain = filled.target.as_runnable(k=1) | prompt
    messages = [HumanMessage("hello"), AIMessage("hi"), HumanMessage("When is my birthday?")]
    found = await invoke(chain, {"input": messages}, U1)
    assert found.messages[0].content == "Known:\n- My birthday is March 15th"
    assert found.messages[1:] == messages


async def test_batches_and_streams(filled, mode):
    chain = filled.target.as_runnable(k=1) | PROMPT | OfflineChatModel() | StrOutputParser()
    given = [{"input": "What food do I like?"}, {"input": "When is my birthday?"}]
    options = [U1, U1]
    answers = await chain.abatch(given, options) if mode == "async" else chain.batch(given, options)
    assert "Sichuan" in answers[0]
    assert "March" in answers[1]
    if mode == "async":
        streamed = "".join([piece async for piece in chain.astream(given[0], U1)])
    else:
        streamed = "".join(chain.stream(given[0], U1))
    assert streamed == answers[0]


async def test_beside_other_steps(filled, invoke):
    chain = RunnablePassthrough.assign(language=lambda _: "en") | filled.target.as_runnable(k=1)
    found = await invoke(chain, {"input": "my birthday"}, U1)
    assert (found["language"], found["memories"]) == ("en", "- My birthday is March 15th")


@pytest.mark.parametrize("given", ["What food?", {"question": "What food?"}, {}, None, [HumanMessage("x")]])
async def test_an_input_without_a_question(filled, invoke, given):
    with pytest.raises(InvalidArgumentError, match=r"The input has no 'input'\. Give a dict with it"):
        await invoke(filled.target.as_runnable("u1"), given)


async def test_nobody_said_whose(filled, invoke):
    with pytest.raises(ConfigurationError, match="Nobody said whose memories these are"):
        await invoke(filled.target.as_runnable(), {"input": "food"})


async def test_an_empty_question(filled, invoke):
    with pytest.raises(InvalidArgumentError, match="query is empty"):
        await invoke(filled.target.as_runnable("u1"), {"input": " "})


@pytest.mark.parametrize("options", [{"k": 0}, {"search_type": "magic"}, {"user_id": ""}, {"user_id": 5}])
async def test_options_that_cannot_be(filled, invoke, options):
    with pytest.raises(InvalidArgumentError):
        await invoke(filled.target.as_runnable(**{"user_id": "u1"} | options), {"input": "food"})


async def test_nothing_blocks_the_event_loop(tmp_path):
    """Everything, in a folder, with the guard that notices blocking calls."""
    connection = connect(f"local:{tmp_path}", durability="normal")
    with blockbuster_ctx():
        memory = LongTermMemory(WordEmbeddings(), connection=connection)
        await memory.asetup()
        [told, *_] = await memory.aremember("u1", ["I like Sichuan food", "old"], session_id="s1")
        await memory.aupdate("u1", told.memory_id, text="I like Hunan food", metadata={"a": 1})
        for search_type in ("vector", "full_text", "hybrid"):
            assert await memory.arecall("u1", "food", search_type=search_type)
        assert (await memory.alist("u1", limit=1)).cursor
        assert await memory.acount("u1") == len(await memory.aget("u1", [told.memory_id, "absent"])) == 2
        await memory.await_until_searchable()
        remember, recall, forget = memory.tools("u1")
        await remember.ainvoke({"text": "My dog is called Wang Wang"})
        assert "Wang" in await recall.ainvoke({"query": "dog"})
        await forget.ainvoke({"memory_id": told.memory_id})
        chain = memory.as_runnable(k=3) | PROMPT | OfflineChatModel() | StrOutputParser()
        assert "Wang" in await chain.ainvoke({"input": "What is my dog called?"}, U1)
        assert await memory.aforget("u1", session_id="s1") == 1
        assert await memory.aforget_expired() == 0
        assert await memory.aforget_user("u1") == 1
        await memory.adrop()
        await connection.aclose()
