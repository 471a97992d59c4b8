"""The DashScope SDK, imported when it is first needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from langchain_tablestore_memory.errors import ConfigurationError

_INSTALL = 'Install it with: pip install "langchain-tablestore-memory[dashscope]"'


def load_sdk() -> ModuleType:
    """The module `dashscope`, version 2.

    Raises:
        ConfigurationError: It is not installed, or too old.
    """
    try:
        sdk = importlib.import_module("dashscope")
    except ImportError as error:
        raise ConfigurationError(f"The DashScope SDK cannot be imported: {error}. {_INSTALL}") from error
    if not hasattr(sdk, "AsyncClient"):
        raise ConfigurationError(f"The DashScope SDK is older than version 2. {_INSTALL}")
    return sdk
