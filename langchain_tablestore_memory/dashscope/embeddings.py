"""DashScopeEmbeddings: Qwen's text embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.embeddings import Embeddings
from pydantic import SecretStr
from typing_extensions import Unpack

from langchain_tablestore_memory.core.checks import check_count
from langchain_tablestore_memory.core.programs import TOGETHER_LIMIT, Program
from langchain_tablestore_memory.dashscope.connection import ConnectionOptions, DashScopeConnection
from langchain_tablestore_memory.dashscope.requests import Create, in_lanes
from langchain_tablestore_memory.errors import ConfigurationError, EmbeddingError, InvalidArgumentError, ServiceError


@dataclass(frozen=True, slots=True)
class _Model:
    """Limits of a model (Model Studio, "Text embedding: synchronous API").

    Attributes:
        batch: Texts in one request.
        tokens: Tokens in one text.
        dimensions: Numbers in an embedding, the default first.
    """

    batch: int
    tokens: int
    dimensions: tuple[int, ...]


_MODELS = {
    "text-embedding-v1": _Model(25, 2048, (1536,)),
    "text-embedding-v2": _Model(25, 2048, (1536,)),
    "text-embedding-v3": _Model(10, 8192, (1024, 768, 512, 256, 128, 64)),
    "text-embedding-v4": _Model(10, 8192, (1024, 2048, 1536, 768, 512, 256, 128, 64)),
}

_USUAL_BATCH = 10
"""Texts in one request of a model that is not listed: the least that any listed model takes."""

TextType = Literal["query", "document"]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Texts of one request.

    Attributes:
        start: The position of the first one among all.
        texts: The texts.
    """

    start: int
    texts: Sequence[str]


class DashScopeEmbeddings(Embeddings):
    """Text embeddings of Qwen, through DashScope.

    Texts go out in batches of as many as the model takes, several batches at a time; a batch that fails is repeated
    alone. The async methods are async all the way down and work in any number of event loops. Each object uses its own
    key, which is in no repr, no log and no pickle.

    Args:
        model: The model: ``text-embedding-v4``, ``text-embedding-v3``, ``text-embedding-v2``, ``text-embedding-v1`` or
            a newer one.
        dimension: Numbers in an embedding: for v4 one of 2048, 1536, 1024, 768, 512, 256, 128 and 64, for v3 one of
            1024, 768, 512, 256, 128 and 64, 1024 by default; for v1 and v2 1536. For other models what they offer, and
            by default what they choose.
        instruct: What queries are for, in one English sentence; v4 and newer take it into account when it embeds a
            query. Documents are embedded without it.
        batch_size: Texts in one request; by default as many as the model takes, 10 for models that are not listed here.
        concurrency: Requests in flight for one call, 1 to 8.
        **options: `api_key`, `base_url`, `workspace`, `region`, `timeout` and `retry`, as
            `langchain_tablestore_memory.dashscope.connection.ConnectionOptions` says.

    Raises:
        ConfigurationError: There is no key, the model is unknown or cannot have these dimensions, or the extra
            ``dashscope`` is not installed.

    Example:
        ```python
        embeddings = DashScopeEmbeddings("text-embedding-v4", dimension=1024)  # key in DASHSCOPE_API_KEY
        store = TablestoreVectorStore(embeddings, connection=connect("local:./data"))
        ```
    """

    def __init__(
        self,
        model: str = "text-embedding-v4",
        *,
        dimension: int | None = None,
        instruct: str | None = None,
        batch_size: int | None = None,
        concurrency: int = 4,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self.model = check_model(model)
        known = _MODELS.get(model)
        self.dimension = _dimension(dimension, model, known)
        self.instruct = check_instruct(instruct)
        self._batch_size = _batch_size(batch_size, model, known)
        self._concurrency = check_count(concurrency, "concurrency", at_most=TOGETHER_LIMIT)
        self._connection = DashScopeConnection(**options)

    def __repr__(self) -> str:
        return f"DashScopeEmbeddings({self.model!r}, dimension={self.dimension})"

    @property
    def api_key(self) -> SecretStr:
        """The key."""
        return self._connection.api_key

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts that are to be found.

        Args:
            texts: The texts. None may be empty.

        Returns:
            An embedding for each, in order.

        Raises:
            InvalidArgumentError: A text is empty or longer than the model takes; it is named by its position.
            EmbeddingError: The model did not return one embedding of the right kind for each text.
            AuthenticationError: DashScope refused the key.
            ConfigurationError: DashScope does not have the model.
            UnavailableError: DashScope could not be reached, or kept failing.
            ServiceError: DashScope refused the request.
        """
        return self._connection.run("embeddings", self._embed(texts, "document"))

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """The async twin of `embed_documents`."""
        return await self._connection.arun("embeddings", self._embed(texts, "document"))

    def embed_query(self, text: str) -> list[float]:
        """Embed what is looked for. Errors are those of `embed_documents`."""
        return self._connection.run("embeddings", self._embed([text], "query"))[0]

    async def aembed_query(self, text: str) -> list[float]:
        """The async twin of `embed_query`."""
        return (await self._connection.arun("embeddings", self._embed([text], "query")))[0]

    def _embed(self, texts: Any, text_type: TextType) -> Program[list[list[float]]]:
        checked = _texts(texts)
        size = self._batch_size
        batches = [_Batch(start, checked[start : start + size]) for start in range(0, len(checked), size)]
        answers = yield from in_lanes(batches, lambda batch: self._embed_batch(batch, text_type), self._concurrency)
        vectors = [vector for answer in answers for vector in answer]
        sizes = sorted({len(vector) for vector in vectors})
        if len(sizes) > 1:
            raise self._unusable(f"embeddings of {' and '.join(map(str, sizes))} dimensions in one call")
        return vectors

    def _embed_batch(self, batch: _Batch, text_type: TextType) -> Program[list[list[float]]]:
        options: dict[str, Any] = {"model": self.model, "input": list(batch.texts), "text_type": text_type}
        known = _MODELS.get(self.model)
        if self.dimension is not None and (known is None or len(known.dimensions) > 1):
            options["dimension"] = self.dimension
        if self.instruct is not None and text_type == "query":
            options["instruct"] = self.instruct
        try:
            answer = yield Create("embeddings", options)
        except ServiceError as error:
            if "length" in str(error) and 400 <= error.status < 500:  # noqa: PLR2004
                raise self._too_long(batch) from error
            raise
        return self._vectors(answer, len(batch.texts))

    def _vectors(self, answer: Any, number: int) -> list[list[float]]:
        """The embeddings in an answer, in the order of the texts, once they are what was asked for."""
        by_position: dict[int, list[float]] = {item.index: item.embedding for item in answer.embeddings}
        if len(answer.embeddings) != number:
            raise self._unusable(f"{len(answer.embeddings)} embeddings for {number} texts")
        if by_position.keys() != set(range(number)):
            raise self._unusable("embeddings that are not numbered as the texts are")
        vectors = [by_position[position] for position in range(number)]
        for vector in vectors:
            if self.dimension is not None and len(vector) != self.dimension:
                raise self._unusable(f"an embedding of {len(vector)} dimensions where {self.dimension} were expected")
            if not vector or not math.isfinite(sum(vector)):
                raise self._unusable("an embedding that holds no numbers")
        return vectors

    def _unusable(self, what: str) -> EmbeddingError:
        return EmbeddingError(f"The model {self.model!r} returned {what}. Check model and base_url.", failed=())

    def _too_long(self, batch: _Batch) -> InvalidArgumentError:
        """The error for a text that the model does not take. DashScope does not say which one."""
        position = max(range(len(batch.texts)), key=lambda index: len(batch.texts[index]))
        known = _MODELS.get(self.model)
        limit = f"at most {known.tokens} tokens" if known else "fewer tokens"
        return InvalidArgumentError(
            f"A text is longer than the model {self.model!r} takes, which is {limit}: probably text "
            f"{batch.start + position}, of {len(batch.texts[position])} characters. Split it, for instance with "
            "RecursiveCharacterTextSplitter of langchain-text-splitters."
        )


def check_model(model: Any) -> str:
    """Check the name of a model.

    Raises:
        ConfigurationError: It is no name.
    """
    if not isinstance(model, str) or not model.strip():
        raise ConfigurationError(f"model is {model!r}. Give the name of a model, such as 'text-embedding-v4'.")
    return model


def check_instruct(instruct: Any) -> str | None:
    """Check an instruction that may be left out.

    Raises:
        ConfigurationError: It is no text.
    """
    if instruct is not None and (not isinstance(instruct, str) or not instruct.strip()):
        raise ConfigurationError("instruct is no text. Give one English sentence, or None.")
    return instruct


def _dimension(given: Any, model: str, known: _Model | None) -> int | None:
    if given is None:
        return known.dimensions[0] if known else None
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigurationError(f"dimension is {given!r}. Give an int, at least 1.")
    if known and given not in known.dimensions:
        allowed = ", ".join(map(str, sorted(known.dimensions)))
        raise ConfigurationError(f"The model {model!r} has no embeddings of {given} dimensions. Give one of {allowed}.")
    return given


def _batch_size(given: Any, model: str, known: _Model | None) -> int:
    if given is None:
        return known.batch if known else _USUAL_BATCH
    return check_count(given, f"batch_size of {model!r}", at_most=known.batch if known else None)


def _texts(texts: Any) -> list[str]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise InvalidArgumentError(f"texts is a {type(texts).__name__}. Give a list of str.")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidArgumentError(f"Text {position} is a {type(text).__name__}. Give a str.")
        if not text:
            raise InvalidArgumentError(f"Text {position} is empty. DashScope embeds no empty text: leave it out.")
    return list(texts)
