"""The knowledge of the demonstration: the cookbook's documents, made searchable by meaning and by words."""
# ruff: noqa: RUF001 - Chinese punctuation is meant

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.messages import HumanMessage

from langchain_tablestore_memory import ConfigurationError, OfflineEmbeddings, TablestoreVectorStore

if TYPE_CHECKING:
    from langchain_tablestore_memory import Connection
    from langchain_tablestore_memory.vectorstores import SearchType

QUESTIONS = (
    "How hot should the water be?",
    "breakfast dumplings",
    "Which dish is named after a poet?",
    "西安有什么不放肉的小吃？",
)
"""In this order: easy; answered in the other language; told apart by its words; in Chinese."""

_PASSAGES_PER_ANSWER = 3


class Knowledge:
    """Documents in a table of their own, by paragraphs.

    Args:
        connection: Where the table is.

    Attributes:
        searches: The searches that are possible, by what to call them: all of them where the offline embedding model is
            installed, else the search by words alone.
        missing: What to install for the others; empty if nothing.
    """

    def __init__(self, connection: Connection) -> None:
        self.missing = ""
        self.searches: dict[str, SearchType] = {"By words": "full_text"}
        embeddings, table_name = None, "knowledge_words"
        try:
            embeddings, table_name = OfflineEmbeddings(), "knowledge"
        except ConfigurationError as error:
            self.missing = str(error)
        else:
            self.searches = {"By meaning": "similarity", "By words": "full_text", "By both": "hybrid"}
        self._store = TablestoreVectorStore(embeddings, connection=connection, table_name=table_name)

    def add(self) -> tuple[int, int]:
        """Store the documents. Those of an earlier run are replaced.

        Returns:
            How many documents there are, and how many paragraphs.
        """
        documents = list(_documents(documents_folder()))
        self._store.add_documents(documents)
        self._store.wait_until_searchable()
        return len({document.metadata["source"] for document in documents}), len(documents)

    def found(self, question: str, search_type: SearchType) -> str:
        """The document that answers a question best; empty where the search finds none."""
        found = self._store.search(question, search_type, k=1)
        return str(found[0].metadata["source"]) if found else ""

    def passages(self, given: dict[str, Any]) -> str:
        """What the documents say on a conversation, each passage behind a label with its source.

        Args:
            given: The conversation so far as ``history``, and the ``question``. Both are searched for: "Where shall I
                go?" says nothing of what the user likes, the lines before it do.
        """
        said = [message.text for message in given["history"] if isinstance(message, HumanMessage)]
        *_, search_type = self.searches.values()
        found = self._store.search("\n".join([*said, given["question"]]), search_type, k=_PASSAGES_PER_ANSWER)
        return "\n".join(f"[{passage.metadata['source']}] {passage.page_content}" for passage in found)


def documents_folder() -> Path:
    """Where the documents are: beside this file where the package is installed, in the cookbook in a clone."""
    beside = Path(__file__).with_name("documents")
    return beside if beside.is_dir() else Path(__file__).parents[2] / "cookbook" / "documents"


def _documents(folder: Path) -> Iterator[Document]:
    paths: Iterable[Path] = sorted(folder.glob("*/*.md"))
    for path in paths:
        _title, *paragraphs = path.read_text(encoding="utf-8").strip().split("\n\n")
        source = path.relative_to(folder).as_posix()
        for number, paragraph in enumerate(paragraphs, start=1):
            yield Document(paragraph, id=f"{source}#{number}", metadata={"source": source})
