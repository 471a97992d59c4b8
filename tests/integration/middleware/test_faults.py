"""Each request of a turn fails once, before or after it takes effect: the run ends, goes on later, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest
from core.support import WatchedTablestore
from langchain.agents import create_agent
from langchain.agents.middleware import PIIMiddleware
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_tablestore_memory import TablestoreMemoryError
from langchain_tablestore_memory.local.errors import RequestError
from langchain_tablestore_memory.local.service import Response, error_body, response_headers
from langchain_tablestore_memory.middleware import TranscriptMiddleware

from .support import Runs, ScriptedModel, calling, ids


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class FailingTablestore(WatchedTablestore):
    """Fails some requests in a row, a request with all its repetitions mostly, from number `first` (from 1) on.

    Attributes:
        first: The number of the first request to fail; 0 for none.
        times: How many fail.
        carried_out: Whether they take effect all the same.
        seen: Requests so far, tables' descriptions left out.
    """

    first = 0
    times = 3
    carried_out = False
    seen = 0

    def handle(self, path: str, headers: Any, body: bytes) -> Response:
        api = path.rsplit("/", 1)[-1]
        self.seen += api != "DescribeTable"
        fails = api != "DescribeTable" and self.first <= self.seen < self.first + self.times
        if not (self.first and fails):
            return super().handle(path, headers, body)
        if self.carried_out:
            super().handle(path, headers, body)
        error = RequestError(503, "OTSServerUnavailable", "Lost.")
        told = error_body(error)
        return Response(error.status, error.code, response_headers(told), told)

    def fail_from(self, first: int) -> None:
        self.seen, self.first = 0, first


@pytest.fixture
def engine():
    with FailingTablestore() as engine:
        yield engine


def answer(given):
    if given[-1].type == "human":
        return calling(("weather", {"city": "Suzhou"}), ("weather", {"city": "Wuxi"}))
    return AIMessage(f"re: {given[-1].text}")


def make(connection, saver) -> Any:
    return create_agent(
        ScriptedModel(otherwise=answer),
        [weather],
        # So that a message changes, too.
        middleware=[TranscriptMiddleware(connection), PIIMiddleware("email")],
        checkpointer=saver,
    )


@pytest.mark.parametrize("carried_out", [False, True], ids=["refused", "carried out"])
@pytest.mark.parametrize(
    ("first", "elsewhere"),
    [
        ("one", False),
        pytest.param("one", True, marks=pytest.mark.slow),
        pytest.param(None, True, marks=pytest.mark.slow),
    ],
    ids=["the same process", "another process", "another process, at the beginning"],
)
async def test_each_request_fails_once(engine, mode, carried_out, first, elsewhere):
    def process(agent, other):
        return other() if elsewhere else agent

    number, failures, reached = 0, 0, True
    while reached:
        number, failed = number + 1, False
        thread, saver = f"t{number}", InMemorySaver()
        run = Runs(engine.connection(mode), mode)

        def another(saver=saver):
            return make(engine.connection(mode), saver)

        agent = another()
        if first:
            await run(agent, first, thread)
        agent = process(agent, another)
        engine.carried_out = carried_out
        engine.fail_from(number)
        try:
            await run(agent, "I am ada@example.com", thread)
        except TablestoreMemoryError:
            failed = True
        failures, reached = failures + failed, engine.seen >= number
        engine.fail_from(0)
        agent = process(agent, another)
        if failed:
            await run(agent, None, thread)
        await run(agent, "three", thread)
        state = await run.state(agent, thread)
        entries = await run.entries(thread)
        recorded = ids(entries)
        assert len(recorded) == len(set(recorded)), number
        # An answer that was recorded by a step that failed is there besides; the model was asked again.
        assert [each for each in recorded if each in ids(state)] == ids(state), number
        assert len(recorded) - len(state) <= 1, number
        session = await run.session(thread)
        assert session.message_count == len(recorded), number
        said = [str(entry.message.text) for entry in entries]
        assert "ada@example.com" not in "".join([*said, session.title, session.preview]), number
    assert number > 6
    assert failures > 3


@pytest.mark.parametrize("elsewhere", [False, True], ids=["the same process", "another process"])
async def test_an_outage_before_what_two_recorded_is_merged(engine, mode, elsewhere):
    """Who finds that others wrote a message as well, and is stopped there, leaves it twice; whoever goes on merges it."""
    run = Runs(engine.connection(mode), mode)

    def process(*script):
        recording = TranscriptMiddleware(engine.connection(mode))
        return create_agent(ScriptedModel(script=list(script)), middleware=[recording])

    first = process()
    state = (await run(first, "one"))["messages"]
    given = [*state, HumanMessage("two", id="two")]
    with pytest.raises(RuntimeError):
        await run(process(RuntimeError("no model")), given)
    engine.times = 100
    engine.fail_from(2)
    with pytest.raises(TablestoreMemoryError):
        await run(first, given)
    engine.fail_from(0)
    assert await run.texts() == ["one", "re: one", "two", "two"]
    await run(process() if elsewhere else first, given)
    assert await run.texts() == ["one", "re: one", "two", "re: two"]
    assert (await run.session()).message_count == 4


class UnreliableTablestore(WatchedTablestore):
    """Fails some requests at random, half of them after they took effect."""

    chance = random.Random(0)
    rate = 0.05

    def handle(self, path: str, headers: Any, body: bytes) -> Response:
        if path.endswith("/DescribeTable") or self.chance.random() >= self.rate:
            return super().handle(path, headers, body)
        if self.chance.random() < 0.5:
            super().handle(path, headers, body)
        error = RequestError(503, "OTSServerUnavailable", "Lost.")
        told = error_body(error)
        return Response(error.status, error.code, response_headers(told), told)


@pytest.mark.parametrize("seed", range(3))
async def test_several_at_once_on_an_unreliable_service(seed):
    """Two processes, three conversations in one thread: what each holds is there once, in its order, and counted."""
    with UnreliableTablestore() as engine:
        engine.chance = random.Random(seed)
        agents = [
            create_agent(
                ScriptedModel(otherwise=answer),
                [weather],
                middleware=[TranscriptMiddleware(engine.connection("async"))],
            )
            for _ in range(2)
        ]
        config = {"configurable": {"thread_id": "t1", "user_id": "u1"}}

        async def talk(number):
            messages = []
            for turn in range(4):
                given = [*messages, HumanMessage(f"{turn}", id=f"{number}-{turn}")]
                messages = []
                while not messages:
                    with contextlib.suppress(TablestoreMemoryError):
                        messages = (await agents[number % 2].ainvoke({"messages": given}, config))["messages"]
            return messages

        states = await asyncio.gather(*(talk(number) for number in range(3)))
        engine.rate = 0
        run = Runs(engine.connection("async"), "async")
        recorded = ids(await run.entries())
        assert len(recorded) == len(set(recorded))
        for state in states:
            mine = set(ids(state))
            assert [each for each in recorded if each in mine] == ids(state)
        assert (await run.session()).message_count == len(recorded)
