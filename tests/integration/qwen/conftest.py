"""A stand-in for DashScope for each test, and each test in both modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
from core.support import Face

from langchain_tablestore_memory import DashScopeEmbeddings, DashScopeRerank, RetryPolicy

from .standin import KEY, StandIn, stand_in

QUICK = RetryPolicy(attempts=4, connect_attempts=2, first_delay=0.001, max_delay=0.002)


@pytest.fixture(scope="session")
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with one certificate: each client of httpx reads them all, which takes a while, and none is needed here."""
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----")
    path.write_text(first + end)
    return str(path)


@pytest.fixture(autouse=True)
def _no_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, one_certificate: str) -> None:
    """The SDK looks for its settings in the home folder."""
    monkeypatch.setenv("SSL_CERT_FILE", one_certificate)
    monkeypatch.setenv("DASHSCOPE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("DASHSCOPE_API_KEY_FILE_PATH", str(tmp_path / "api_key"))


@pytest.fixture
def service() -> Iterator[StandIn]:
    with stand_in() as service:
        yield service


@pytest.fixture
def open_embeddings(service: StandIn, mode: str) -> Callable[..., Face]:
    """Makes `DashScopeEmbeddings` with the given options."""

    def make(*args: Any, **options: Any) -> Face:
        options = {"api_key": KEY, "base_url": service.base_url, "retry": QUICK} | options
        return Face(DashScopeEmbeddings(*args, **options), mode)

    return make


@pytest.fixture
def embeddings(open_embeddings: Callable[..., Face]) -> Face:
    return open_embeddings()


@pytest.fixture
def open_reranker(service: StandIn, mode: str) -> Callable[..., Face]:
    """Makes `DashScopeRerank` with the given options."""

    def make(*args: Any, **options: Any) -> Face:
        options = {"api_key": KEY, "base_url": service.base_url, "retry": QUICK} | options
        return Face(DashScopeRerank(*args, **options), mode)

    return make
