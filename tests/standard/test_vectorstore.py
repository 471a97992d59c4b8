"""LangChain's suite for vector stores, as it is."""

from __future__ import annotations

import pytest
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from langchain_tablestore_memory import Connection, TablestoreVectorStore


class TestTablestoreVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, connection: Connection) -> VectorStore:
        return TablestoreVectorStore(self.get_embeddings(), connection=connection)


class TestTablestoreVectorStoreOfOneTenant(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, connection: Connection) -> VectorStore:
        return TablestoreVectorStore(self.get_embeddings(), connection=connection, tenant_id="tenant")
