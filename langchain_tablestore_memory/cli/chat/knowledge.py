"""A folder of texts that the chat looks things up in. Files that have not changed are not embedded again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from langchain_core.documents import Document

from langchain_tablestore_memory.cli.chat.folder import LeftOut, TextFile, read_text
from langchain_tablestore_memory.core.knowledge import KnowledgeStore
from langchain_tablestore_memory.vectorstores import TablestoreVectorStore

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_tablestore_memory.cli.chat.models import Recall
    from langchain_tablestore_memory.connection import Connection

TABLE = "chat_knowledge"

_FIELDS: Mapping[str, type] = {"source": str, "passage": int}
_PASSAGE = 1000
"""Characters of a passage, about what an embedding model takes in as a whole."""
_BATCH = 256
"""Passages that are stored before the files that they come from count as done."""
_FOUND = 4
_QUESTION = 1000
_PARAGRAPHS = re.compile(r"\n\s*\n|\n(?=#{1,6} )")
_SENTENCES = re.compile(r"(?<=[.!?。！？；])\s*|\n")  # noqa: RUF001 - Chinese punctuation is meant


class Passage(NamedTuple):
    """A passage that was found.

    Attributes:
        source: The file, relative to the folder.
        text: The passage.
    """

    source: str
    text: str


@dataclass(slots=True)
class Changes:
    """What indexing a folder came to.

    Attributes:
        indexed: Files that were new or had changed.
        unchanged: Files that were left alone.
        removed: Files that are no more.
    """

    indexed: int = 0
    unchanged: int = 0
    removed: int = 0

    def __str__(self) -> str:
        return f"{self.indexed} indexed, {self.unchanged} unchanged, {self.removed} removed"


class Knowledge:
    """The passages of one folder.

    Args:
        connection: Where they are kept.
        folder: The folder. Its passages are found, changed and removed without touching those of others.
        recall: How they are found.
    """

    def __init__(self, connection: Connection, folder: Path, recall: Recall) -> None:
        self._folder = folder
        self._recall = recall
        # Vectors of one model mean nothing to another, so each model has a table of its own.
        table = TABLE if recall.embeddings is None else f"{TABLE}_{_table_suffix(recall)}"
        self._tenant = str(folder)
        self._store = TablestoreVectorStore(
            recall.embeddings,
            connection=connection,
            table_name=table,
            dimension=recall.dimension,
            filterable=_FIELDS,
            tenant_id=self._tenant,
        )
        self._records = KnowledgeStore(
            connection, recall.dimension, enable_multi_tenant=True, table_name=table, filterable=_FIELDS
        )

    def update(self, files: Sequence[Path], left_out: LeftOut, tell: Callable[[int], None]) -> Changes:
        """Bring the passages up to date with the folder.

        Args:
            files: Its files.
            left_out: Told of those that cannot be read.
            tell: Told of so many more files that are done.

        Raises:
            EmbeddingError: The model failed. Calling it again goes on where it ended.
            ServiceError: The table cannot be reached. The same.
        """
        self._store.setup()
        changes = Changes()
        known = self._known()
        waiting: list[tuple[TextFile, list[Document]]] = []
        for path in files:
            source = path.relative_to(self._folder).as_posix()
            was = known.pop(source, None)
            file = read_text(path, source, left_out)
            if file is not None and was == file.digest:
                changes.unchanged += 1
                tell(1)
                continue
            if was is not None:
                self._remove(source)
            if file is None:
                tell(1)
                continue
            changes.indexed += 1
            waiting.append((file, _documents(file)))
            if sum(len(documents) for _, documents in waiting) >= _BATCH:
                self._add(waiting, tell)
                waiting = []
        self._add(waiting, tell)
        for source in known:
            self._remove(source)
            changes.removed += 1
        self._store.wait_until_searchable()
        return changes

    def search(self, question: str) -> Sequence[Passage]:
        """The passages that fit a question best, best first."""
        question = question[:_QUESTION]
        if self._recall.embeddings is None:
            found = self._store.full_text_search(question, k=_FOUND)
        elif self._recall.score_threshold is None:
            found = self._store.hybrid_search(question, k=_FOUND)
        else:
            found = self._store.similarity_search(question, _FOUND, score_threshold=self._recall.score_threshold)
        return [Passage(document.metadata["source"], document.page_content) for document in found]

    def _known(self) -> dict[str, str]:
        """The digests of the files that were indexed as a whole."""
        first = self._records.list_documents(self._tenant, {"passage": 0})
        return {document.metadata["source"]: document.metadata.get("digest", "") for document in first}

    def _add(self, files: Sequence[tuple[TextFile, list[Document]]], tell: Callable[[int], None]) -> None:
        documents = [document for _, made in files for document in made]
        if not documents:
            return
        self._store.add_documents(documents)
        # Only now do the files count as indexed: what is interrupted before is done again.
        self._store.update_metadata({str(made[0].id): {"digest": file.digest} for file, made in files})
        tell(len(files))

    def _remove(self, source: str) -> None:
        self._store.delete(filter={"source": source})


def passages(text: str) -> Iterator[str]:
    """Cut a text into passages of at most 1000 characters, between paragraphs where that is possible."""
    passage = ""
    for part in _parts(text):
        if passage and len(passage) + len(part) + 2 > _PASSAGE:
            yield passage
            passage = part
        else:
            passage = f"{passage}\n\n{part}" if passage else part
    if passage:
        yield passage


def _parts(text: str) -> Iterator[str]:
    """Paragraphs; those that are too long as sentences, and sentences that are too long in pieces."""
    for paragraph in _PARAGRAPHS.split(text):
        if len(paragraph) <= _PASSAGE:
            pieces = [paragraph]
        else:
            pieces = [
                sentence[start : start + _PASSAGE]
                for sentence in _SENTENCES.split(paragraph)
                for start in range(0, len(sentence), _PASSAGE)
            ]
        yield from (piece.strip() for piece in pieces if piece.strip())


def _documents(file: TextFile) -> list[Document]:
    """The passages of a file. An empty one has a single empty passage, so that it is known the next time."""
    prefix = hashlib.sha256(file.source.encode()).hexdigest()[:24]
    return [
        Document(id=f"{prefix}-{number}", page_content=text, metadata={"source": file.source, "passage": number})
        for number, text in enumerate(list(passages(file.text)) or [""])
    ]


def _table_suffix(recall: Recall) -> str:
    name = getattr(recall.embeddings, "model", "offline")
    return re.sub(r"\W", "_", str(name))
