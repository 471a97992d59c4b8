"""A process that is killed in the middle of a turn, and another one that goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool

from langchain_tablestore_memory import TablestoreSaver, connect
from langchain_tablestore_memory.middleware import TranscriptMiddleware

from .support import Runs, ScriptedModel, calling, ids


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def make(connection):
    def answer(given):
        last = given[-1]
        return (
            calling(("weather", {"city": "Suzhou"}))
            if last.type == "human"
            else given[-2].model_copy(update={"tool_calls": [], "content": f"re: {last.text}", "id": None})
        )

    return create_agent(
        ScriptedModel(otherwise=answer),
        [weather],
        middleware=[TranscriptMiddleware(connection)],
        checkpointer=TablestoreSaver(connection),
    )


def work(folder):
    """Turn after turn, until killed."""
    connection = connect(f"local:{folder}", durability="normal")
    run, agent = Runs(connection, "sync"), make(connection)
    for n in range(10_000):
        asyncio.run(run(agent, f"question {n}"))
        sys.stdout.write(f"{n}\n")
        sys.stdout.flush()


@pytest.mark.slow
@pytest.mark.parametrize("later", [0.0, 0.007, 0.016])
async def test_goes_on_after_a_kill(tmp_path, later):
    folder = tmp_path / "data"
    child = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs here
        [sys.executable, "-c", f"from middleware.test_kill import work; work({str(folder)!r})"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        text=True,
    )
    for line in child.stdout:
        if int(line) >= 3:
            break
    time.sleep(later)  # noqa: ASYNC251 - nothing else runs here
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    connection = connect(f"local:{folder}")
    run, agent = Runs(connection, "sync"), make(connection)
    if agent.get_state({"configurable": {"thread_id": "t1"}}).next:
        await run(agent, None)
    await run(agent, "the last question")
    state = await run.state(agent)
    entries = await run.entries()
    recorded = ids(entries)
    assert len(recorded) == len(set(recorded))
    # An answer whose step was not saved was given, and the model asked again: it is in the transcript alone.
    assert [each for each in recorded if each in ids(state)] == ids(state)
    assert len(recorded) - len(state) <= 2
    assert (await run.session()).message_count == len(recorded)
    connection.close()
