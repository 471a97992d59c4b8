"""Each request of a turn fails once, before or after it takes effect: the run ends, goes on later, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
from core.support import WatchedTablestore
from langchain.agents import create_agent
from langchain.agents.middleware import PIIMiddleware
from langchain_core.messages import AIMessage
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
