"""Documents of a knowledge base, as plain records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = Sequence[float] | NDArray[np.floating[Any]]

DEFAULT_TENANT = "__default"
"""The tenant of documents for which none is named, as tablestore-for-agent-memory calls it."""


@dataclass(slots=True)
class Document:
    """A document, or a part of one, that can be found by its text, its embedding and its metadata.

    Attributes:
        document_id: Its id, unique for this tenant.
        tenant_id: Whose document it is: a user, an organisation, a knowledge base. Left alone where the store has
            only one tenant.
        text: Its text; None where it has none.
        embedding: Its vector, of the store's dimension: a list of floats or a numpy array. None where it has none:
            it is then not found by vector.
        metadata: What the application wants to keep with it. Returns exactly as given.

    Example:
        ```python
        Document("doc-1", text="Tea is a drink.", embedding=[0.1, 0.2, 0.3], metadata={"year": 2024})
        ```
    """

    document_id: str
    tenant_id: str = DEFAULT_TENANT
    text: str | None = None
    embedding: Vector | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class DocumentHit:
    """A document that a search found.

    Attributes:
        document: The document; without its embedding unless that was asked for.
        score: How well it fits, higher is better. The service's own score of vector and full-text searches, the fused
            one of hybrid searches, None where nothing was scored.
        vector_score: Of hybrid searches, the score of the vector search; None where that did not find it.
        text_score: Of hybrid searches, the score of the full-text search; None where that did not find it.
    """

    document: Document
    score: float | None = None
    vector_score: float | None = field(default=None, kw_only=True)
    text_score: float | None = field(default=None, kw_only=True)


def document_name(document_id: str, tenant_id: str | None = None) -> str:
    """What a document is called in errors, `WriteError.failed` and `WriteError.stored` included.

    Args:
        document_id: Its id.
        tenant_id: Whose it is; None where documents have no tenants.
    """
    name = f"document {document_id!r}"
    return name if tenant_id is None else f"{name} of tenant {tenant_id!r}"
