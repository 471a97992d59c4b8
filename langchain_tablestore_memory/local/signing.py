"""Who asks, and is it really they: signatures of requests and of answers.

Both of the service's request signatures are understood. V2 is an HMAC-SHA1 made with the access key's secret;
V4 is an HMAC-SHA256 made with a key derived from the secret for one day and one region. Answers are always
signed with HMAC-SHA1, under the key that the request was signed with.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from langchain_tablestore_memory.local.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CLOCK_SKEW = 15 * 60
"""How far a request's ``x-ots-date`` may be from now, in seconds: as far as the SDK lets an answer's be."""

_PREFIX = "x-ots-"
_SIGNATURE_V2 = "x-ots-signature"
_SIGNATURE_V4 = "x-ots-signaturev4"
_UNSIGNED = frozenset({_SIGNATURE_V2, _SIGNATURE_V4})
_REQUIRED = ("x-ots-date", "x-ots-apiversion", "x-ots-accesskeyid", "x-ots-instancename", "x-ots-contentmd5")
_REQUIRED_V2 = (*_REQUIRED, _SIGNATURE_V2)
_REQUIRED_V4 = (*_REQUIRED, "x-ots-signdate", "x-ots-signregion", _SIGNATURE_V4)
_SIGN_DATE_LENGTH = len("yyyymmdd")


class SigningKey:
    """A key that requests are verified and answers are signed with.

    Args:
        key: The secret itself (V2), or the base64 text of the key derived from it (V4).
    """

    __slots__ = ("_sha1", "_sha256")

    def __init__(self, key: bytes) -> None:
        # Copying a keyed context is cheaper than keying a new one for every message.
        self._sha1 = hmac.new(key, digestmod="sha1")
        self._sha256 = hmac.new(key, digestmod="sha256")

    def sign_v2(self, text: str) -> str:
        """The HMAC-SHA1 of a text, in base64."""
        return _digest(self._sha1, text)

    def sign_v4(self, text: str) -> str:
        """The HMAC-SHA256 of a text, in base64."""
        return _digest(self._sha256, text)


class Authenticator:
    """Checks the headers and the signature of requests against one access key.

    Args:
        access_key_id: The only access key that is known.
        access_key_secret: Its secret.

    Raises:
        ValueError: For an empty key or secret, or a key that could not be told apart in a header.
    """

    def __init__(self, access_key_id: str, access_key_secret: str) -> None:
        if not (access_key_id.isascii() and access_key_id.isprintable()) or set(access_key_id) & set(": "):
            raise ValueError("access_key_id holds a space, a colon or what is not ASCII. Leave these out.")
        if not access_key_id or not access_key_secret:
            raise ValueError("access_key_id or access_key_secret is empty. Give both.")
        self._access_key_id = access_key_id
        self._secret = access_key_secret
        self._key_v2 = SigningKey(access_key_secret.encode())
        # Bounded: date and region come from the request, and anybody may send one.
        self._key_v4 = lru_cache(maxsize=64)(self._derive_key)

    def authenticate(self, uri: str, query: str, headers: Mapping[str, str], body: bytes) -> SigningKey:
        """Check a request as the service does, in its order.

        Args:
            uri: The path that was signed, such as ``/GetRow``.
            query: What follows the question mark of the URL; usually empty.
            headers: The request's headers, their names in lower case.
            body: The request's body.

        Returns:
            The key that the answer must be signed with.

        Raises:
            RequestError: A header is missing or wrong, or the request is not signed by the access key.
        """
        is_v4 = _SIGNATURE_V4 in headers
        for name in _REQUIRED_V4 if is_v4 else _REQUIRED_V2:
            if name not in headers:
                raise RequestError(400, "OTSParameterInvalid", f"Missing header: {name}.")
        date = headers["x-ots-date"].strip()
        if abs(_epoch_seconds(date) - time.time()) > MAX_CLOCK_SKEW:
            raise RequestError(403, "OTSAuthFailed", f"Mismatch between system time and x-ots-date: {date}.")
        if headers["x-ots-contentmd5"].strip() != content_md5(body):
            raise RequestError(
                403,
                "OTSAuthFailed",
                "Mismatch between MD5 value of request body and x-ots-contentmd5 in header.",
            )
        if headers["x-ots-accesskeyid"].strip() != self._access_key_id:
            raise RequestError(403, "OTSAuthFailed", "The AccessKeyID does not exist.")
        text = request_text(uri, query, headers)
        if is_v4:
            key = self._key_v4(_sign_date(headers["x-ots-signdate"].strip()), headers["x-ots-signregion"].strip())
            expected, given = key.sign_v4(text + "ots"), headers[_SIGNATURE_V4]
        else:
            key = self._key_v2
            expected, given = key.sign_v2(text), headers[_SIGNATURE_V2]
        if not hmac.compare_digest(expected.encode(), _encode(given.strip())):
            raise RequestError(403, "OTSAuthFailed", "Signature mismatch.")
        return key

    def authorization(self, key: SigningKey, uri: str, headers: Mapping[str, str]) -> str:
        """The ``Authorization`` header of an answer.

        Args:
            key: The key of the request that is answered.
            uri: The path that was asked for.
            headers: All the answer's ``x-ots-*`` headers, their names in lower case.
        """
        return f"OTS {self._access_key_id}:{key.sign_v2(_header_lines(headers) + chr(10) + uri)}"

    def _derive_key(self, sign_date: str, region: str) -> SigningKey:
        """The V4 key of a day and a region; its base64 text is the key, not the bytes that it stands for."""
        key = _encode("aliyun_v4" + self._secret)
        for part in (sign_date, region, "ots", "aliyun_v4_request"):
            key = hmac.digest(key, _encode(part), "sha256")
        return SigningKey(base64.b64encode(key))


def content_md5(body: bytes) -> str:
    """The value of ``x-ots-contentmd5`` for a body."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode("ascii")


def request_text(uri: str, query: str, headers: Mapping[str, str]) -> str:
    """What the signature of a request covers."""
    sorted_query = urlencode(sorted(parse_qsl(query))) if query else ""
    return f"{uri}\nPOST\n{sorted_query}\n{_header_lines(headers)}\n"


@lru_cache(maxsize=4)
def format_second(second: int) -> str:
    """A second since 1970 as the beginning of an ``x-ots-date``."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _header_lines(headers: Mapping[str, str]) -> str:
    lines = [
        f"{name}:{value.strip()}"
        for name, value in headers.items()
        if name.startswith(_PREFIX) and name not in _UNSIGNED
    ]
    lines.sort()
    return "\n".join(lines)


@lru_cache(maxsize=64)
def _epoch_seconds(date: str) -> float:
    """The time that an ``x-ots-date`` names. Cached: clients send whole seconds, many requests in each."""
    try:
        return datetime.strptime(date, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise RequestError(400, "OTSParameterInvalid", f"Invalid date format: {date}.") from None


def _sign_date(date: str) -> str:
    if len(date) != _SIGN_DATE_LENGTH or not (date.isascii() and date.isdigit()):
        raise RequestError(400, "OTSParameterInvalid", f"Invalid date format: {date}.")
    return date


def _digest(context: hmac.HMAC, text: str) -> str:
    context = context.copy()
    context.update(_encode(text))
    return base64.b64encode(context.digest()).decode("ascii")


def _encode(text: str) -> bytes:
    # Headers may hold bytes that are no text; they must fail the comparison, not the encoding.
    return text.encode("utf-8", "surrogatepass")
