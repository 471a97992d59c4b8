"""Whose call it is, and in which conversation: told by the application that runs an agent or a chain, never by a model.

Read from LangGraph's runtime and from the configuration of the call, both by their shape: this module never imports
LangGraph, which need not be installed.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any, cast

from langchain_core.runnables import RunnableConfig

from langchain_tablestore_memory.core.checks import check_id
from langchain_tablestore_memory.errors import ConfigurationError

USER_KEY = "user_id"
THREAD_KEY = "thread_id"
"""Where a call's context and configuration say whose it is, and which conversation: the names that LangGraph uses."""

User = str | Callable[[Any], str | None] | None
"""Whose: a user, a function that takes it from LangGraph's `Runtime`, or None for what the call says itself."""


def check_user(user_id: Any) -> User:
    """Check what was given to say whose calls they are.

    Raises:
        InvalidArgumentError: It is neither None nor an id nor a function.
    """
    return user_id if user_id is None or callable(user_id) else check_id(user_id, USER_KEY)


def check_thread(thread_id: Any, name: str = THREAD_KEY) -> str:
    """Check the id of a thread. Numbers and UUIDs become text, as in LangGraph's own checkpointers.

    Raises:
        InvalidArgumentError: It cannot be one.
    """
    as_text = isinstance(thread_id, int | uuid.UUID) and not isinstance(thread_id, bool)
    return check_id(str(thread_id) if as_text else thread_id, name)


def user_of(given: User, runtime: Any, config: RunnableConfig | None = None) -> str | None:
    """Whose call it is: who was given, or else the first that is named by context, configuration and server.

    Args:
        given: Who was given beforehand, or how to find out.
        runtime: LangGraph's runtime; None outside of it.
        config: The configuration of the call.

    Raises:
        InvalidArgumentError: What is named is no id.
    """
    if callable(given):
        found: Any = given(runtime)
    elif given is not None:
        found = given
    else:
        found = _named(getattr(runtime, "context", None), USER_KEY)
        if found is None:
            found = configured(config, USER_KEY)
        if found is None:
            # Who signed in to a LangGraph server. An application that names somebody else means it.
            user = getattr(getattr(runtime, "server_info", None), "user", None)
            found = getattr(user, "identity", None)
    return None if found is None else check_id(found, USER_KEY)


def thread_of(runtime: Any, config: RunnableConfig | None = None) -> str | None:
    """Which conversation it is; None where none is named.

    Raises:
        InvalidArgumentError: What is named is no id.
    """
    found = getattr(getattr(runtime, "execution_info", None), THREAD_KEY, None)
    if found is None:
        # The runtime does not know it where there is no checkpointer.
        found = configured(config, THREAD_KEY)
    return None if found is None else check_thread(found)


def configured(config: RunnableConfig | None, key: str) -> Any:
    """What a configuration holds under a key; None where it holds nothing."""
    return ((config or {}).get("configurable") or {}).get(key)


def running_config() -> RunnableConfig | None:
    """The configuration of whatever runs in LangGraph; None outside."""
    # Where nobody has imported LangGraph, nothing of it runs.
    langgraph = sys.modules.get("langgraph.config")
    if langgraph is None:
        return None
    try:
        return cast("RunnableConfig", langgraph.get_config())
    except RuntimeError:
        return None


def running() -> Any:
    """The runtime of the graph that runs; None outside of one."""
    langgraph = sys.modules.get("langgraph.runtime")
    config = running_config()
    if langgraph is None or config is None or not config.get("configurable"):
        return None
    return langgraph.get_runtime()


def nobody(what: str) -> ConfigurationError:
    """The error where nobody said whose something is."""
    return ConfigurationError(
        f"Nobody said whose {what}. Give user_id, or call with context that has a user_id, or with "
        '{"configurable": {"user_id": ...}}.'
    )


def _named(context: Any, key: str) -> Any:
    """What a context says, which is an object or a mapping."""
    return context.get(key) if isinstance(context, Mapping) else getattr(context, key, None)
