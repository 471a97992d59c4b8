"""An embedding model whose vectors can be read, and that fails when told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.embeddings import Embeddings

TOPICS = ("tea", "coffee", "bread", "rice")


class TopicEmbeddings(Embeddings):
    """Counts topics in a text; a little of everything in each, so that no vector is zero.

    Attributes:
        calls: How many texts each call of `embed_documents` had.
        queries: The queries that were embedded.
        asynchronous: How many of all calls were async.
        answer: What to return in place of the vectors, made of them; may raise.
    """

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.queries: list[str] = []
        self.asynchronous = 0
        self.answer: Callable[[Sequence[str], list[list[float]]], Any] = lambda _, vectors: vectors
        self.meet: threading.Barrier | None = None

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(len(texts))
        if self.meet is not None:
            self.meet.wait(timeout=10)
        return self.answer(texts, [vector(text) for text in texts])

    def embed_query(self, text: str) -> list[float]:
        self.queries.append(text)
        return vector(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.asynchronous += 1
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        self.asynchronous += 1
        return self.embed_query(text)


def vector(text: str) -> list[float]:
    return [text.count(topic) + 0.1 for topic in TOPICS]
