"""Requests of which only a part took effect before the process died: another one completes what is missing."""

from __future__ import annotations

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_tablestore_memory import Message, MessageStore, SessionRegistry, message_codec
from langchain_tablestore_memory.core.conversations import conversation_of
from langchain_tablestore_memory.middleware import TranscriptMiddleware, recording

from .support import Runs, ScriptedModel

CONVERSATION = conversation_of("u1", "t1")


@pytest.fixture
def process(engine, mode):
    """Makes an agent as another process has it; the messages of the thread are the caller's."""

    def make(script=()):
        middleware = [TranscriptMiddleware(engine.connection(mode))]
        return create_agent(ScriptedModel(script=list(script)), middleware=middleware)

    return make


@pytest.fixture
def lose(run: Runs, connection):
    """Takes away rows that were written, as if they never had been."""

    async def lose(*message_ids: str, session: bool = False) -> None:
        for message_id in message_ids:
            await run.all(MessageStore(connection), "delete", CONVERSATION, message_id)
        if session:
            await run.all(SessionRegistry(connection), "delete", "t1", "u1", messages=False)

    return lose


QUESTIONS = [HumanMessage(text, id=text) for text in ("one", "two", "three", "four")]


async def killed(process, run: Runs, given) -> None:
    """Run an agent whose process ends as soon as what it was given is recorded."""
    with pytest.raises(RuntimeError):
        await run(process([RuntimeError("killed")]), given)


@pytest.mark.parametrize(
    "lost", [("one",), ("two",), ("two", "three"), ("four",), ("one", "four"), ()], ids=lambda lost: "+".join(lost)
)
@pytest.mark.parametrize("session", [False, True], ids=["with its session", "without its session"])
async def test_a_request_of_which_a_part_took_effect(process, run: Runs, lose, lost, session):
    await killed(process, run, QUESTIONS)
    await lose(*lost, session=session)
    await run(process(), QUESTIONS)
    assert await run.texts() == ["one", "two", "three", "four", "re: four"]
    found = await run.session()
    assert (found.title, found.preview, found.message_count) == ("one", "re: four", 5)


async def test_a_message_without_the_change_of_its_session(process, run: Runs, connection):
    state = (await run(process(), "one"))["messages"]
    question = HumanMessage("two", id="m2")
    text, body = message_codec.encode(question)
    await run.all(MessageStore(connection), "put", [Message(CONVERSATION, "m2", content=text, body=body)])
    await run(process(), [*state, question])
    assert await run.texts() == ["one", "re: one", "two", "re: two"]
    session = await run.session()
    assert (session.title, session.preview, session.message_count) == ("one", "re: two", 4)


async def test_what_agrees_is_not_counted(process, run: Runs, engine):
    state = (await run(process(), "one"))["messages"]
    engine.taken()
    await run(process(), [*state, HumanMessage("two")])
    calls = [api for api in engine.taken() if api != "DescribeTable"]
    assert calls == ["GetRow", "GetRange", "BatchWriteRow", "BatchWriteRow"]


async def test_a_message_that_the_state_keeps_for_long(connection, run: Runs, monkeypatch):
    """A process remembers so many messages besides those of the state; these it does not forget."""
    monkeypatch.setattr(recording, "_REMEMBERED", 4)
    agent = create_agent(ScriptedModel(), middleware=[TranscriptMiddleware(connection)], checkpointer=InMemorySaver())
    kept = HumanMessage("kept", id="kept")
    for n in range(12):
        thread = InMemorySaver()
        agent.checkpointer = thread
        await run(agent, [kept, HumanMessage(f"{n}")])
    assert await run.texts() == ["kept", *(text for n in range(12) for text in (f"{n}", f"re: {n}"))]
    assert (await run.session()).message_count == 25


async def test_answers_of_one_request(process, run: Runs, lose):
    """Not the answer that was given before is missing, but what came before it: it was deleted."""
    given = [HumanMessage("one", id="one"), AIMessage("two", id="two"), HumanMessage("three", id="three")]
    await killed(process, run, given)
    await lose("one")
    await run(process(), given)
    assert await run.texts() == ["two", "three", "re: three"]


async def test_an_answer_that_is_given_again(engine, mode, run: Runs):
    """A cache gives the answer again, under its id, to the process that goes on after one that was stopped."""

    class Stopping(AgentMiddleware):
        def wrap_model_call(self, request, handler):
            handler(request)
            raise RuntimeError("stopped")

        async def awrap_model_call(self, request, handler):
            await handler(request)
            raise RuntimeError("stopped")

    def process(*before):
        model = ScriptedModel(script=[AIMessage("re: one", id="cached")])
        recording = TranscriptMiddleware(engine.connection(mode))
        return create_agent(model, middleware=[*before, recording])

    given = [HumanMessage("one", id="one")]
    with pytest.raises(RuntimeError):
        await run(process(Stopping()), given)
    await run(process(), given)
    assert await run.texts() == ["one", "re: one"]
    assert (await run.session()).message_count == 2
