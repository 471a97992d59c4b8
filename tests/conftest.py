"""What every test starts from: no settings of the machine, and no data folder of the user. And a server for all."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Before numpy is imported: tests run side by side, and threads of each that wait for work take the processors from all.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# CI asks for the number of random examples that Hypothesis takes itself.
settings.register_profile("quick", max_examples=20)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# What a shell starts in the background ignores the key that some tests press.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SETTINGS = ("TABLESTORE_", "DASHSCOPE_")


def pytest_collection_finish() -> None:
    """What was collected stays until the end: the garbage collector need not go through it again and again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch, tmp_path_factory):
    for name in [name for name in os.environ if name.startswith(_SETTINGS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "data"))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A server for all tests of this process; each uses an instance of its own."""
    from langchain_tablestore_memory.local import Server, Tablestore

    with Tablestore(None) as service, Server(service, port=0) as server:
        yield server.url
