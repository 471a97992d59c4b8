"""An agent with tools that summarises, over 40 turns: the state is trimmed, and the transcript has everything."""

from __future__ import annotations

import itertools

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import ToolRuntime

from langchain_tablestore_memory import SessionRegistry, TablestoreSaver, TablestoreStore
from langchain_tablestore_memory.middleware import TranscriptMiddleware

from .support import Runs, ScriptedModel, calling, ids

TURNS = 40


@tool
def note(text: str, runtime: ToolRuntime) -> str:
    """Note something."""
    runtime.store.put(("notes",), text, {"text": text})
    return f"noted {text}"


@tool
async def anote(text: str, runtime: ToolRuntime) -> str:
    """Note something."""
    await runtime.store.aput(("notes",), text, {"text": text})
    return f"noted {text}"


def answer(given):
    """Calls a tool twice for each third question, and answers the others."""
    last = given[-1]
    if isinstance(last, HumanMessage) and int(last.text.split()[-1]) % 3 == 0:
        number = last.text.split()[-1]
        return calling(("note", {"text": f"{number}a"}), ("note", {"text": f"{number}b"}))
    return AIMessage(f"re: {last.text}")


@pytest.mark.parametrize(
    ("saver", "first", "streamed"),
    [
        pytest.param(TablestoreSaver, True, False, id="recorded first", marks=pytest.mark.slow),
        pytest.param(TablestoreSaver, False, True, id="summarised first, streamed", marks=pytest.mark.slow),
        pytest.param(InMemorySaver, True, True, id="recorded first, streamed, saved in memory", marks=pytest.mark.slow),
        pytest.param(InMemorySaver, False, False, id="summarised first, saved in memory"),
    ],
)
async def test_forty_turns(connection, run: Runs, saver, first, streamed):
    saver = saver() if saver is InMemorySaver else saver(connection)
    numbers = itertools.count()
    summaries = SummarizationMiddleware(
        ScriptedModel(otherwise=lambda _: AIMessage(f"summary {next(numbers)}")),
        trigger=("messages", 10),
        keep=("messages", 4),
    )
    store = TablestoreStore(connection)
    noting = anote if run.mode == "async" else note
    noting.name = "note"

    def agent():
        recording = TranscriptMiddleware(connection)
        return create_agent(
            ScriptedModel(otherwise=answer),
            [noting],
            middleware=[recording, summaries] if first else [summaries, recording],
            checkpointer=saver,
            store=store,
        )

    running = agent()
    seen = {}
    longest = 0
    for n in range(TURNS):
        if n == TURNS // 2:
            # Another process goes on.
            running = agent()
        if streamed:
            for update in await run.stream(running, f"question {n}", stream_mode="updates"):
                for change in update.values():
                    for message in (change or {}).get("messages", []):
                        seen.setdefault(message.id, message)
        else:
            await run(running, f"question {n}")
        state = await run.state(running)
        longest = max(longest, len(state))
        seen.update({message.id: message for message in state})

    entries = await run.entries()
    summarised = [entry for entry in entries if entry.message.additional_kwargs.get("lc_source") == "summarization"]
    real = [entry for entry in entries if entry not in summarised]
    # The state was trimmed, and summaries are marked.
    assert longest < 15
    assert summarised
    assert {entry.metadata["message_source"] for entry in summarised} == {"summarization"}
    assert not any("message_source" in entry.metadata for entry in real)
    # Every message once, in order.
    assert len(ids(entries)) == len(set(ids(entries)))
    said = [*_said()]
    assert [entry.message.text for entry in real] == said
    for entry in real:
        if entry.id in seen:
            assert entry.message == seen[entry.id]
    called = [call["id"] for entry in real if isinstance(entry.message, AIMessage) for call in entry.message.tool_calls]
    assert len([entry for entry in real if isinstance(entry.message, ToolMessage)]) == len(called)
    # The list of conversations.
    session = await run.session()
    assert session.title == "question 0"
    assert session.preview == said[-1]
    assert session.message_count == len(real)
    assert await run.all(SessionRegistry(connection), "recount", "t1", "u1") == len(real)
    notes = await run.all(store, "search", ("notes",), limit=100)
    assert {item.key for item in notes} == {f"{n}{letter}" for n in range(0, TURNS, 3) for letter in "ab"}


def _said():
    """What is said in all turns."""
    for n in range(TURNS):
        yield f"question {n}"
        if n % 3 == 0:
            yield from ("", f"noted {n}a", f"noted {n}b", f"re: noted {n}b")
        else:
            yield f"re: question {n}"
