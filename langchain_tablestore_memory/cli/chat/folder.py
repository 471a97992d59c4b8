"""The files of a folder: which of them are read, and which are left out, and why."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_tablestore_memory.cli.display import shortened
from langchain_tablestore_memory.core.checks import MAX_KEY_BYTES
from langchain_tablestore_memory.core.writes import some_of
from langchain_tablestore_memory.errors import ConfigurationError

SUFFIXES = (".markdown", ".md", ".text", ".txt")

_NAME = 80
"""Characters of a file's name that are shown."""


class LeftOut:
    """What is not read, told in one line for each reason."""

    def __init__(self) -> None:
        self._sources: dict[str, list[str]] = {}

    def add(self, source: str, reason: str) -> None:
        """Leave a file or a folder out.

        Args:
            source: Its name, relative to the folder.
            reason: Why, in the same words for all that are of a kind.
        """
        self._sources.setdefault(reason, []).append(source)

    def __iter__(self) -> Iterator[str]:
        for reason, sources in self._sources.items():
            names = some_of([shortened(source, _NAME) for source in sources])
            yield f"Left out: {names} ({reason})."


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file that was read.

    Attributes:
        source: Its name, relative to the folder.
        text: What it says.
        digest: What tells whether it has changed.
    """

    source: str
    text: str
    digest: str


def text_files(folder: Path, left_out: LeftOut) -> Sequence[Path]:
    """The text and Markdown files of a folder and those in it, in order.

    Args:
        folder: The folder.
        left_out: Told of everything else, of what is hidden and what is linked to too.

    Raises:
        ConfigurationError: It is no folder, cannot be read, or holds no such file.
    """
    _check_place(folder)
    if not folder.is_dir():
        kind = "is a file" if folder.exists() else "does not exist"
        raise ConfigurationError(f"The folder {folder} {kind}. Pass --knowledge a folder of text and Markdown files.")

    def refuse(error: OSError) -> None:
        raise ConfigurationError(
            f"The folder {error.filename} cannot be read ({error.strerror or error}). Grant access to it, or pass "
            "--knowledge another one."
        ) from error

    def is_kept(path: Path, reason: str | None) -> bool:
        if reason is not None:
            left_out.add(path.relative_to(folder).as_posix(), reason)
        return reason is None

    files: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        within = [Path(place, name) for name in sorted(folders)]
        folders[:] = [path.name for path in within if is_kept(path, _why_no_folder(path))]
        files += [path for name in sorted(names) if is_kept(path := Path(place, name), _why_no_text(path))]
    if not files:
        raise ConfigurationError(
            f"The folder {folder} holds no file that ends with {', '.join(SUFFIXES)}. Pass --knowledge another one."
        )
    return files


def read_text(path: Path, source: str, left_out: LeftOut) -> TextFile | None:
    """Read a file.

    Args:
        path: Where it is.
        source: Its name, relative to the folder.
        left_out: Told of it where it cannot be read.

    Returns:
        The file; None where it is left out.
    """
    try:
        content = path.read_bytes()
        if b"\0" not in content:
            return TextFile(source, content.decode("utf-8-sig"), hashlib.sha256(content).hexdigest())
        left_out.add(source, "a binary file")
    except OSError as error:
        left_out.add(source, _unreadable(error))
    except UnicodeDecodeError:
        left_out.add(source, "no UTF-8 text; save it as UTF-8")
    return None


def _check_place(folder: Path) -> None:
    """Refuse a folder by whose path nothing can be kept."""
    try:
        size = len(str(folder).encode())
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"The path of the folder {folder} is no UTF-8 text. Rename it, or pass --knowledge another one."
        ) from None
    if size > MAX_KEY_BYTES:
        raise ConfigurationError(
            f"The path of the folder takes {size} bytes, and {MAX_KEY_BYTES} at most are kept. Pass --knowledge one "
            "with a shorter path."
        )


def _why_no_folder(path: Path) -> str | None:
    if _is_hidden(path):
        return "hidden"
    return "a link to a folder; links are not followed" if path.is_symlink() else None


def _why_no_text(path: Path) -> str | None:
    if _is_hidden(path):
        return "hidden"
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        kind = f"{suffix} files are" if suffix else "a file without an ending is"
        return f"{kind} not read, only {', '.join(SUFFIXES)}"
    try:
        str(path).encode()
        return None if stat.S_ISREG(path.stat().st_mode) else "no regular file"
    except OSError as error:
        return _unreadable(error)
    except UnicodeEncodeError:
        return "the name is no UTF-8 text; rename it"


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"
