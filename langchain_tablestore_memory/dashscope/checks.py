"""Checks of what is sent to DashScope."""

from __future__ import annotations

from typing import Any

from langchain_tablestore_memory.errors import ConfigurationError


def check_model(model: Any, *, such_as: str) -> str:
    """Check the name of a model.

    Raises:
        ConfigurationError: It is no name.
    """
    if not isinstance(model, str) or not model.strip():
        raise ConfigurationError(f"model is {model!r}. Give the name of a model, such as {such_as!r}.")
    return model


def check_instruct(instruct: Any) -> str | None:
    """Check an instruction that may be left out.

    Raises:
        ConfigurationError: It is no text.
    """
    if instruct is not None and (not isinstance(instruct, str) or not instruct.strip()):
        raise ConfigurationError("instruct is no text. Give one English sentence, or None.")
    return instruct
