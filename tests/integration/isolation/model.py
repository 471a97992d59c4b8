"""What a table of documents of several tenants should hold, and random filters that reach for what is others'."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from langchain_tablestore_memory import Filters
from langchain_tablestore_memory.filters import Filter, matches, parse

TENANTS = ("t1", "t", "t1 ", "T1", "t1/x", "t1\x00", "*", "%", "租户", "__default ")
"""Names that a careless comparison, prefix, pattern or default confuses."""

FILTERABLE = {"year": int, "lang": str, "tags": list[str], "owner": str}
WORDS = ("tea", "coffee", "milk", "茶")


def vector_of(text: str) -> list[float]:
    return [text.count(word) + 0.25 for word in WORDS]


@dataclass
class Model:
    """Text and metadata of documents, by tenant and id."""

    documents: dict[str, dict[str, tuple[str, dict[str, Any]]]] = field(
        default_factory=lambda: {tenant: {} for tenant in TENANTS}
    )

    def matching(self, tenant: str, wanted: Filter | None) -> set[str]:
        """Ids of a tenant's documents that match."""
        return {
            document_id
            for document_id, (_, metadata) in self.documents[tenant].items()
            # In the table the key columns go before metadata of the same names.
            if wanted is None or matches(wanted, {**metadata, "document_id": document_id, "tenant_id": tenant})
        }

    def rows(self) -> set[tuple[str, str, str, str]]:
        return {
            (tenant, document_id, text, repr(sorted(metadata.items())))
            for tenant, found in self.documents.items()
            for document_id, (text, metadata) in found.items()
        }


class Chance(random.Random):
    """Random documents and filters."""

    def text(self) -> str:
        return " ".join(self.choices(WORDS, k=3))

    def metadata(self, tenant: str) -> dict[str, Any]:
        found = {
            "year": self.randrange(4),
            "lang": self.choice(["en", "zh"]),
            "tags": self.sample(["a", "b", "c"], 2),
            # Said in metadata: somebody else's.
            "tenant_id": self.choice(TENANTS),
        }
        kept = {key: value for key, value in found.items() if self.random() < 0.7}
        return {**kept, "owner": tenant}

    def document_id(self) -> str:
        # Each tenant has documents of the same ids.
        return f"d{self.randrange(12)}"

    def filter(self, tenant: str, depth: int = 2) -> Filter | None:
        """A filter, or none."""
        other = self.choice(TENANTS)
        leaf = self.choice(
            [
                {"year": {self.choice(["$eq", "$ne", "$gte", "$lt"]): self.randrange(4)}},
                {"lang": {"$in": ["en", "de"]}},
                {"lang": {"$exists": False}},
                {"tags": {"$contains": self.choice("abc")}},
                {"tenant_id": other},
                {"tenant_id": {"$ne": tenant}},
                {"tenant_id": {"$prefix": tenant[:1]}},
                {"tenant_id": {"$like": "%"}},
                {"tenant_id": {"$in": [tenant, other]}},
                {"owner": {"$ne": tenant}},
                {"owner": {"$exists": True}},
                {"document_id": {"$gte": "d5"}},
            ]
        )
        kind = self.randrange(6) if depth else 5
        if kind == 0 and depth == 2:
            return None
        if kind == 1:
            return Filters.all()
        if kind in {2, 3}:
            parts = [part for _ in range(2) if (part := self.filter(tenant, depth - 1)) is not None]
            parts = parts or [Filters.all()]
            return (Filters.logical_or if kind == 2 else Filters.logical_and)(parts)
        if kind == 4:
            inner = self.filter(tenant, depth - 1)
            return None if inner is None else ~inner
        return parse(leaf)
