"""How much of a conversation is read: so many messages, or as many as fit in so many tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, FunctionMessage, ToolMessage

from langchain_tablestore_memory.core.checks import check_count
from langchain_tablestore_memory.errors import InvalidArgumentError

TokenCounter = Callable[[list[BaseMessage]], int]

_TOKENS_PER_PAGE = 500
"""Tokens for which to read one message more per request, where there is only a token limit."""

_LEAST_PAGE = 10


@dataclass(frozen=True, slots=True)
class Window:
    """The latest messages of a conversation.

    Attributes:
        count: How many at the most; None for all.
        max_tokens: How many tokens they may have; None for any number.
        token_counter: Counts the tokens of messages. LangChain's approximation (about 4 characters per token) where
            None.

    Raises:
        InvalidArgumentError: A number is less than 1, or the counter is no function.
    """

    count: int | None = None
    max_tokens: int | None = None
    token_counter: TokenCounter | None = None

    def __post_init__(self) -> None:
        if self.count is not None:
            check_count(self.count, "window")
        if self.max_tokens is not None:
            check_count(self.max_tokens, "max_tokens")
        if self.token_counter is not None and not callable(self.token_counter):
            raise InvalidArgumentError(
                f"token_counter is a {type(self.token_counter).__name__}. Give a function of a list of messages."
            )

    @property
    def page_size(self) -> int | None:
        """Messages to read per request; None where `count` says it already."""
        if self.max_tokens is None:
            return None
        expected = max(_LEAST_PAGE, self.max_tokens // _TOKENS_PER_PAGE)
        return expected if self.count is None else min(expected, self.count)

    def budget(self) -> Budget:
        """A new count of the tokens that are left."""
        return Budget(self.max_tokens, self.token_counter or _approximate_tokens)


@dataclass(slots=True)
class Budget:
    """Tokens that are left, counted message by message from the latest one back."""

    left: int | None
    count: TokenCounter

    def admits(self, message: BaseMessage) -> bool:
        """Whether the message fits in what is left, which is then reduced."""
        if self.left is None:
            return True
        self.left -= self.count([message])
        return self.left >= 0


def without_orphans(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Leave out results of tool calls that are not among the messages, which models refuse.

    Args:
        messages: The latest messages of a conversation, oldest first, cut off anywhere.
    """
    if not any(isinstance(message, ToolMessage | FunctionMessage) for message in messages):
        return list(messages)
    called: set[str] = set()
    kept: list[BaseMessage] = []
    for message in messages:
        if isinstance(message, AIMessage):
            called.update(_calls(message))
        if isinstance(message, ToolMessage) and message.tool_call_id not in called:
            continue
        if isinstance(message, FunctionMessage) and not kept:
            continue
        kept.append(message)
    return kept


def _calls(message: AIMessage) -> set[str]:
    # Some models keep calls only in `additional_kwargs`.
    raw = message.additional_kwargs.get("tool_calls")
    calls = [*message.tool_calls, *message.invalid_tool_calls, *(raw if isinstance(raw, list) else ())]
    # Some leave ids out, and then the results name none either.
    return {call.get("id") or "" for call in calls if isinstance(call, dict)}


def _approximate_tokens(messages: list[BaseMessage]) -> int:
    from langchain_core.messages.utils import count_tokens_approximately  # noqa: PLC0415 - only where tokens count

    return count_tokens_approximately(messages)
