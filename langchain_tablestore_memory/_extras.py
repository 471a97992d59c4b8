"""Optional dependencies: what to install where an import fails for lack of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs_extra(extra: str, *packages: str) -> Iterator[None]:
    """Say which extra of this package brings what an import inside the block lacks.

    Args:
        extra: The extra.
        packages: The import names of the packages that it brings.

    Raises:
        ModuleNotFoundError: One of these packages is not installed; names the extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in packages:
            raise
        raise ModuleNotFoundError(
            f"The package {error.name.partition('.')[0]} is not installed; "
            f"run: pip install 'langchain-tablestore-memory[{extra}]'",
            name=error.name,
        ) from error
