"""The local server in a process of its own, and clients whose requests are counted."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tablestore

from langchain_tablestore_memory import Connection, connect

ACCESS = {"instance_name": "bench", "access_key_id": "local", "access_key_secret": "local"}

_SERVE = "from langchain_tablestore_memory.cli import main; main()"


@contextmanager
def server(*, latency: float) -> Iterator[str]:
    """A server process that keeps nothing; gives its address.

    Args:
        latency: Milliseconds that it adds to every request.
    """
    command = [sys.executable, "-c", _SERVE, "serve", "--memory", "--port", "0", "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def connect_to(url: str) -> Connection:
    """A connection to a server, as an application makes it."""
    return connect(url, **ACCESS)


class Traffic:
    """Counts what an SDK client hands to its connection pool.

    Attributes:
        requests: How many requests.
        bytes: Bytes of their request lines, headers and bodies.
    """

    def __init__(self, client: tablestore.OTSClient) -> None:
        self.requests = 0
        self.bytes = 0
        self._lock = threading.Lock()
        self._pool = client.connection
        client.connection = self

    def reset(self) -> None:
        """Count from nothing again."""
        self.requests = self.bytes = 0

    def send_receive(self, url: str, headers: Mapping[str, str], body: bytes) -> Any:
        """What the SDK calls."""
        head = len(f"POST {url} HTTP/1.1\r\n") + sum(len(f"{name}: {value}\r\n") for name, value in headers.items())
        with self._lock:
            self.requests += 1
            self.bytes += head + len(body)
        return self._pool.send_receive(url, headers, body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)
