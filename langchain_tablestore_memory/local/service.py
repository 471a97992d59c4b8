"""The embedded Tablestore: many instances in one folder, behind the service's own request and answer."""

from __future__ import annotations

import http
import itertools
import json
import logging
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from tablestore.protobuf import table_store_pb2

from langchain_tablestore_memory.local.engine import Engine
from langchain_tablestore_memory.local.errors import RequestError, StorageError
from langchain_tablestore_memory.local.failures import refuse
from langchain_tablestore_memory.local.signing import Authenticator, SigningKey, content_md5, format_second

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

DEFAULT_ACCESS_KEY = "local"
"""The access key id, and its secret, of an embedded Tablestore that was given none."""

MAX_BODY_SIZE = 5 * 1024 * 1024
"""The largest request body, in bytes, that the service takes over HTTP."""

_INSTANCE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,14}[A-Za-z0-9]")
_CAPITAL = re.compile(r"[A-Z]")
_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
_REQUEST_ID_SUFFIX = secrets.token_hex(4)
_request_numbers = itertools.count()

_logger = logging.getLogger("langchain_tablestore_memory.local")


class Response(NamedTuple):
    """An answer, in the order in which the SDK takes it from a connection.

    Attributes:
        status: The HTTP status.
        reason: The status in words.
        headers: The headers, their names in lower case.
        body: A protobuf message: what the call returns, or an ``Error``.
    """

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


class Tablestore:
    """An embedded Tablestore that answers the requests of an unmodified SDK.

    Each instance is a space of its own, kept in ``FOLDER/<instance>.sqlite3`` and made when it is first used.
    Any number of threads may share one object, and any number of processes one folder; a process may also fork.

    ```python
    with Tablestore(Path("data")) as service:
        client = ots_client(service)
        client.list_table()
    ```

    Args:
        folder: Where the instances are kept; made if need be. None keeps them in memory, until `close`.
        access_key_id: The access key that requests must be signed with.
        access_key_secret: The secret of that key.
        durability: ``full``: an acknowledged write survives a crash of the process and a power loss.
            ``normal``: it survives a crash of the process, and writing is faster.
        index_delay: Seconds after which searches see a write, to rehearse the lag of the service's indexes.

    Raises:
        OSError: If the folder cannot be made or written.
        ValueError: For an access key, secret, durability or delay that cannot be used.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        access_key_id: str = DEFAULT_ACCESS_KEY,
        access_key_secret: str = DEFAULT_ACCESS_KEY,
        durability: Literal["full", "normal"] = "full",
        index_delay: float = 0.0,
    ) -> None:
        if durability not in ("full", "normal"):
            raise ValueError(f"durability is {durability!r}. Give 'full' or 'normal'.")
        if not 0 <= index_delay < float("inf"):
            raise ValueError(f"index_delay is {index_delay!r}. Give seconds, 0 for none.")
        self.access_key_id = access_key_id
        self.access_key_secret = access_key_secret
        self._authenticator = Authenticator(access_key_id, access_key_secret)
        self._durability: Literal["full", "normal"] = durability
        self._index_delay = index_delay
        self._folder = None if folder is None else _prepare_folder(folder)
        self._engines: dict[str, Engine] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"Tablestore({'memory' if self._folder is None else str(self._folder)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def folder(self) -> Path | None:
        """Where the instances are kept; None for memory."""
        return self._folder

    @property
    def has_default_credentials(self) -> bool:
        """Whether anybody could guess the secret, because nobody chose one."""
        return self.access_key_secret == DEFAULT_ACCESS_KEY

    def close(self) -> None:
        """Close all instances. Later requests are refused; closing again does nothing."""
        self._closed = True
        for instance_name in list(self._engines):
            engine = self._engines.pop(instance_name, None)
            if engine is not None:
                engine.close()

    def handle(self, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request. Never raises: whatever goes wrong becomes an answer, as with the service.

        Args:
            path: The path of the URL, such as ``/GetRow``. Only the last part counts, so that an endpoint may
                have a path of its own.
            headers: The request's headers, their names in any case.
            body: The request's body.
        """
        path, _, query = path.partition("?")
        api = path.rpartition("/")[2]
        uri = "/" + api
        lowered = {name.lower(): value for name, value in headers.items()}
        key: SigningKey | None = None
        try:
            key = self._authenticator.authenticate(uri, query, lowered, body)
            answer = self._engine(lowered["x-ots-instancename"].strip()).execute(api, body)
        except RequestError as error:
            refusal = error
        except Exception as error:  # noqa: BLE001 - a server always answers
            refusal = _not_running() if self._closed else _unexpected(error, api)
        else:
            return self._respond(200, answer, uri, key)
        as_json = lowered.get("content-type", "").startswith("application/json")
        return self._respond(refusal.status, error_body(refusal, as_json=as_json), uri, key)

    def _respond(self, status: int, body: bytes, uri: str, key: SigningKey | None) -> Response:
        headers = response_headers(body)
        # Whoever could not prove to hold the key gets an unsigned refusal, which every SDK takes: a signature
        # would be wrong in the eyes of a client with another secret, and something to guess the secret by.
        if key is not None:
            headers["authorization"] = self._authenticator.authorization(key, uri, headers)
        return Response(status, _PHRASES.get(status, ""), headers, body)

    def _engine(self, instance_name: str) -> Engine:
        engine = self._engines.get(instance_name)
        return engine if engine is not None else self._open(instance_name)

    def _open(self, instance_name: str) -> Engine:
        # The names that pass are also harmless as names of files.
        if not _INSTANCE_NAME.fullmatch(instance_name):
            raise RequestError(400, "OTSParameterInvalid", f"Invalid instance name: {instance_name}.")
        self._check_running()
        path = None if self._folder is None else self._folder / _file_name(instance_name)
        # Without a lock: a thread that holds one while another one forks leaves it locked for ever in the child.
        opened = Engine(path, durability=self._durability, index_delay=self._index_delay)
        engine = self._engines.setdefault(instance_name, opened)
        if engine is not opened:
            opened.close()
        self._check_running()
        return engine

    def _check_running(self) -> None:
        if self._closed:
            # Again, for what has been opened meanwhile.
            self.close()
            raise _not_running()


def response_headers(body: bytes) -> dict[str, str]:
    """The ``x-ots-*`` headers of an answer: what the SDK asks of every one."""
    microseconds = time.time_ns() // 1000
    second, fraction = divmod(microseconds, 1_000_000)
    moment = f"{microseconds:016x}"
    number = next(_request_numbers) & 0xFFFFFFFF
    return {
        "x-ots-contentmd5": content_md5(body),
        "x-ots-contenttype": "protocol buffer",
        "x-ots-date": f"{format_second(second)}.{fraction:06d}Z",
        "x-ots-requestid": (
            f"{moment[:8]}-{moment[8:12]}-{moment[12:]}-{_REQUEST_ID_SUFFIX[:4]}-{_REQUEST_ID_SUFFIX[4:]}{number:08x}"
        ),
    }


def error_body(error: RequestError, *, as_json: bool = False) -> bytes:
    """The body of a refusal.

    Args:
        error: Why the request is refused.
        as_json: As the service's JSON calls answer (knowledge bases and memory stores), instead of protobuf.
    """
    # What a message quotes of a header may hold bytes that are no text.
    message = error.message.encode("utf-8", "replace").decode("utf-8")
    if as_json:
        return json.dumps({"code": error.code, "message": message}).encode()
    body: bytes = table_store_pb2.Error(code=error.code, message=message).SerializeToString()
    return body


def _file_name(instance_name: str) -> str:
    """The file of an instance. Some file systems take two names for one that differ in case, so capitals are marked."""
    return _CAPITAL.sub(lambda capital: "_" + capital[0].lower(), instance_name) + ".sqlite3"


def _prepare_folder(folder: Path) -> Path:
    """Make the folder and try to write there, so that a wrong one is known before the first request."""
    folder = Path(folder).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".probe-{secrets.token_hex(8)}"
    probe.touch()
    probe.unlink()
    return folder


def _not_running() -> RequestError:
    return RequestError(403, "OTSAuthFailed", "The instance is not running.")


def _unexpected(error: Exception, api: str) -> RequestError:
    """The refusal for an exception that is no refusal."""
    if isinstance(error, StorageError):
        return refuse(str(error), error.__cause__)
    _logger.error("%s failed unexpectedly", api, exc_info=error)
    return RequestError(500, "OTSInternalServerError", "Internal server error.")
