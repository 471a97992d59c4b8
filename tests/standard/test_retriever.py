"""LangChain's suite for retrievers, as it is, for every way of searching."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests

from langchain_tablestore_memory import Connection, TablestoreRetriever, TablestoreVectorStore


class _RetrieverTests(RetrieversIntegrationTests):
    search_type: str
    search_kwargs: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    embedding: DeterministicFakeEmbedding | None = DeterministicFakeEmbedding(size=6)

    @pytest.fixture(autouse=True)
    def _filled_store(self, connection: Connection) -> None:
        filled = TablestoreVectorStore(DeterministicFakeEmbedding(size=6), connection=connection)
        filled.add_texts([f"{animal} drink tea" for animal in ("cats", "dogs", "foxes", "hens", "owls")])
        self.store = TablestoreVectorStore(self.embedding, connection=connection)

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return TablestoreRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"vectorstore": self.store, "search_type": self.search_type, "search_kwargs": self.search_kwargs}

    @property
    def retriever_query_example(self) -> str:
        return "tea"


class TestSimilarity(_RetrieverTests):
    search_type = "similarity"


class TestSimilarityScoreThreshold(_RetrieverTests):
    search_type = "similarity_score_threshold"
    search_kwargs = {"score_threshold": 0.0}  # noqa: RUF012 - nobody changes it


class TestMaximalMarginalRelevance(_RetrieverTests):
    search_type = "mmr"


class TestFullText(_RetrieverTests):
    search_type = "full_text"
    embedding = None


class TestHybrid(_RetrieverTests):
    search_type = "hybrid"
