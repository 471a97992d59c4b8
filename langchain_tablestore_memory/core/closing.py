"""Closing what was opened: `with` and `async with` for whatever has `close` and `aclose`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """A context manager, sync and async, that closes itself at the end."""

    @abstractmethod
    def close(self) -> None:
        """Release what was opened. Repeating it is harmless."""

    @abstractmethod
    async def aclose(self) -> None:
        """The async twin of `close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
