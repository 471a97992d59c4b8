"""DashScopeEmbeddings: Qwen's text embeddings."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.embeddings import Embeddings
from pydantic import SecretStr
from typing_extensions import Unpack

from langchain_tablestore_memory.core.checks import check_count, check_text
from langchain_tablestore_memory.core.programs import TOGETHER_LIMIT, Outside, Program
from langchain_tablestore_memory.dashscope.checks import check_instruct, check_model
from langchain_tablestore_memory.dashscope.connection import ConnectionOptions, DashScopeConnection
from langchain_tablestore_memory.dashscope.requests import Create, in_lanes
from langchain_tablestore_memory.dashscope.tokens import count_tokens
from langchain_tablestore_memory.errors import ConfigurationError, EmbeddingError, InvalidArgumentError, ServiceError


@dataclass(frozen=True, slots=True)
class _Model:
    """Limits of a model (Model Studio, "Text embedding: synchronous API").

    Attributes:
        batch: Texts in one request.
        tokens: Tokens in one text. What is longer is cut off without a word.
        dimensions: Numbers in an embedding, the default first.
        instructed: Whether it takes an instruction into account.
    """

    batch: int
    tokens: int
    dimensions: tuple[int, ...]
    instructed: bool = False


_MODELS = {
    "text-embedding-v1": _Model(25, 2048, (1536,)),
    "text-embedding-v2": _Model(25, 2048, (1536,)),
    "text-embedding-v3": _Model(10, 8192, (1024, 768, 512, 256, 128, 64)),
    "text-embedding-v4": _Model(10, 8192, (1024, 2048, 1536, 768, 512, 256, 128, 64), instructed=True),
    "qwen3.7-text-embedding": _Model(20, 128_000, (1024, 2560, 2048, 1536, 768, 512, 256), instructed=True),
    "qwen3.7-text-embedding-flash": _Model(20, 128_000, (1024, 768, 512, 256), instructed=True),
}
_DEFAULT = "text-embedding-v4"

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

    def longest(self) -> str:
        """Which text is probably meant where DashScope finds one too long. It does not say which."""
        position = max(range(len(self.texts)), key=lambda index: len(self.texts[index]))
        return f"A text has too many tokens, probably text {self.start + position}"


class DashScopeEmbeddings(Embeddings):
    """Text embeddings of Qwen, through DashScope.

    | model | dimensions | texts in a request | tokens in a text |
    |---|---|---|---|
    | `text-embedding-v4` | 64, 128, 256, 512, 768, **1024**, 1536, 2048 | 10 | 8,192 |
    | `qwen3.7-text-embedding` | 256, 512, 768, **1024**, 1536, 2048, 2560 | 20 | 128,000 |
    | `qwen3.7-text-embedding-flash` | 256, 512, 768, **1024** | 20 | 128,000 |
    | `text-embedding-v3` | 64, 128, 256, 512, 768, **1024** | 10 | 8,192 |
    | `text-embedding-v2`, `text-embedding-v1` | **1536** | 25 | 2,048 |

    Texts go out in batches of as many as the model takes, several batches at a time; a batch that fails is repeated
    alone. A text of too many tokens is refused, since DashScope would cut it off without a word. The async methods are
    async all the way down and work in any number of event loops. Each object uses its own key, which is in no repr, no
    log and no pickle.

    Args:
        model: One of these, or another one, of which nothing is known here.
        dimension: Numbers in an embedding; by default those in bold, and for other models what they choose.
        instruct: What queries are for, in one English sentence; v4 and newer take it into account when they embed a
            query. Documents are embedded without it.
        batch_size: Texts in one request; by default as many as the model takes, and 10 for other models.
        concurrency: Requests in flight for one call, 1 to 8.
        **options: `api_key`, `base_url`, `workspace`, `region`, `timeout` and `retry`, as
            `langchain_tablestore_memory.dashscope.connection.ConnectionOptions` says.

    Raises:
        ConfigurationError: There is no key, the model cannot have these dimensions, an option is wrong, or the extra
            ``dashscope`` is not installed.
        InvalidArgumentError: `batch_size` or `concurrency` is out of range.

    Example:
        ```python
        embeddings = DashScopeEmbeddings("text-embedding-v4", dimension=1024)  # key in DASHSCOPE_API_KEY
        store = TablestoreVectorStore(embeddings, connection=connect("local:./data"))
        ```
    """

    def __init__(
        self,
        model: str = _DEFAULT,
        *,
        dimension: int | None = None,
        instruct: str | None = None,
        batch_size: int | None = None,
        concurrency: int = 4,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self.model = check_model(model, such_as=_DEFAULT)
        known = _MODELS.get(model)
        self.dimension = _dimension(dimension, model, known)
        self.instruct = _instruct(instruct, model, known)
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
            InvalidArgumentError: A text is empty or has more tokens than the model takes; it is named by its position.
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
        yield from self._check_lengths(checked)
        size = self._batch_size
        batches = [_Batch(start, checked[start : start + size]) for start in range(0, len(checked), size)]
        answers = yield from in_lanes(batches, lambda batch: self._embed_batch(batch, text_type), self._concurrency)
        vectors = [vector for answer in answers for vector in answer]
        sizes = sorted({len(vector) for vector in vectors})
        if len(sizes) > 1:
            raise self._unusable(f"embeddings of {' and '.join(map(str, sizes))} dimensions in one call")
        return vectors

    def _check_lengths(self, texts: Sequence[str]) -> Program[None]:
        """Refuse texts of which a part would be cut off."""
        known = _MODELS.get(self.model)
        if known is None:
            return
        # No text has more tokens than bytes, so that few have to be counted.
        long = [position for position, text in enumerate(texts) if len(text.encode()) > known.tokens]

        def count() -> list[int]:
            return [count_tokens(texts[position]) for position in long]

        if not long:
            return
        for position, tokens in zip(long, (yield Outside(count, lambda: asyncio.to_thread(count))), strict=True):
            if tokens > known.tokens:
                raise self._too_long(f"Text {position} has {tokens} tokens", known)

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
                raise self._too_long(batch.longest(), known) from error
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

    def _too_long(self, what: str, known: _Model | None) -> InvalidArgumentError:
        limit = f"takes {known.tokens}" if known else "takes fewer"
        return InvalidArgumentError(
            f"{what}; the model {self.model!r} {limit}. Split it, for instance with RecursiveCharacterTextSplitter of "
            "langchain-text-splitters."
        )


def _dimension(given: Any, model: str, known: _Model | None) -> int | None:
    if given is None:
        return known.dimensions[0] if known else None
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigurationError(f"dimension is {given!r}. Give an int, at least 1.")
    if known and given not in known.dimensions:
        allowed = ", ".join(map(str, sorted(known.dimensions)))
        raise ConfigurationError(f"The model {model!r} has no embeddings of {given} dimensions. Give one of {allowed}.")
    return given


def _instruct(given: Any, model: str, known: _Model | None) -> str | None:
    instruct = check_instruct(given)
    if instruct is not None and known and not known.instructed:
        raise ConfigurationError(f"The model {model!r} takes no instruct. Leave it out, or take {_DEFAULT!r}.")
    return instruct


def _batch_size(given: Any, model: str, known: _Model | None) -> int:
    if given is None:
        return known.batch if known else _USUAL_BATCH
    return check_count(given, f"batch_size of {model!r}", at_most=known.batch if known else None)


def _texts(texts: Any) -> list[str]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise InvalidArgumentError(f"texts is a {type(texts).__name__}. Give a list of str.")
    for position, text in enumerate(texts):
        if not check_text(text, f"Text {position}"):
            raise InvalidArgumentError(f"Text {position} is empty. DashScope embeds no empty text: leave it out.")
    return list(texts)
