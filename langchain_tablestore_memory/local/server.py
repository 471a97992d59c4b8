"""The embedded Tablestore over HTTP."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from aiohttp import web

from langchain_tablestore_memory.local.errors import RequestError
from langchain_tablestore_memory.local.service import MAX_BODY_SIZE, error_body, response_headers

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType
    from typing import Any, Self

    from langchain_tablestore_memory.local.service import Tablestore

# A thread may wait for another process's write; more of them than cores keep such waits from holding up
# reads.
_WORKER_THREADS = 32
_SHUTDOWN_SECONDS = 5.0


class Server:
    """Serves an embedded Tablestore over HTTP.

    Runs on the event loop that starts it, or, as a plain context manager, on one of its own in a background
    thread:

    ```python
    with Server(Tablestore(None), port=0) as server:
        client = OTSClient(server.url, "local", "local", "local")
        client.list_table()
    ```

    Args:
        service: Answers the requests; closing it is up to the caller.
        host: The address to listen on.
        port: The port to listen on; 0 picks a free one.
        latency: Seconds to add to every request, to rehearse a service that is far away.

    Raises:
        ValueError: If the host can be reached from elsewhere while the access key is the one that everybody
            knows, or if a number is out of range.
    """

    def __init__(self, service: Tablestore, *, host: str = "127.0.0.1", port: int = 8087, latency: float = 0.0) -> None:
        if service.has_default_credentials and not is_loopback(host):
            raise ValueError(
                f"{host} can be reached from other machines, and the access key is the default one, which "
                "everybody knows. Choose an access key id and secret, or listen on 127.0.0.1."
            )
        if not 0 <= port <= 65535:  # noqa: PLR2004 - what a TCP port is
            raise ValueError(f"port is {port}. Give 0 to 65535.")
        if latency < 0:
            raise ValueError(f"latency is {latency}. Give seconds, 0 or more.")
        self._service = service
        self._host = host
        self._port = port
        self._latency = latency
        self._runner: web.ServerRunner | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._thread: _LoopThread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    @property
    def url(self) -> str:
        """The address for a client, such as ``http://127.0.0.1:8087``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Listen, on the running event loop.

        Raises:
            OSError: If the address cannot be listened on, because the port is in use for example.
        """
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._port = runner.addresses[0][1]
        self._executor = ThreadPoolExecutor(_WORKER_THREADS, thread_name_prefix="tablestore")
        self._runner = runner

    async def stop(self) -> None:
        """Answer what was asked, then listen no more. Stopping again does nothing."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        thread = _LoopThread()
        try:
            thread.run(self.start())
        except BaseException:
            thread.close()
            raise
        self._thread = thread
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        self._thread.run(self.stop())
        self._thread.close()
        self._thread = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "POST":
            return _refuse(405, "OTSMethodNotAllowed", "Only POST method for requests is supported.")
        body = await _read(request)
        if body is None:
            return _refuse(413, "OTSRequestBodyTooLarge", "The size of POST data is too large.")
        if self._latency:
            await asyncio.sleep(self._latency)
        assert self._executor is not None
        response = await asyncio.get_running_loop().run_in_executor(
            self._executor, self._service.handle, request.raw_path, dict(request.headers), body
        )
        return web.Response(
            status=response.status, reason=response.reason, headers=response.headers, body=response.body
        )


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone; of names, ``localhost`` is the only such one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _read(request: web.BaseRequest) -> bytes | None:
    """The body of a request; None if it is larger than the service takes.

    It is read to its end also then, and forgotten: clients see an answer only after they have sent everything.
    """
    size = 0
    chunks = []
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size <= MAX_BODY_SIZE:
            chunks.append(chunk)
    return b"".join(chunks) if size <= MAX_BODY_SIZE else None


def _refuse(status: int, code: str, message: str) -> web.Response:
    """What is refused before it is known who asks; hence without a signature."""
    body = error_body(RequestError(status, code, message))
    return web.Response(status=status, headers=response_headers(body), body=body)


class _LoopThread:
    """An event loop in a background thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tablestore-server", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
