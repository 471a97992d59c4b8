"""What the tests of long-term memory share: a clock that is set, and embedding models that do what a test needs."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable

from langchain_core.embeddings import Embeddings

SECOND = 1_000_000
START = 1_760_000_000 * SECOND

_WORD = re.compile(r"[\u4e00-\u9fff]|\w+")


class Clock:
    """A clock that stands still until it is moved on."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


class WordEmbeddings(Embeddings):
    """Texts with the same words (or Chinese characters) are near each other. Keeps what it was asked.

    Attributes:
        size: Numbers in a vector.
        asked: The texts so far.
    """

    def __init__(self, size: int = 256) -> None:
        self.size = size
        self.asked: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.asked += texts
        return [self._vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._vector(text)

    def _vector(self, text: str) -> list[float]:
        vector = [0.001] * self.size
        for word in _WORD.findall(text.lower()):
            digest = hashlib.blake2b(word.encode(), digest_size=4).digest()
            vector[int.from_bytes(digest) % self.size] += 1.0
        length = math.hypot(*vector)
        return [number / length for number in vector]


class SpoiltEmbeddings(WordEmbeddings):
    """A model whose answers for texts are spoilt by a function, once `spoil` is set."""

    spoil: Callable[[list[list[float]]], object] | None = None

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors = super().embed_documents(texts)
        return vectors if self.spoil is None else self.spoil(vectors)  # type: ignore[return-value]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def texts_of(memories: object) -> list[str]:
    """The texts of memories, or of a page of them."""
    items = getattr(memories, "items", memories)
    return [memory.text for memory in items]
