"""A stand-in for a chat model, for demonstrations and examples without a network."""
# ruff: noqa: RUF001 - Chinese punctuation is meant

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_tablestore_memory._offline_answers import answer, key_words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool

MODEL_NAME = "offline-stand-in"

# One Chinese character, or one run of anything else up to the next space.
_PIECE = re.compile(
    r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]|[^\s\u3000-\u303f\u3400-\u9fff\uff00-\uffef]*\s+|[^\s\u3000-\u303f\u3400-\u9fff\uff00-\uffef]+"
)
_LEAST_SHARED_WORDS = 2
_WHOLE_QUESTION = frozenset({"query", "question", "text", "content", "input", "message", "prompt", "request", "search"})
_PLACE = re.compile(r"\b(?:in|for|of|to|at|about|named|called)\s+([A-Z][\w'-]*(?:\s+[A-Z][\w'-]*)*)")
_QUOTED = re.compile(r"[\"“'‘「]([^\"”'’」]+)[\"”'’」]")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class OfflineChatModel(BaseChatModel):
    """A rule-based stand-in for a chat model: no language model, and it knows nothing.

    It makes memory visible where no model can be reached: it recognises what people say of themselves (name, city, job,
    likes, birthday, pets, ...; in English and Chinese) in the messages that it is given, and tells it back when asked,
    in the language of the question. It also finds the sentence of a system message that answers a question, and tells
    where it is from if its line begins with a label such as ``[tea.md]``; counts and quotes the conversation; and calls
    tools whose description fits. To everything else it answers what it is and how to use a real model. The same
    messages always get the same answer; only a tool call has an id of its own each time, as with any model.

    Example:
        ```python
        model = OfflineChatModel()
        model.invoke([("human", "My name is Ada."), ("human", "What is my name?")]).text  # "Your name is Ada."
        ```

    Attributes:
        delay: Seconds to wait before each streamed piece (a word, or a Chinese character), as a model would.
    """

    delay: float = 0.0

    @property
    def _llm_type(self) -> str:
        return MODEL_NAME

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": MODEL_NAME}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools; one is called when the question names it, or clearly shares words with its description.

        Args:
            tools: The tools, in any form that LangChain converts.
            tool_choice: ``auto`` or None as above, ``none`` for no call; ``any``, ``required`` or True to
                call the tool that fits best in any case; or the name of the tool to call.
            **kwargs: Further arguments of `bind`.
        """
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def get_num_tokens(self, text: str) -> int:
        """Roughly the number of tokens: one per word and per Chinese character."""
        return len(_PIECE.findall(text))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - only streams announce tokens
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._reply(messages, stop, **kwargs))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in _chunks(self._reply(messages, stop, **kwargs)):
            if self.delay and chunk.text:
                time.sleep(self.delay)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in _chunks(self._reply(messages, stop, **kwargs)):
            await asyncio.sleep(self.delay if chunk.text else 0)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _reply(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        *,
        tools: Sequence[dict[str, Any]] = (),
        tool_choice: str | dict[str, Any] | bool | None = None,
        **_: Any,
    ) -> AIMessage:
        call = _call(messages, tools, tool_choice)
        text = "" if call else _cut(answer(messages), stop or ())
        read = sum(self.get_num_tokens(message.text) for message in messages)
        written = self.get_num_tokens(text) or 1
        return AIMessage(
            content=text,
            tool_calls=[tool_call(**call)] if call else [],
            usage_metadata=UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written),
            response_metadata={"model_name": MODEL_NAME, "finish_reason": "tool_calls" if call else "stop"},
        )


def _chunks(reply: AIMessage) -> Iterator[ChatGenerationChunk]:
    """A reply in small pieces, the last one carrying what is known only at the end."""
    for piece in _PIECE.findall(reply.text):
        yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    calls = [
        tool_call_chunk(
            name=call["name"], args=json.dumps(call["args"], ensure_ascii=False), id=call["id"], index=index
        )
        for index, call in enumerate(reply.tool_calls)
    ]
    last = AIMessageChunk(
        content="",
        tool_call_chunks=calls,
        usage_metadata=reply.usage_metadata,
        response_metadata=reply.response_metadata,
        chunk_position="last",
    )
    yield ChatGenerationChunk(message=last)


def _cut(text: str, stops: Sequence[str]) -> str:
    """A text up to the first of the stop sequences."""
    return text[: min((text.index(stop) for stop in stops if stop in text), default=len(text))]


def _call(
    messages: Sequence[BaseMessage],
    tools: Sequence[dict[str, Any]],
    choice: str | dict[str, Any] | bool | None,
) -> dict[str, Any] | None:
    """The tool call that a question asks for, unless a tool answered it already."""
    position = max((index for index, message in enumerate(messages) if isinstance(message, HumanMessage)), default=-1)
    answered = any(isinstance(message, ToolMessage) for message in messages[position + 1 :])
    if position < 0 or answered or not tools or choice == "none" or choice is False:
        return None
    text = str(messages[position].text)
    fits = [(_fit(text, tool["function"]), -index) for index, tool in enumerate(tools)]
    best, index = max(fits)
    function = tools[-index]["function"]
    if isinstance(choice, dict):
        choice = choice.get("function", choice).get("name")
    if isinstance(choice, str) and choice not in {"auto", "any", "required"}:
        function = next((tool["function"] for tool in tools if tool["function"]["name"] == choice), None)
        if function is None:
            raise ValueError(f"tool_choice is {choice!r}, which is none of the tools. Give the name of one of them.")
    elif choice in {None, "auto"} and best < _LEAST_SHARED_WORDS:
        return None
    return {"name": function["name"], "args": _arguments(text, function), "id": f"call_{uuid.uuid4().hex}"}


def _fit(text: str, function: dict[str, Any]) -> int:
    """How well a question fits a tool: the words that they share; naming the tool counts as fitting clearly."""
    name = function["name"]
    if name.lower() in text.lower() or name.replace("_", " ").lower() in text.lower():
        return 100
    return len(key_words(text) & key_words(f"{function.get('description', '')} {name.replace('_', ' ')}"))


def _arguments(text: str, function: dict[str, Any]) -> dict[str, Any]:
    """Arguments for a tool, found in the question as well as rules can."""
    parameters = function.get("parameters", {})
    properties = parameters.get("properties", {})
    wanted = parameters.get("required") or list(properties)[:1]
    return {name: _argument(text, name, properties.get(name, {})) for name in wanted}


def _argument(text: str, name: str, schema: dict[str, Any]) -> Any:
    kind = schema.get("type", "string")
    if "enum" in schema:
        return next((value for value in schema["enum"] if str(value).lower() in text.lower()), schema["enum"][0])
    if kind in {"integer", "number"}:
        found = _NUMBER.search(text)
        number = float(found[0]) if found else 0.0
        return int(number) if kind == "integer" else number
    if kind == "boolean":
        return True
    if kind == "array":
        return [_argument(text, name, schema.get("items", {}))]
    if kind == "object":
        return _arguments(text, {"parameters": schema})
    if name.lower() in _WHOLE_QUESTION:
        return text
    found = _QUOTED.search(text) or _PLACE.search(text)
    return found[1] if found else text
