"""Files that the commands write: whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[TextIO]:
    """A file to write, which has its name once it is complete.

    Whatever goes wrong meanwhile leaves what was there as it was.

    Args:
        path: Its name.
        force: Whether it may take the place of a file that exists.

    Raises:
        FileExistsError: It exists.
        OSError: It cannot be written.
    """
    if not force and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    if path.exists() and not path.is_file():
        # A device or a pipe is written as it is.
        with path.open("w", encoding="utf-8", newline="\n") as lines:
            yield lines
        return
    target = path.resolve()
    part = target.with_name(f"{target.name}.part")
    lines = part.open("w", encoding="utf-8", newline="\n")
    try:
        with lines:
            if target.exists():
                shutil.copymode(target, part)
            yield lines
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
