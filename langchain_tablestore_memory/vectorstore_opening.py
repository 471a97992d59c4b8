"""Opening the knowledge table behind a vector store: how many numbers an embedding has is found out when it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tablestore_memory.core.knowledge import KnowledgeStore
from langchain_tablestore_memory.core.programs import Outside, Program
from langchain_tablestore_memory.core.search_index import existing_dimension
from langchain_tablestore_memory.core.vectors import check_vector
from langchain_tablestore_memory.errors import InvalidArgumentError

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from langchain_tablestore_memory.connection import Connection


class KnowledgeOpener:
    """Opens a `KnowledgeStore` for the vectors of an embedding model.

    Args:
        connection: The connection.
        embedding: The model; None for a store that is searched by words only.
        dimension: Numbers in an embedding; None where that is to be found out.
        options: Further arguments of `KnowledgeStore`.

    Attributes:
        embedding: The model.
        options: As given.

    Raises:
        ConfigurationError: As for `KnowledgeStore`.
    """

    def __init__(
        self, connection: Connection, embedding: Embeddings | None, dimension: int | None, options: dict[str, Any]
    ) -> None:
        self._connection = connection
        self.embedding = embedding
        self.options = options
        # Also where the dimension is not known yet, so that wrong settings are refused here and not by the first call.
        checked = self._store(1 if dimension is None and embedding is not None else dimension)
        self._opened = None if dimension is None else checked
        self._without_model = checked if embedding is None else None

    def query_vector(self, query: str) -> Program[list[float]]:
        """What the model makes of a query.

        Raises:
            InvalidArgumentError: The query is no text, or there is no model.
        """
        model = self.embedding
        if model is None:
            raise InvalidArgumentError(
                "This store has no embedding model: only full_text_search works. Give it one: embedding=..."
            )
        if not isinstance(query, str):
            raise InvalidArgumentError(f"query is a {type(query).__name__}. Give a str.")
        vector: list[float] = yield Outside(lambda: model.embed_query(query), lambda: model.aembed_query(query))
        # Now that it is known what its vectors are, nobody has to be asked.
        yield from self.opened(of_model=vector)
        return vector

    def opened(self, *, of_model: Any = None, given: Any = None) -> Program[KnowledgeStore]:
        """The store.

        Args:
            of_model: A vector of the model, which tells the dimension without asking anybody.
            given: A vector of the caller's, which counts where the table has no index that tells it. Without one, the
                model is asked, where there is one.
        """
        if self._opened is None and given is None and self._without_model is not None:
            # Whatever the dimension is, nobody needs it.
            return self._without_model
        if self._opened is None:
            if of_model is not None:
                dimension = _size(of_model, "The vector of the embedding model")
            else:
                existing = yield from existing_dimension(
                    self._store(None).index_schema, self.options["embedding_field"]
                )
                if existing is not None:
                    dimension = existing
                elif given is not None:
                    dimension = _size(given, "The first vector")
                else:
                    yield from self.query_vector("How many numbers does an embedding have?")
                    return (yield from self.opened())
            self._opened = self._store(dimension)
        return self._opened

    def _store(self, dimension: int | None) -> KnowledgeStore:
        return KnowledgeStore(self._connection, dimension, **self.options)


def _size(vector: Any, what: str) -> int:
    return check_vector(vector, dimension=None, what=what).size
