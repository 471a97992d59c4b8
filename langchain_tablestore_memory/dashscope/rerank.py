"""DashScopeRerank: puts documents in the order of their relevance, with Qwen's reranking models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, PrivateAttr, SecretStr
from typing_extensions import Unpack

from langchain_tablestore_memory.core.checks import check_count, check_text
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.dashscope.checks import check_instruct, check_model
from langchain_tablestore_memory.dashscope.connection import ConnectionOptions, DashScopeConnection
from langchain_tablestore_memory.dashscope.requests import Create, in_lanes
from langchain_tablestore_memory.errors import ConfigurationError, InvalidArgumentError, ServiceError

SCORE_KEY = "relevance_score"
"""The metadata in which LangChain's rerankers say how relevant a document is."""


@dataclass(frozen=True, slots=True)
class _Limits:
    """What a model takes in one request (Model Studio, "Text rerank").

    Attributes:
        documents: Documents.
        item: Tokens of the query, and of each document; the rest is cut off by DashScope.
        tokens: Tokens of all documents, and of the query once for each of them.
    """

    documents: int
    item: int
    tokens: int


_DEFAULT = "qwen3-rerank"
_LIMITS = {
    # Its pages say 30,000 and 120,000. The smaller number costs more requests where there is very much to read.
    _DEFAULT: _Limits(500, 4_000, 30_000),
    "qwen3-vl-rerank": _Limits(100, 8_000, 120_000),
    "gte-rerank-v2": _Limits(500, 4_000, 30_000),
}
_USUAL_LIMITS = _Limits(100, 4_000, 30_000)
"""Of a model that is not listed: the least of each that any listed model takes."""

_DISCONTINUED = frozenset({"gte-rerank"})
"""Switched off on 2026-05-30 (Model Studio, "Text rerank")."""

_BYTES_PER_TOKEN = 3
"""A cautious estimate: a Chinese character, or three letters."""

_LANES = 4
"""Requests in flight, where one does not take all documents."""


class DashScopeRerank(BaseDocumentCompressor):
    """Puts documents in the order of their relevance to a query, and keeps the best.

    A reranking model reads the query and a document together, which tells more than the distance of two embeddings. The
    usual way is to retrieve some twenty to a hundred documents and to keep the best few.

    Documents are returned as copies with `metadata["relevance_score"]` from 0 to 1; ids, and everything else, stay.
    More documents than the model takes at once go out in several requests. A document without text is not sent; it
    counts as irrelevant.

    Args:
        model: The model, such as ``qwen3-rerank``, ``qwen3.7-text-rerank`` or ``qwen3-vl-rerank``.
        top_n: How many documents to keep; None for all.
        instruct: What the search is for, in one English sentence, where the model takes it into account.
        **options: `api_key`, `base_url`, `workspace`, `region`, `timeout` and `retry`, as
            `langchain_tablestore_memory.dashscope.connection.ConnectionOptions` says.

    Raises:
        ConfigurationError: There is no key, the model was discontinued, an option is wrong, or the extra ``dashscope``
            is not installed.
        InvalidArgumentError: `top_n` is less than 1.

    Example:
        ```python
        found = store.as_retriever(search_kwargs={"k": 30}).invoke("tea")
        best = DashScopeRerank(top_n=3).compress_documents(found, "tea")  # key in DASHSCOPE_API_KEY
        ```
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    top_n: int | None
    instruct: str | None
    _connection: DashScopeConnection = PrivateAttr()

    def __init__(
        self,
        model: str = _DEFAULT,
        *,
        top_n: int | None = 3,
        instruct: str | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        if check_model(model, such_as=_DEFAULT) in _DISCONTINUED:
            raise ConfigurationError(f"The model {model!r} was discontinued on 2026-05-30. Use {_DEFAULT!r}.")
        if top_n is not None:
            check_count(top_n, "top_n")
        # What pydantic makes of wrong arguments is long, and quotes them, the key too. By now they are right.
        settings: dict[str, Any] = {"model": model, "top_n": top_n, "instruct": check_instruct(instruct)}
        super().__init__(**settings)
        self._connection = DashScopeConnection(**options)

    @property
    def api_key(self) -> SecretStr:
        """The key."""
        return self._connection.api_key

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - of the interface
    ) -> Sequence[Document]:
        """The most relevant documents, best first.

        Args:
            documents: The documents.
            query: What they are to be relevant to.
            callbacks: Of LangChain's interface; nothing is reported to them.

        Returns:
            Copies of the best `top_n`, with their scores.

        Raises:
            InvalidArgumentError: The query is empty, or what was given are no documents.
            AuthenticationError: DashScope refused the key.
            ConfigurationError: DashScope does not have the model.
            UnavailableError: DashScope could not be reached, or kept failing.
            ServiceError: DashScope refused the request, or did not score each document.
        """
        return self._connection.run("rerank", self._rerank(documents, query))

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - of the interface
    ) -> Sequence[Document]:
        """The async twin of `compress_documents`."""
        return await self._connection.arun("rerank", self._rerank(documents, query))

    def _rerank(self, documents: Any, query: Any) -> Program[list[Document]]:
        _check_query(query)
        texts = _texts(documents)
        sent = [position for position, text in enumerate(texts) if text.strip()]
        batches = _batches(sent, texts, query, _LIMITS.get(self.model, _USUAL_LIMITS))
        answers = yield from in_lanes(
            batches, lambda batch: self._score([texts[position] for position in batch], query), _LANES
        )
        scores = dict.fromkeys(range(len(texts)), 0.0)
        for batch, answer in zip(batches, answers, strict=True):
            scores.update(zip(batch, answer, strict=True))
        # Equally relevant ones stay in the order in which they were found.
        best = sorted(scores, key=lambda position: -scores[position])[: self.top_n]
        return [_scored(documents[position], scores[position]) for position in best]

    def _score(self, texts: list[str], query: str) -> Program[list[float]]:
        """The relevance of each text."""
        options: dict[str, Any] = {
            "model": self.model,
            "query": query,
            "documents": texts,
            "top_n": len(texts),
            "return_documents": False,
        }
        if self.instruct is not None:
            options["instruct"] = self.instruct
        answer = yield Create("rerank", options)
        scores: dict[int, float] = {result.index: result.relevance_score for result in answer.results}
        if len(answer.results) != len(texts) or scores.keys() != set(range(len(texts))):
            raise ServiceError(
                f"The model {self.model!r} returned {len(answer.results)} scores for {len(texts)} documents, or not "
                "one for each. Check model and base_url.",
                api="rerank",
                request_id=answer.request_id or "",
            )
        return [scores[position] for position in range(len(texts))]


def _check_query(query: Any) -> None:
    if not check_text(query, "query").strip():
        raise InvalidArgumentError("query is empty. Give what the documents are to be relevant to.")


def _texts(documents: Any) -> list[str]:
    if isinstance(documents, str) or not isinstance(documents, Sequence):
        raise InvalidArgumentError(f"documents is a {type(documents).__name__}. Give a list of documents.")
    for document in documents:
        if not isinstance(document, Document):
            kind = type(document).__name__
            raise InvalidArgumentError(f"A {kind} was given for a document. Give Document(page_content=...).")
    return [check_text(document.page_content, f"Document {position}") for position, document in enumerate(documents)]


def _batches(positions: Sequence[int], texts: Sequence[str], query: str, limits: _Limits) -> list[list[int]]:
    """Positions of texts, in groups that a model takes in one request."""
    asked = min(_estimated_tokens(query), limits.item)
    batches: list[list[int]] = []
    left = 0
    for position in positions:
        tokens = asked + min(_estimated_tokens(texts[position]), limits.item)
        if not batches or len(batches[-1]) == limits.documents or tokens > left:
            batches.append([])
            left = limits.tokens
        batches[-1].append(position)
        left -= tokens
    return batches


def _estimated_tokens(text: str) -> int:
    return len(text.encode()) // _BYTES_PER_TOKEN + 1


def _scored(document: Document, score: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, SCORE_KEY: score}})
