"""LangChain's suites for embedding models, as they are."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_tablestore_memory import DashScopeEmbeddings

from .standin import KEY, StandIn


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return DashScopeEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "text-embedding-v4", "api_key": KEY}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"DASHSCOPE_API_KEY": KEY},
            {"model": "text-embedding-v3"},
            {"api_key": KEY, "model": "text-embedding-v3"},
        )


@pytest.mark.parametrize("model_name", ["text-embedding-v1", "text-embedding-v4"], scope="class")
class TestIntegration(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _service(self, service: StandIn, model_name: str) -> None:
        self.service = service
        self.model_name = model_name

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return DashScopeEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": self.model_name, "api_key": KEY, "base_url": self.service.base_url}
