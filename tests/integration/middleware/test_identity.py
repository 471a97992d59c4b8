"""Whose thread it is, and which: said by the application that runs the agent."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TypedDict

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

from langchain_tablestore_memory import ConfigurationError, InvalidArgumentError, LongTermMemory
from langchain_tablestore_memory.middleware import MemoryMiddleware, TranscriptMiddleware

from .support import Runs, ScriptedModel, calling


@dataclass
class Context:
    user_id: str | None = None
    account: str | None = None


class ContextDict(TypedDict):
    user_id: str


def configured(**more):
    return {"configurable": {"thread_id": "t1", **more}}


@pytest.fixture
def record(connection, run: Runs):
    """Records a turn of an agent, and tells whose thread it became."""

    async def record(config=None, *, context=None, user_id=None):
        agent = create_agent(
            ScriptedModel(),
            middleware=[TranscriptMiddleware(connection, user_id=user_id)],
            checkpointer=InMemorySaver(),
            context_schema=type(context) if context is not None else None,
        )
        await run.with_config(agent, "Hi", config or configured(), **({"context": context} if context else {}))
        return [user for user in ("default", "u1", "u2", "acct") if await run.sessions(user)]

    return record


async def test_the_configuration_says_it(record):
    assert await record(configured(user_id="u1")) == ["u1"]


@pytest.mark.parametrize("context", [Context("u1"), ContextDict(user_id="u1")], ids=["object", "dict"])
async def test_the_context_says_it_first(record, context):
    assert await record(configured(user_id="u2"), context=context) == ["u1"]


async def test_a_context_without_a_user(record):
    assert await record(configured(user_id="u2"), context=Context(account="acct")) == ["u2"]


async def test_who_is_given_is_meant(record):
    assert await record(configured(user_id="u2"), context=Context("u2"), user_id="u1") == ["u1"]


async def test_a_function_of_the_runtime(record):
    assert await record(context=Context("u2", "acct"), user_id=lambda runtime: runtime.context.account) == ["acct"]


async def test_nobody_is_named(record):
    assert await record() == ["default"]
    assert await record(context=Context(), user_id=lambda runtime: runtime.context.user_id) == ["default"]


@pytest.mark.parametrize("user", ["", 7, "x" * 2000], ids=["empty", "number", "long"])
async def test_what_is_no_user(record, user, run: Runs, engine):
    with pytest.raises(InvalidArgumentError, match="user_id"):
        await record(configured(user_id=user))
    assert engine.writes == []


async def test_no_thread(connection, run: Runs, engine):
    model = ScriptedModel()
    agent = create_agent(model, middleware=[TranscriptMiddleware(connection)])
    with pytest.raises(ConfigurationError, match="no thread_id"):
        await run.with_config(agent, "Hi", {})
    assert not model.given
    assert engine.taken() == []


@pytest.mark.parametrize("make", [TranscriptMiddleware, MemoryMiddleware], ids=lambda make: make.__name__)
@pytest.mark.parametrize("user", ["", 7], ids=["empty", "number"])
def test_a_middleware_for_nobody(connection, make, user):
    given = connection if make is TranscriptMiddleware else LongTermMemory(connection=connection)
    with pytest.raises(InvalidArgumentError, match="user_id"):
        make(given, user_id=user)


async def test_users_never_see_each_other(connection, run: Runs):
    """Threads of one id, of two users, recorded by one middleware."""
    recording = TranscriptMiddleware(connection)
    for user in ("u1", "u2"):
        agent = create_agent(ScriptedModel(), middleware=[recording], checkpointer=InMemorySaver())
        await run(agent, f"I am {user}", user=user)
        await run(agent, "again", user=user)
    for user in ("u1", "u2"):
        assert await run.texts(user=user) == [f"I am {user}", f"re: I am {user}", "again", "re: again"]
        [session] = await run.sessions(user)
        assert (session.title, session.message_count) == (f"I am {user}", 4)


async def test_a_model_that_names_another_user_gains_nothing(connection, run: Runs):
    """Arguments that its schema does not have lead nowhere."""
    memory = LongTermMemory(connection=connection)
    [secret] = await run.all(memory, "remember", "victim", "the secret is 42")
    more = {"user_id": "victim", "config": configured(user_id="victim"), "runtime": {"context": {"user_id": "victim"}}}
    model = ScriptedModel(
        script=[
            calling(("recall", {"query": "the secret is 42", **more})),
            calling(("forget", {"memory_id": secret.memory_id, **more})),
            calling(("remember", {"text": "planted", **more})),
        ]
    )
    agent = create_agent(model, middleware=[MemoryMiddleware(memory)], checkpointer=InMemorySaver())
    state = await run(agent, "Tell me", user="u1")
    results = [message.text for message in state["messages"] if message.type == "tool"]
    assert results[0] == "Nothing is remembered about that."
    assert results[1].startswith("There is no memory")
    assert [each.text for each in (await run.all(memory, "list", "victim")).items] == ["the secret is 42"]
    [planted] = (await run.all(memory, "list", "u1")).items
    assert (planted.text, planted.session_id) == ("planted", "t1")


@pytest.mark.parametrize("tools_alone", [True, False], ids=["tools alone", "middleware"])
async def test_tools_take_the_user_of_the_context(connection, run: Runs, tools_alone):
    memory = LongTermMemory(connection=connection)
    model = ScriptedModel(script=[calling(("remember", {"text": "The user likes tea"}))])
    agent = create_agent(
        model,
        list(memory.tools()) if tools_alone else [],
        middleware=[] if tools_alone else [MemoryMiddleware(memory)],
        context_schema=Context,
        checkpointer=InMemorySaver(),
    )
    await run.with_config(agent, "Remember", configured(), context=Context("u1"))
    [told] = (await run.all(memory, "list", "u1")).items
    assert (told.text, told.session_id) == ("The user likes tea", "t1")


async def test_who_signed_in_to_a_server(connection):
    """LangGraph's server puts the user into the runtime, which here is made by hand."""
    from langchain_tablestore_memory.runtime import user_of

    runtime = SimpleNamespace(context=None, server_info=SimpleNamespace(user=SimpleNamespace(identity="u1")))
    assert user_of(None, runtime, {}) == "u1"
    assert user_of(None, runtime, configured(user_id="u2")) == "u2"
    assert user_of(lambda runtime: runtime.server_info.user.identity, runtime, configured(user_id="u2")) == "u1"
