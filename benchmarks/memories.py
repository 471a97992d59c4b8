"""Long-term memory of one user with 10,000 memories, on this machine.

Memories are sentences in English and Chinese with embeddings of 1,024 numbers, the size that Qwen's models have by
default, in 1,000 conversations. Each is on disk when `remember` returns. No model is asked while the clock runs: its
vectors are made beforehand.

There is no peer: what is wanted is a median under 30 ms.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
from langchain_core.embeddings import Embeddings

from benchmarks.harness import Comparison, describe, milliseconds, timed
from langchain_tablestore_memory import LongTermMemory, connect

_LIMIT = 0.030
"""Seconds."""

_MEMORIES = 10_000
_SESSIONS = 1000
_DIMENSION = 1024
_USER = "user"

_WHO = ("I", "My sister", "My neighbour", "Our team", "我", "我的同事", "Grandfather", "妈妈", "A friend")
_DOES = ("likes", "avoids", "visited", "talks about", "喜欢", "不喜欢", "去过", "is allergic to", "collects", "sold")
_WHAT = ("Sichuan food", "jazz", "the West Lake", "trains", "川菜", "西湖", "peanuts", "red umbrellas", "火车", "tea")


def run(*, quick: bool) -> list[Comparison]:
    rounds = 10 if quick else 40
    print(f"{_MEMORIES:,} memories of one user, {_DIMENSION} numbers each, embedded")
    with tempfile.TemporaryDirectory() as folder, connect(f"local:{folder}") as connection:
        memory = LongTermMemory(_Vectors(), connection=connection, dimension=_DIMENSION)
        _fill(memory)
        questions = _sentences(random.Random(1))
        ids = iter([each.memory_id for each in memory.list(_USER, limit=1000).items])
        sessions = iter(range(_SESSIONS))
        return [
            _measure(name, call, rounds)
            for name, call in (
                ("recall by vector", lambda: memory.recall(_USER, next(questions), search_type="vector")),
                ("recall by words", lambda: memory.recall(_USER, next(questions), search_type="full_text")),
                ("recall by both", lambda: memory.recall(_USER, next(questions), search_type="hybrid")),
                ("list a page of 20", lambda: memory.list(_USER, limit=20)),
                ("remember one", lambda: memory.remember(_USER, f"{next(questions)} {random.random()}")),
                ("forget one", lambda: memory.forget(_USER, next(ids))),
                ("forget a conversation of 10", lambda: memory.forget(_USER, session_id=f"s{next(sessions)}")),
            )
        ]


def _measure(name: str, call: Callable[[], object], rounds: int) -> Comparison:
    call()
    samples = [timed(call) for _ in range(rounds)]
    describe(name, samples, milliseconds)
    median = statistics.median(samples)
    return Comparison(
        name=f"{_MEMORIES:,} memories: {name}",
        ours=milliseconds(median),
        peer="-",
        ratio="-",
        wanted=f"under {milliseconds(_LIMIT)}",
        reached=median < _LIMIT,
    )


def _fill(memory: LongTermMemory) -> None:
    sentences = _sentences(random.Random(0))
    each = _MEMORIES // _SESSIONS
    for session in range(_SESSIONS):
        texts = [f"{next(sentences)} ({session * each + n})" for n in range(each)]
        memory.remember(_USER, texts, session_id=f"s{session}")


def _sentences(chance: random.Random) -> Iterator[str]:
    while True:
        yield f"{chance.choice(_WHO)} {chance.choice(_DOES)} {chance.choice(_WHAT)}"


class _Vectors(Embeddings):
    """Random vectors: what is measured does not depend on what they mean."""

    def __init__(self) -> None:
        self._made = np.random.default_rng(0).standard_normal((997, _DIMENSION)).astype(np.float32).tolist()
        self._next = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:  # noqa: ARG002 - whatever the text is
        self._next += 1
        return self._made[self._next % len(self._made)]
