"""What a conversation is called in lists, and what is shown of it: excerpts of its messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langchain_core.messages import BaseMessage, HumanMessage

from langchain_tablestore_memory.core.message_rows import SOURCE
from langchain_tablestore_memory.core.records import Message


def source_of(message: BaseMessage) -> str | None:
    """What put a message into the conversation that nobody said, as LangChain marks it; None where somebody did."""
    source = message.additional_kwargs.get("lc_source")
    return source if isinstance(source, str) and source else None


def texts_of(messages: Sequence[BaseMessage], kind: type[BaseMessage]) -> list[str]:
    """The texts of the messages of a kind that have one, and that somebody said."""
    texts = (str(message.text) for message in messages if isinstance(message, kind) and source_of(message) is None)
    return [text for text in texts if text.strip()]


def opening_of(messages: Sequence[BaseMessage], *, untitled: bool = True, empty: bool = True) -> str | None:
    """What names a conversation: what a human said first, or what was said at all where no human spoke."""
    texts = texts_of(messages, HumanMessage) if untitled else []
    if not texts and empty:
        texts = texts_of(messages, BaseMessage)
    return texts[0] if texts else None


def preview_of(messages: Sequence[BaseMessage]) -> str | None:
    """What was said last."""
    texts = texts_of(messages, BaseMessage)
    return texts[-1] if texts else None


def text_from(time: int, drafts: Iterable[Message]) -> str | None:
    """The last text of messages at or after a time. What is put in the place of an earlier message is no preview."""
    ordered = sorted(drafts, key=lambda message: message.create_time or 0)
    later = [message for message in ordered if (message.create_time or 0) >= time and SOURCE not in message.metadata]
    texts = [message.content for message in later if message.content]
    return next((text for text in reversed(texts) if text.strip()), None)
