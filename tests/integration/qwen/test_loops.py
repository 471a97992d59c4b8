"""The async methods: in any number of event loops, without blocking one, and with nothing left open."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest
from blockbuster import BlockingError, blockbuster_ctx
from langchain_core.documents import Document

from langchain_tablestore_memory import DashScopeEmbeddings, DashScopeRerank, QwenTokenCounter

from .conftest import QUICK
from .standin import KEY, THROTTLED, vector

TEXTS = [f"text {number}" for number in range(25)]
EMBEDDED = [vector(text, 1024) for text in TEXTS]


@pytest.fixture
def embeddings(service):
    return DashScopeEmbeddings(api_key=KEY, base_url=service.base_url, retry=QUICK)


def test_one_loop_after_another(embeddings):
    for _ in range(4):
        assert asyncio.run(embeddings.aembed_documents(TEXTS)) == EMBEDDED
        assert embeddings.embed_documents(TEXTS) == EMBEDDED


def test_several_loops_at_once(embeddings):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(asyncio.run(embeddings.aembed_documents(TEXTS))))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [EMBEDDED] * 6


async def test_many_tasks_at_once(embeddings):
    results = await asyncio.gather(*(embeddings.aembed_query(text) for text in TEXTS))
    assert results == [vector(text, 1024, "query") for text in TEXTS]


async def test_connections_are_kept(embeddings, service):
    await embeddings.aembed_query("tea")
    for _ in range(5):
        await embeddings.aembed_query("tea")
    assert service.connections == 1


def test_a_loop_that_is_not_wound_up(embeddings):
    """Whoever closes a loop without ado gets no error for it later."""
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(embeddings.aembed_query("tea")) == vector("tea", 1024, "query")
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert asyncio.run(embeddings.aembed_query("tea")) == vector("tea", 1024, "query")


async def test_the_loop_is_not_blocked(embeddings, service):
    reranker = DashScopeRerank(api_key=KEY, base_url=service.base_url, retry=QUICK)
    service.fail(THROTTLED, THROTTLED)
    with blockbuster_ctx():
        assert await embeddings.aembed_documents(TEXTS) == EMBEDDED
        await embeddings.aembed_query("tea")
        await reranker.acompress_documents([Document("tea")], "tea")


async def test_blocking_is_noticed(embeddings):
    """The test above would notice."""
    with blockbuster_ctx(), pytest.raises(BlockingError):
        embeddings.embed_query("tea")


async def test_models_are_made_without_blocking(service, monkeypatch):
    QwenTokenCounter()  # reads the vocabulary, once in a process
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    with blockbuster_ctx():
        DashScopeEmbeddings(base_url=service.base_url)
        DashScopeRerank(base_url=service.base_url)
        QwenTokenCounter()


async def test_models_that_come_and_go_leave_nothing_open(service):
    for _ in range(5):
        await DashScopeEmbeddings(api_key=KEY, base_url=service.base_url).aembed_query("tea")
    # The last one is closed with the loop.
    assert service.connections == 5
    await wait_until(lambda: service.open_connections <= 1)


def test_models_that_come_and_go_leave_nothing_open_in_threads(service):
    for _ in range(5):
        DashScopeEmbeddings(api_key=KEY, base_url=service.base_url).embed_query("tea")
    asyncio.run(wait_until(lambda: service.open_connections == 0))


async def wait_until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("It did not come to pass.")


SCRIPT = """
import asyncio, sys
from langchain_tablestore_memory import DashScopeEmbeddings

embeddings = DashScopeEmbeddings(api_key="sk-any", base_url=sys.argv[1])
embeddings.embed_query("tea")
asyncio.run(embeddings.aembed_query("tea"))

async def leave_early():
    await asyncio.wait_for(embeddings.aembed_documents(["tea"] * 100), timeout=5)

asyncio.run(leave_early())
"""


@pytest.mark.slow
def test_a_script_ends_without_a_word(service):
    """At the end of a process nothing complains of what is still open."""
    done = subprocess.run(
        [sys.executable, "-W", "default", "-X", "dev", "-c", SCRIPT, service.base_url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "ResourceWarning" not in done.stderr
    assert "Traceback" not in done.stderr
