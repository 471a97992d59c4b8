"""Ctrl-C, let through only where there is something to stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Interrupts:
    """Holds Ctrl-C back while something has to be finished, such as storing an answer.

    Example:
        ```python
        interrupts = Interrupts()
        with interrupts.held():
            store(question)
            try:
                with interrupts.let_through():
                    stream()
            except KeyboardInterrupt:
                ...
            store(answer)
        ```

    The second Ctrl-C that is held back is raised all the same: whatever is being finished may hang.
    """

    def __init__(self) -> None:
        self._open = False
        self._pending = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold interrupts back, but for those that `let_through` lets through."""
        ours = threading.current_thread() is threading.main_thread()
        if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            # Only the main thread is interrupted; where somebody else handles the signal, they decide.
            yield
            return
        self._open = self._pending = False
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextlib.contextmanager
    def let_through(self) -> Iterator[None]:
        """Let interrupts through, the one that was held back first.

        Raises:
            KeyboardInterrupt: There was one, or there is one now.
        """
        try:
            self._open = True
            if self._pending:
                self._pending = False
                raise KeyboardInterrupt
            yield
        finally:
            self._open = False

    def _handle(self, *_: Any) -> None:
        if self._open or self._pending:
            raise KeyboardInterrupt
        self._pending = True
