"""The wire with faults over HTTP: a proxy in front of a server."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Self

import urllib3
from aiohttp import web

from .wire import CUT, Answer, Broken, Faults, Request


class FaultyProxy:
    """Passes requests on to a server, except for those that `faults` wants to fail.

    Connections really break and stay silent here, and answers that are cut short announce their full length.

    Args:
        upstream: The server's address.
        faults: Which requests fail, and how.
    """

    def __init__(self, upstream: str, faults: Faults) -> None:
        self._upstream = upstream
        self._faults = faults
        self._pool = urllib3.PoolManager(retries=False, maxsize=32)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._pool.clear()

    async def _start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        self._released.set()
        await self._runner.cleanup()
        await self._loop.shutdown_default_executor()

    async def _answer(self, http: web.BaseRequest) -> web.StreamResponse:
        request = Request(http.path.removeprefix("/"), dict(http.headers), await http.read())
        outcome = await asyncio.to_thread(self._faults.answer, request, self._forward)
        if outcome is Broken.SILENT:
            await self._released.wait()
        if isinstance(outcome, Broken):
            assert http.transport is not None
            http.transport.abort()
            return web.Response()
        return await self._respond(http, outcome)

    async def _respond(self, http: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in _BY_HOP}
        announced = headers.pop(CUT, None)
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        response.content_length = int(announced or len(answer.body))
        await response.prepare(http)
        await response.write(answer.body)
        if announced:
            assert http.transport is not None
            http.transport.close()
        return response

    def _forward(self, request: Request) -> Answer:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _BY_HOP}
        found: Any = self._pool.request(
            "POST", f"{self._upstream}/{request.api}", body=request.body, headers=headers, timeout=30
        )
        return Answer(found.status, found.reason, dict(found.headers), found.data)


_BY_HOP = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding", "date", "server"}
