"""Turns a method that makes a program into the pair of methods that users call: one sync, one async.

```python
class Store:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _get(self, key: str) -> Program[str | None]:
        \"\"\"Read one value.\"\"\"
        ...

    get, aget = operation(_get)
```

`listing` does the same for methods that return `Pages`: an iterator and an async iterator, which read a page when they
come to it.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from langchain_tablestore_memory.connection import Connection
    from langchain_tablestore_memory.core.programs import Program
    from langchain_tablestore_memory.core.ranges import Pages


class Connected(Protocol):
    """Whatever has a connection to run its programs on."""

    @property
    def _connection(self) -> Connection: ...


S = TypeVar("S", bound=Connected)
P = ParamSpec("P")
T = TypeVar("T")


def operation(
    make: Callable[Concatenate[S, P], Program[T]],
) -> tuple[Callable[Concatenate[S, P], T], Callable[Concatenate[S, P], Coroutine[Any, Any, T]]]:
    """The sync and the async method that run the program made by `make`."""

    @functools.wraps(make)
    def blocking(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._connection.run(make(self, *args, **kwargs))

    @functools.wraps(make)
    async def awaiting(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._connection.arun(make(self, *args, **kwargs))

    return _named(blocking, make, ""), _named(awaiting, make, "a")


def listing(
    make: Callable[Concatenate[S, P], Pages[T]],
) -> tuple[Callable[Concatenate[S, P], Iterator[T]], Callable[Concatenate[S, P], AsyncIterator[T]]]:
    """The sync and the async method that iterate over the pages made by `make`.

    Wrong arguments are refused by the call itself; the first request goes out with the first `next`.
    """

    @functools.wraps(make)
    def blocking(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._connection.iterate(make(self, *args, **kwargs))

    @functools.wraps(make)
    def awaiting(self: S, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._connection.aiterate(make(self, *args, **kwargs))

    return _named(blocking, make, ""), _named(awaiting, make, "a")


def _named(method: Callable[P, T], make: Callable[..., Any], prefix: str) -> Callable[P, T]:
    """Call a method in tracebacks and help what users call it, not what its program is called."""
    owner, _, name = make.__qualname__.rpartition(".")
    method.__name__ = prefix + name.removeprefix("_")
    method.__qualname__ = f"{owner}.{method.__name__}"
    # What the program returns is not what the method returns.
    method.__annotations__ = {key: value for key, value in make.__annotations__.items() if key != "return"}
    return method
