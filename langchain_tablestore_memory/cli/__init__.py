"""The ``tablestore-memory`` command."""

from __future__ import annotations

import sys

_EXTRA = frozenset({"typer", "rich", "prompt_toolkit"})
"""Packages that the commands need and that the ``cli`` extra brings."""


def main() -> None:
    """Run the command line, and exit with its status: 0, or 2 for what the user can mend."""
    try:
        from langchain_tablestore_memory.cli.app import run

        status = run()
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        print(
            f"Error: the package {error.name} is not installed; run: pip install 'langchain-tablestore-memory[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(status)
