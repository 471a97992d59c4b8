"""DashScope on loopback: what it answers, what it refuses, and faults on demand.

The shapes of requests and answers, the limits and the error codes are those of Model Studio's reference ("Text embedding:
synchronous API", "Text rerank", "Error messages") and of the SDK's response classes. Vectors and scores are made up, but
the same for the same text.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EMBEDDINGS = "/api/v1/services/embeddings/text-embedding/text-embedding"
RERANK = "/api/v1/services/rerank/text-rerank/text-rerank"
NATIVE_CHAT = "/api/v1/services/aigc/text-generation/generation"
COMPATIBLE_CHAT = "/compatible-mode/v1/chat/completions"

KEY = "sk-stand-in-key-0123456789"
REFUSED_KEY = "sk-refused-key-0123456789"

# Texts in a request, characters of a text, dimensions with the default first.
EMBEDDING_MODELS = {
    "text-embedding-v1": (25, 20_000, (1536,)),
    "text-embedding-v2": (25, 20_000, (1536,)),
    "text-embedding-v3": (10, 80_000, (1024, 768, 512, 256, 128, 64)),
    "text-embedding-v4": (10, 80_000, (1024, 2048, 1536, 768, 512, 256, 128, 64)),
    "qwen3.7-text-embedding": (20, 1_000_000, (1024, 2560, 2048, 1536, 768, 512, 256)),
    "qwen3.7-text-embedding-flash": (20, 1_000_000, (1024, 768, 512, 256)),
    "text-embedding-v9": (10, 8192, (96, 32)),
}
RERANK_MODELS = {"qwen3-rerank": 500, "gte-rerank-v2": 500, "qwen3-vl-rerank": 100}


@dataclass(frozen=True)
class Received:
    """A request that arrived.

    Attributes:
        path: Its path.
        key: The key that it was sent with.
        body: What it asks for.
        time: When it arrived, in seconds of `time.monotonic`.
    """

    path: str
    key: str
    body: dict[str, Any]
    time: float

    @property
    def texts(self) -> list[str]:
        """The texts to embed."""
        texts: list[str] = self.body["input"]["texts"]
        return texts

    @property
    def parameters(self) -> dict[str, Any]:
        parameters: dict[str, Any] = self.body["parameters"]
        return parameters


@dataclass(frozen=True)
class Fault:
    """What happens to a request instead of being answered.

    Attributes:
        status: The HTTP status.
        code: DashScope's error code.
        message: What it says.
        headers: Headers besides.
        raw: The whole body, in place of the error.
        drop: The connection ends without an answer.
    """

    status: int = 500
    code: str = "InternalError"
    message: str = "Something went wrong."
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    drop: bool = False

    @property
    def body(self) -> bytes:
        return self.raw if self.raw is not None else _error_body(self.code, self.message)


class RefusedError(Exception):
    """The error that a request is answered with."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(status, code, message)


THROTTLED = Fault(429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.")
DROPPED = Fault(drop=True)
GIBBERISH = Fault(200, raw=b'{"output": {"embeddings": [{"text_ind')


class StandIn:
    """The service.

    Attributes:
        received: The requests so far, in the order of their arrival.
        most_in_flight: How many were under way at once, at the most.
        connections: Connections that were made so far.
        open_connections: Those that are open.
        delay: Seconds that every answer takes.
        gathering: How many requests have to arrive before any is answered.
        arrival: Set once a request has arrived.
        edit: Changes answers before they are sent.
        replies: What the chat models say next, as messages; by default they repeat the last message.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.received: list[Received] = []
        self.most_in_flight = 0
        self.connections = 0
        self.open_connections = 0
        self.delay = 0.0
        self.gathering = 0
        self.arrival = threading.Event()
        self.edit: Callable[[Any], Any] = lambda answer: answer
        self.replies: deque[dict[str, Any]] = deque()
        self._faults: list[tuple[Callable[[Received], bool], Fault]] = []
        self._in_flight = 0
        self._lock = threading.Lock()

    @property
    def base_url(self) -> str:
        """The address of the native API."""
        return f"{self.address}/api/v1"

    @property
    def compatible_url(self) -> str:
        """The address of the API that is like OpenAI's."""
        return f"{self.address}/compatible-mode/v1"

    def fail(self, *faults: Fault, when: Callable[[Received], bool] = lambda _: True) -> None:
        """Answer the next requests for which `when` holds with these faults, one each."""
        self._faults += [(when, fault) for fault in faults]

    def taken(self) -> list[Received]:
        """The requests since the last time that this was asked."""
        with self._lock:
            received, self.received = self.received, []
        return received

    def take(self, path: str, key: str, body: dict[str, Any]) -> Fault | None:
        """Note a request; returns what is to happen to it instead of an answer."""
        request = Received(path, key, body, time.monotonic())
        with self._lock:
            self.received.append(request)
            self.arrival.set()
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            for index, (when, fault) in enumerate(self._faults):
                if when(request):
                    del self._faults[index]
                    return fault
        return None

    def pause(self) -> None:
        """Wait as long as an answer takes."""
        time.sleep(self.delay)
        deadline = time.monotonic() + 10
        while len(self.received) < self.gathering and time.monotonic() < deadline:
            time.sleep(0.005)

    def done(self) -> None:
        """Note that a request was answered."""
        with self._lock:
            self._in_flight -= 1

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Count a connection."""
        with self._lock:
            self.connections += 1
            self.open_connections += 1
        try:
            yield
        finally:
            with self._lock:
                self.open_connections -= 1

    def answer(self, path: str, key: str, body: dict[str, Any]) -> Any:
        """The answer to a request.

        Raises:
            RefusedError: It is refused.
        """
        if not key or key == REFUSED_KEY:
            raise RefusedError(401, "InvalidApiKey", "Invalid API-key provided.")
        answers = {EMBEDDINGS: _embed, RERANK: _rerank}
        if path in answers:
            return self.edit(answers[path](body))
        raise RefusedError(404, "NotFound", f"No such path: {path}")

    def reply(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """What a chat model says to messages."""
        if self.replies:
            return self.replies.popleft()
        content = messages[-1]["content"]
        text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
        return {"role": "assistant", "content": f"You said: {text}"}


def vector(text: str, dimension: int, text_type: str = "document", instruct: str | None = None) -> list[float]:
    """The embedding of a text."""
    seed = f"{text_type}\0{instruct}\0{text}".encode()
    made = b"".join(hashlib.sha256(seed + bytes([n % 256, n // 256])).digest() for n in range(dimension // 32 + 1))
    return [(byte - 127.5) / 128 for byte in made[:dimension]]


def relevance(query: str, text: str) -> float:
    """How many words of a query are in a text, from 0 to 1."""
    words = set(query.lower().split())
    return len(words & set(re.findall(r"\w+", text.lower()))) / len(words)


def _embed(body: dict[str, Any]) -> Any:
    model, texts, parameters = body["model"], body["input"]["texts"], body["parameters"]
    if model not in EMBEDDING_MODELS:
        raise RefusedError(404, "ModelNotFound", "Model not exist.")
    batch, length, dimensions = EMBEDDING_MODELS[model]
    if len(texts) > batch:
        invalid = f"Value error, batch size is invalid, it should not be larger than {batch}.: input.contents"
        raise RefusedError(400, "InvalidParameter", f"<400> InternalError.Algo.InvalidParameter: {invalid}")
    if not all(0 < len(text) <= length for text in texts):
        raise RefusedError(400, "InvalidParameter", f"Range of input length should be [1, {length}]")
    dimension = parameters.get("dimension", dimensions[0])
    if dimension not in dimensions:
        raise RefusedError(400, "InvalidParameter", f"dimension {dimension} is not supported")
    made = [vector(text, dimension, parameters["text_type"], parameters.get("instruct")) for text in texts]
    embeddings = [{"text_index": index, "embedding": numbers} for index, numbers in enumerate(made)]
    return {"output": {"embeddings": embeddings}, "usage": {"total_tokens": 1}, "request_id": "embed-1"}


def _rerank(body: dict[str, Any]) -> Any:
    model, query, documents = body["model"], body["input"]["query"], body["input"]["documents"]
    if model not in RERANK_MODELS:
        raise RefusedError(400, "InvalidParameter", "Model not exist.")
    if len(documents) > RERANK_MODELS[model]:
        raise RefusedError(400, "InvalidParameter", "The number of documents is out of range.")
    scores = [{"index": i, "relevance_score": relevance(query, text)} for i, text in enumerate(documents)]
    best = sorted(scores, key=lambda score: -score["relevance_score"])[: body["parameters"].get("top_n")]
    return {"output": {"results": best}, "usage": {"total_tokens": 1}, "request_id": "rerank-1"}


def _error_body(code: str, message: str) -> bytes:
    return json.dumps({"code": code, "message": message, "request_id": "failed-1"}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise the second packet of an answer waits 40 ms for the client to acknowledge the first.
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        with self.server.standin.connected():
            super().handle()

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        standin = self.server.standin
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        fault = standin.take(self.path, key, body)
        try:
            standin.pause()
            self._answer(standin, key, body, fault)
        except ConnectionError:  # the client has gone
            self.close_connection = True
        finally:
            standin.done()

    def _answer(self, standin: StandIn, key: str, body: dict[str, Any], fault: Fault | None) -> None:
        if fault is not None and fault.drop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault is None and self.path in {NATIVE_CHAT, COMPATIBLE_CHAT}:
            self._chat(standin, body)
            return
        if fault is None:
            try:
                self._send(200, json.dumps(standin.answer(self.path, key, body)).encode())
            except RefusedError as refusal:
                fault = refusal.fault
        if fault is not None:
            self._send(fault.status, fault.body, fault.headers)

    def _chat(self, standin: StandIn, body: dict[str, Any]) -> None:
        native = self.path == NATIVE_CHAT
        reply = standin.reply(body["input"]["messages"] if native else body["messages"])
        streamed = "text/event-stream" in (self.headers["Accept"] or "") if native else bool(body.get("stream"))
        make = _native_chunks if native else _compatible_chunks
        if not streamed:
            answer = _native_answer(reply) if native else _compatible_answer(reply)
            self._send(200, json.dumps(answer).encode())
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for chunk in make(reply):
            self.wfile.write(chunk.encode())
            self.wfile.flush()
        self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


# Chat

_USAGE = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
_COMPATIBLE_USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def _finish(reply: dict[str, Any]) -> str:
    return "tool_calls" if reply.get("tool_calls") else "stop"


def _native_answer(reply: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"finish_reason": finish or _finish(reply), "message": reply}
    return {"output": {"choices": [choice]}, "usage": _USAGE, "request_id": "chat-1"}


def _native_chunks(reply: dict[str, Any]) -> Iterator[str]:
    """A reply as a stream: the text piece by piece, tool calls as a whole, and the reason for the end."""
    pieces = re.findall(r"\S+\s*", reply["content"])
    steps: list[tuple[dict[str, Any], str]] = [({"role": "assistant", "content": piece}, "null") for piece in pieces]
    steps.append(({**reply, "content": ""}, _finish(reply)))
    for number, (message, finish) in enumerate(steps, start=1):
        data = json.dumps(_native_answer(message, finish))
        yield f"id:{number}\nevent:result\n:HTTP_STATUS/200\ndata:{data}\n\n"


def _compatible_answer(reply: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1,
        "model": "qwen-plus",
        "choices": [{"index": 0, "message": reply, "finish_reason": _finish(reply)}],
        "usage": _COMPATIBLE_USAGE,
    }


def _compatible_chunks(reply: dict[str, Any]) -> Iterator[str]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in re.findall(r"\S+\s*", reply["content"])]
    deltas += [{"tool_calls": [call]} for call in reply.get("tool_calls", ())]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": _finish(reply)}]})
    chunks.append({"choices": [], "usage": _COMPATIBLE_USAGE})
    for chunk in chunks:
        data = json.dumps(
            {"id": "chat-1", "object": "chat.completion.chunk", "created": 1, "model": "qwen-plus", **chunk}
        )
        yield f"data: {data}\n\n"
    yield "data: [DONE]\n\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    standin: StandIn


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """Run the service for a while."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.standin = StandIn(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server.standin
        finally:
            server.shutdown()
            thread.join()
