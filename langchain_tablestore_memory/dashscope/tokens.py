"""QwenTokenCounter: how many tokens messages are for Qwen, counted offline."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from langchain_core.messages import AIMessage, BaseMessage

from langchain_tablestore_memory.core.checks import check_count
from langchain_tablestore_memory.dashscope.sdk import load_sdk
from langchain_tablestore_memory.errors import InvalidArgumentError

_PER_MESSAGE = 5
"""What Qwen's chat format (ChatML) puts around each message: its beginning, the role, its end, and two line breaks."""

_MEDIA = frozenset({"image", "image_url", "audio", "input_audio", "video", "video_url", "file"})
"""Types of content blocks that are no text."""

_CALLS = frozenset({"tool_call", "tool_call_chunk", "tool_use", "function_call", "invalid_tool_call"})
"""Types of content blocks that say again which tools are called."""


class _Tokenizer(Protocol):
    def encode(self, text: str, *, allowed_special: set[str]) -> Sequence[int]: ...


class QwenTokenCounter:
    """Counts the tokens of messages as Qwen does, offline, with the vocabulary that the DashScope SDK carries.

    Texts, tool calls and what the chat format adds are counted; what is no text is reckoned at `tokens_per_media`. The
    definitions of tools, which are sent with each request, are not among the messages and not counted.
    The vocabulary is that of Qwen to Qwen3. Newer models have a larger one, so that for them the count is near, and
    rather too high.

    The vocabulary (2.5 MB) is read when the first counter of a process is made, which takes a moment.

    Args:
        tokens_per_media: Tokens for each image, recording, film or file: 1280 is what Qwen-VL makes of a picture of
            about a megapixel.

    Raises:
        ConfigurationError: The extra ``dashscope`` is not installed.

    Example:
        ```python
        history = TablestoreChatMessageHistory("session-1", max_tokens=8_000, token_counter=QwenTokenCounter())
        trim_messages(messages, max_tokens=8_000, token_counter=QwenTokenCounter())
        ```
    """

    def __init__(self, *, tokens_per_media: int = 1280) -> None:
        self._tokens_per_media = check_count(tokens_per_media, "tokens_per_media")
        _tokenizer()

    def __repr__(self) -> str:
        return f"QwenTokenCounter(tokens_per_media={self._tokens_per_media})"

    def __call__(self, messages: Sequence[BaseMessage]) -> int:
        """The number of tokens of messages.

        Raises:
            InvalidArgumentError: These are no messages.
        """
        return sum(map(self.count_message, messages))

    def count_text(self, text: str) -> int:
        """The number of tokens of a text. What looks like a special token in it is text like any other."""
        if not isinstance(text, str):
            raise InvalidArgumentError(f"The text is a {type(text).__name__}. Give a str.")
        return count_tokens(text)

    def count_message(self, message: BaseMessage) -> int:
        """The number of tokens of one message."""
        if not isinstance(message, BaseMessage):
            raise InvalidArgumentError(f"A {type(message).__name__} was given for a message. Give LangChain messages.")
        media, texts = 0, []
        for part in _parts(message):
            if isinstance(part, str):
                texts.append(part)
            else:
                media += 1
        return _PER_MESSAGE + media * self._tokens_per_media + sum(map(self.count_text, texts))


def count_tokens(text: str) -> int:
    """The number of tokens of a text for Qwen."""
    # A lone surrogate is no Unicode, and cannot be sent either; it counts as the character that replaces it.
    return len(_tokenizer().encode(text.encode(errors="replace").decode(), allowed_special=set()))


def _parts(message: BaseMessage) -> Iterator[str | None]:
    """What a message is made of: texts, and None for each thing that is none."""
    blocks: list[Any] = [message.content] if isinstance(message.content, str) else list(message.content)
    for block in blocks:
        if isinstance(block, str):
            yield block
        elif block.get("type") in _MEDIA:
            yield None
        elif block.get("type") not in _CALLS:
            texts = [block[key] for key in ("text", "reasoning") if isinstance(block.get(key), str)]
            yield from texts or [_json(block)]
    if isinstance(message, AIMessage):
        for call in (*message.tool_calls, *message.invalid_tool_calls):
            yield _json({"name": call["name"], "arguments": call["args"]})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


@functools.cache
def _tokenizer() -> _Tokenizer:
    # All Qwen models have the same one in the SDK.
    tokenizer: _Tokenizer = load_sdk().get_tokenizer("qwen-plus")
    return tokenizer
