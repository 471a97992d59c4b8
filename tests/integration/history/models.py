"""A chat model for tests: it says back what it was asked, in pieces where it is streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult


class EchoModel(BaseChatModel):
    """Answers with the number of messages that it was given and the last of them.

    Attributes:
        meanwhile: Called while it thinks.
    """

    meanwhile: Callable[[], Any] | None = None

    @property
    def _llm_type(self) -> str:
        return "echo"

    def _answer(self, messages: list[BaseMessage]) -> str:
        return f"{len(messages)} messages, last: {messages[-1].text}"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
        if self.meanwhile:
            self.meanwhile()
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self._answer(messages)))])

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
        if self.meanwhile:
            await self.meanwhile()
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self._answer(messages)))])

    def _stream(self, messages, stop=None, run_manager=None, **kwargs) -> Iterator[ChatGenerationChunk]:
        if self.meanwhile:
            self.meanwhile()
        for piece in self._answer(messages):
            yield ChatGenerationChunk(message=AIMessageChunk(piece))

    async def _astream(self, messages, stop=None, run_manager=None, **kwargs) -> AsyncIterator[ChatGenerationChunk]:
        if self.meanwhile:
            await self.meanwhile()
        for piece in self._answer(messages):
            yield ChatGenerationChunk(message=AIMessageChunk(piece))
