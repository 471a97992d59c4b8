"""The one exception by which the embedded engine refuses a request.

The service answers a refused request with an HTTP status and a protobuf body of a code and a message; so does
the embedded engine, from a `RequestError` raised anywhere below its entry point.
"""

from __future__ import annotations


class RequestError(Exception):
    """A request that the service would refuse, with the answer that it would give.

    Args:
        status: The HTTP status of the answer.
        code: The error code, such as ``OTSParameterInvalid``.
        message: The error message, as the service words it.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
