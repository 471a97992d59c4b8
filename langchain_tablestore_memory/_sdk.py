"""Imports the Tablestore SDK once, without the noise that it makes on its way in.

On every Python but one the SDK warns, on standard error, that its C++ codec was built for another version. That is
no news to a user of this package. The import happens with the package, so that whichever module is imported first
finds the SDK loaded.
"""

from __future__ import annotations

import logging
import warnings

_NOISY = ("tablestore.encoder", "tablestore.decoder")


def _import_quietly() -> None:
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)
            import tablestore  # noqa: F401, PLC0415
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


_import_quietly()
