"""Adding documents to a vector store: read, embedded and written in a pipeline.

While some documents are written, the next ones are embedded, several calls at a time. So an iterable of any length is
read as it goes, the model and the table are busy together, and no more than a few batches are held in memory. What goes
wrong half-way ends it: whatever was embedded by then is written, and the error names what is stored and what is not.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from langchain_tablestore_memory.core.checks import check_id
from langchain_tablestore_memory.core.documents import Document, document_name
from langchain_tablestore_memory.core.programs import Flow, Program
from langchain_tablestore_memory.core.writes import MAX_ROWS, some_of
from langchain_tablestore_memory.embedders import embed_texts
from langchain_tablestore_memory.errors import (
    ConfigurationError,
    EmbeddingError,
    InvalidArgumentError,
    ServiceError,
    WriteError,
)

if TYPE_CHECKING:
    from langchain_core.documents import Document as LangChainDocument
    from langchain_core.embeddings import Embeddings

_END = object()

_BATCHES_AHEAD = 2
"""How many times what is written, or embedded, at a time is held ready for it."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How documents are grouped.

    Attributes:
        write: Documents written at a time, in as few requests as the service takes (200 rows or 4 MB each).
        embedding: Texts in one call of the embedding model.
        concurrency: Calls of the embedding model in flight, 1 to 8.
    """

    write: int
    embedding: int
    concurrency: int

    @property
    def rows(self) -> int:
        """Documents in one write: no more than one request takes, so that one is made while another is on its way."""
        return min(self.write, MAX_ROWS)

    @property
    def writes(self) -> int:
        """Writes in flight."""
        return self.write // self.rows


@dataclass(slots=True, eq=False)
class _Batch:
    """Documents that are embedded, or written, together.

    Attributes:
        documents: The documents; once done, those of which it succeeded.
        done: Whether it has ended.
    """

    documents: list[Document]
    done: bool = False


@dataclass(slots=True)
class Ingestion:
    """Documents on their way from their source into the table.

    Attributes:
        documents: The documents, without embeddings. What is no list is read as it goes.
        embedding: The model; None stores them without embeddings.
        put: Makes the program that stores embedded documents.
        tenant_id: Whose they are; None where documents have no tenants.
        batching: How they are grouped.
        progress: What is told how many more documents were stored.
    """

    documents: Iterable[Document]
    embedding: Embeddings | None
    put: Callable[[Sequence[Document]], Program[None]]
    tenant_id: str | None
    batching: Batching
    progress: Progress
    _source: Iterator[Document] = field(init=False)
    _at_end: bool = field(default=False, init=False)
    _read: list[str] = field(default_factory=list, init=False)
    _embeddings: deque[_Batch] = field(default_factory=deque, init=False)
    _embedded: list[Document] = field(default_factory=list, init=False)
    _writes: list[_Batch] = field(default_factory=list, init=False)
    _stored: Counter[str] = field(default_factory=Counter, init=False)
    _failures: list[Exception] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._source = iter(self.documents)

    def run(self) -> Program[list[str]]:
        """Store all documents.

        Returns:
            Their ids, in order.

        Raises:
            EmbeddingError: The model failed or did not return a vector for each text.
            WriteError: Some are not known to be stored. Both name, by id, what is stored and what is not.
            InvalidArgumentError: A document cannot be stored; it is named.
        """
        yield Flow(self._next, self.batching.concurrency + self.batching.writes)
        if self._failures:
            raise self._described(self._failures[0])
        return self._read

    def _next(self) -> Program[None] | None:
        """What can begin now: a write of what is embedded, or a call of the model. None where something has to end."""
        while self._embeddings and self._embeddings[0].done:
            # In the order in which they were read, whichever ended first.
            self._embedded += self._embeddings.popleft().documents
        for batch in [batch for batch in self._writes if batch.done]:
            self._writes.remove(batch)
            self._stored.update(document.document_id for document in batch.documents)
            self.progress.update(len(batch.documents))
        return self._next_write() or self._next_embedding() or self._next_write()

    def _next_write(self) -> Program[None] | None:
        # The first goes alone, because it may have to make the table.
        if len(self._writes) >= (self.batching.writes if self._stored else 1):
            return None
        # Of several with one id the last counts: it is written when the one before it is.
        writing = {document.document_id for batch in self._writes for document in batch.documents}
        batch = _Batch([])
        rest: list[Document] = []
        for document in self._embedded:
            room = len(batch.documents) < self.batching.rows and document.document_id not in writing
            (batch.documents if room else rest).append(document)
        more_to_come = self._embeddings or not (self._at_end or self._failures)
        if not batch.documents or (len(batch.documents) < self.batching.rows and more_to_come):
            return None
        self._embedded = rest
        self._writes.append(batch)
        return self._write(batch)

    def _next_embedding(self) -> Program[None] | None:
        in_flight = sum(not batch.done for batch in self._embeddings)
        if in_flight >= self.batching.concurrency or self._is_ahead():
            return None
        documents = self._read_some()
        if not documents:
            return None
        batch = _Batch(documents)
        self._embeddings.append(batch)
        return self._embed(batch)

    def _is_ahead(self) -> bool:
        """Whether so much is embedded that reading waits for writing, or one slow call of the model for another."""
        return (
            len(self._embedded) >= _BATCHES_AHEAD * self.batching.write
            or len(self._embeddings) >= _BATCHES_AHEAD * self.batching.concurrency
        )

    def _read_some(self) -> list[Document]:
        """The documents that are embedded next; none at the end, or once something has failed."""
        documents: list[Document] = []
        if self._at_end or self._failures:
            return documents
        try:
            # Not list(): what came before an error has to be kept.
            documents.extend(islice(self._source, self.batching.embedding))
        except Exception as error:  # noqa: BLE001 - whatever the source raised is raised again in the end
            self._failures.append(error)
        self._at_end = not documents
        self._read += [document.document_id for document in documents]
        return documents

    def _embed(self, batch: _Batch) -> Program[None]:
        """Give documents their embeddings. What of them has none is not in the batch any more."""
        if self.embedding is not None:
            try:
                yield from self._ask(self.embedding, batch.documents)
            except EmbeddingError as error:
                self._failures.append(error)
                batch.documents = []
        batch.done = True

    @staticmethod
    def _ask(model: Embeddings, documents: Sequence[Document]) -> Program[None]:
        vectors = yield from embed_texts(model, [document.text or "" for document in documents])
        for document, vector in zip(documents, vectors, strict=True):
            if vector is None:
                raise EmbeddingError(
                    f"The embedding model returned no vector for the text of {document.document_id!r}.", failed=()
                )
            document.embedding = vector

    def _write(self, batch: _Batch) -> Program[None]:
        """Store documents. What of them is not known to be stored is not in the batch any more."""
        try:
            yield from self.put(batch.documents)
        except Exception as error:  # noqa: BLE001 - raised again in the end
            self._failures.append(error)
            stored = set(error.stored) if isinstance(error, WriteError) else set()
            batch.documents = [d for d in batch.documents if document_name(d.document_id, self.tenant_id) in stored]
        batch.done = True

    def _described(self, error: Exception) -> Exception:
        """The error that says what became of all documents."""
        at_hand = isinstance(self.documents, Sequence)
        if at_hand:
            # Those that it did not come to are not stored either.
            self._read = [document.document_id for document in self.documents]
        named = "them all" if at_hand else "all that were read"
        # Of several with one id the last counts: it is stored when all of them are.
        read = Counter(self._read)
        failed = [document_id for document_id, times in read.items() if self._stored[document_id] < times]
        stored = [document_id for document_id, times in read.items() if self._stored[document_id] == times]
        state = (
            f"{len(stored)} documents are stored, {len(failed)} are not: {some_of([*map(repr, failed)])}. Adding the "
            f"same documents with the same ids again is harmless; `failed` and `stored` name {named}."
        )
        if isinstance(error, EmbeddingError):
            return _caused(EmbeddingError(f"{error} {state}", failed=failed, stored=stored), error.__cause__)
        if isinstance(error, WriteError) or (isinstance(error, ServiceError) and stored):
            described = WriteError.over(
                error,
                f"{error.__cause__ or error} {state}",
                failed=failed,
                stored=stored,
            )
            return _caused(described, error)
        if stored:
            error.add_note(f"Before this, {state}")
        return error


# What is added


def documents_of_texts(texts: Any, metadatas: Any, ids: Any, tenant: str) -> Iterable[Document]:
    """Documents made of texts, and of metadata and ids where they are given, one for each text.

    What is a list is checked at once, what is read only once is checked as it goes.

    Args:
        texts: The texts.
        metadatas: A dict for each, or None.
        ids: An id for each, or None, which makes one up.
        tenant: Whose they are.

    Raises:
        InvalidArgumentError: There are not as many of one as of the other, or something is of a wrong type.
    """
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise InvalidArgumentError(f"texts is a {type(texts).__name__}. Give a list of str.")
    if isinstance(ids, str):
        raise InvalidArgumentError("ids is a str. Give a list of them.")
    for name, others in (("metadatas", metadatas), ("ids", ids)):
        if isinstance(texts, Sized) and isinstance(others, Sized) and len(others) != len(texts):
            raise InvalidArgumentError(f"{len(texts)} texts and {len(others)} {name} were given. Give one for each.")
    documents = _paired(texts, metadatas, ids, tenant)
    everything = all(others is None or isinstance(others, Sequence) for others in (texts, metadatas, ids))
    return list(documents) if everything else documents


def documents_of_langchain(documents: Any, ids: Any, tenant: str) -> Iterable[Document]:
    """The same of LangChain's documents. Where ids are given, they count; otherwise those of the documents."""
    if not isinstance(documents, Iterable) or isinstance(documents, str):
        raise InvalidArgumentError(f"documents is a {type(documents).__name__}. Give a list of documents.")
    if ids is not None:
        kept = list(documents)
        return documents_of_texts(
            [_content(document) for document in kept], [document.metadata for document in kept], ids, tenant
        )
    made = (_document(_content(document), document.metadata, document.id, tenant) for document in documents)
    return list(made) if isinstance(documents, Sequence) else made


def documents_of_embeddings(text_embeddings: Any, metadatas: Any, ids: Any, tenant: str) -> Iterable[Document]:
    """The same of texts that have their embeddings beside them."""
    if isinstance(text_embeddings, str) or not isinstance(text_embeddings, Iterable):
        raise InvalidArgumentError(
            f"text_embeddings is a {type(text_embeddings).__name__}. Give a list of texts with vectors: "
            '[("text", [0.1, ...])].'
        )
    made = _embedded(text_embeddings, metadatas, ids, tenant)
    return list(made) if isinstance(text_embeddings, Sequence) else made


def _embedded(text_embeddings: Iterable[Any], metadatas: Any, ids: Any, tenant: str) -> Iterator[Document]:
    vector: Any = None

    def texts() -> Iterator[Any]:
        nonlocal vector
        for pair in text_embeddings:
            if not isinstance(pair, tuple | list) or len(pair) != 2 or pair[1] is None:  # noqa: PLR2004 - a pair
                raise InvalidArgumentError(
                    f"text_embeddings holds a {type(pair).__name__} that is no text with a vector. Give pairs: "
                    '[("text", [0.1, ...])].'
                )
            text, vector = pair
            yield text

    # Each document is made before the next text is read.
    for document in documents_of_texts(texts(), metadatas, ids, tenant):
        document.embedding = vector
        yield document


def _paired(texts: Iterable[Any], metadatas: Any, ids: Any, tenant: str) -> Iterator[Document]:
    others = {"metadatas": metadatas, "ids": ids}
    iterators = {name: iter(given) for name, given in others.items() if given is not None}
    for position, text in enumerate(texts):
        beside = {name: next(iterator, _END) for name, iterator in iterators.items()}
        for name, value in beside.items():
            if value is _END:
                raise InvalidArgumentError(f"More texts than {name} were given ({position}). Give one for each.")
        yield _document(text, beside.get("metadatas"), beside.get("ids"), tenant)
    for name, iterator in iterators.items():
        if next(iterator, _END) is not _END:
            raise InvalidArgumentError(f"More {name} than texts were given. Give one for each.")


def _document(text: Any, metadata: Any, document_id: Any, tenant: str) -> Document:
    if not isinstance(text, str):
        raise InvalidArgumentError(f"A text is a {type(text).__name__}. Give a str.")
    if metadata is not None and not isinstance(metadata, dict):
        raise InvalidArgumentError(f"The metadata of a text is a {type(metadata).__name__}. Give a dict.")
    document_id = str(uuid4()) if document_id is None else check_id(document_id, "id")
    return Document(document_id, tenant, text=text, metadata=dict(metadata or {}))


def _content(document: LangChainDocument) -> str:
    if not hasattr(document, "page_content"):
        raise InvalidArgumentError(
            f"A {type(document).__name__} was given for a document. Give Document(page_content=...)."
        )
    return document.page_content


# Progress


class Progress(Protocol):
    """What is told of progress."""

    def update(self, number: int) -> Any:
        """So many more documents were stored."""
        ...


class _Silence:
    def update(self, number: int) -> None:
        pass


def progress_bar(documents: Any, *, show: bool) -> AbstractContextManager[Progress]:
    """A progress bar, where one is wanted.

    Raises:
        ConfigurationError: tqdm is not installed.
    """
    if not show:
        return nullcontext(_Silence())
    try:
        from tqdm.auto import tqdm  # noqa: PLC0415 - only where it is wanted
    except ImportError:
        raise ConfigurationError("show_progress needs tqdm. Install it with: pip install tqdm") from None
    total = len(documents) if isinstance(documents, Sized) else None
    bar: AbstractContextManager[Progress] = tqdm(total=total, unit="documents")
    return bar


def _caused(error: Exception, cause: BaseException | None) -> Exception:
    error.__cause__ = cause
    return error
