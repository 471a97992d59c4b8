"""An embedding model as programs call it: sync and async from one source, its answers checked."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_tablestore_memory.core.programs import Outside, Program, Together
from langchain_tablestore_memory.core.vectors import check_vector
from langchain_tablestore_memory.errors import ConfigurationError, EmbeddingError, InvalidArgumentError

if TYPE_CHECKING:
    import numpy as np
    from langchain_core.embeddings import Embeddings
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

_PROBE = "How many numbers does an embedding have?"


def check_model(embedding: Any) -> None:
    """Check an embedding model, or None for none.

    Raises:
        ConfigurationError: It is something else.
    """
    if embedding is None or (hasattr(embedding, "embed_documents") and hasattr(embedding, "embed_query")):
        return
    raise ConfigurationError(
        f"embedding is a {type(embedding).__name__}. Give an embedding model of LangChain, or None. "
        "A connection is given as connection=..."
    )


@dataclass(frozen=True, slots=True)
class Embedder:
    """A model with the number of texts that it takes at a time.

    Attributes:
        model: The model.
        batch_size: Texts in one call. Several calls are in flight.
    """

    model: Embeddings
    batch_size: int = 64

    def query(self, text: str) -> Program[Vector]:
        """The vector of a question.

        Raises:
            EmbeddingError: The model failed, or returned no vector.
        """
        try:
            vector = yield Outside(lambda: self.model.embed_query(text), lambda: self.model.aembed_query(text))
        except Exception as error:
            raise EmbeddingError(f"The embedding model failed: {error!r}.", failed=()) from error
        return _checked(vector)

    def documents(self, texts: Sequence[str]) -> Program[Sequence[Vector]]:
        """A vector for each text.

        Raises:
            EmbeddingError: The model failed, or did not return a vector for each text.
        """
        batches = [texts[start : start + self.batch_size] for start in range(0, len(texts), self.batch_size)]
        if not batches:
            return []
        found = yield Together([self._batch(batch) for batch in batches])
        return [vector for vectors in found for vector in vectors]

    def dimension(self) -> Program[int]:
        """How many numbers the model's vectors have.

        Raises:
            EmbeddingError: The model failed.
        """
        return (yield from self.query(_PROBE)).size

    def _batch(self, texts: Sequence[str]) -> Program[Sequence[Vector]]:
        return [_checked(vector) for vector in (yield from embed_texts(self.model, list(texts)))]


def embed_texts(model: Embeddings, texts: list[str]) -> Program[Sequence[Any]]:
    """What a model makes of texts, in one call: as many as there are texts, and otherwise unchecked.

    Raises:
        EmbeddingError: The model failed, or returned another number of vectors.
    """
    vectors: Any
    try:
        vectors = yield Outside(lambda: model.embed_documents(texts), lambda: model.aembed_documents(texts))
    except Exception as error:
        # Models raise whatever they like.
        raise EmbeddingError(f"The embedding model failed: {error!r}.", failed=()) from error
    number = len(vectors) if isinstance(vectors, Sized) else None
    if number != len(texts):
        returned = f"a {type(vectors).__name__}" if number is None else f"{number} vectors"
        raise EmbeddingError(
            f"The embedding model returned {returned} for {len(texts)} texts. Is it the right one?", failed=()
        )
    return vectors  # type: ignore[no-any-return]


def _checked(vector: Any) -> Vector:
    try:
        return check_vector(vector, dimension=None, what="A vector that the embedding model returned")
    except InvalidArgumentError as error:
        raise EmbeddingError(f"{error} Is it the right model?", failed=()) from error
