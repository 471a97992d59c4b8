"""Agents as the tests use them: a model that follows a script, and runs in both modes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, PrivateAttr

from langchain_tablestore_memory import (
    Connection,
    HistoryEntry,
    Session,
    SessionRegistry,
    TablestoreChatMessageHistory,
)


def calling(*calls: tuple[str, dict[str, Any]], text: str = "") -> AIMessage:
    """An answer that calls tools, each given by its name and arguments."""
    numbers = itertools.count()
    return AIMessage(
        text,
        tool_calls=[
            {"name": name, "args": args, "id": f"call-{name}-{next(numbers)}", "type": "tool_call"}
            for name, args in calls
        ],
    )


class ScriptedModel(BaseChatModel):
    """Answers what its script says, in order, and what its `otherwise` gives when that is at its end.

    Attributes:
        script: Messages to answer, and errors to raise.
        otherwise: Makes an answer of what the model was given.
        given: The messages of each call.
        offered: The names of the tools that were offered last.
    """

    script: list[Any] = Field(default_factory=list)
    otherwise: Callable[[Sequence[BaseMessage]], AIMessage] = lambda given: AIMessage(f"re: {given[-1].text}")
    given: list[list[BaseMessage]] = Field(default_factory=list)
    offered: list[str] = Field(default_factory=list)
    _position: int = PrivateAttr(0)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Any:
        self.offered = [tool["function"]["name"] if isinstance(tool, dict) else tool.name for tool in tools]
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.given.append(list(messages))
        position, self._position = self._position, self._position + 1
        answer = self.script[position] if position < len(self.script) else self.otherwise(messages)
        if isinstance(answer, BaseException):
            raise answer
        return ChatResult(generations=[ChatGeneration(message=answer.model_copy(deep=True))])

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        await asyncio.sleep(0)
        return self._generate(messages)


class Runs:
    """Runs agents in one mode, and reads what they left."""

    def __init__(self, connection: Connection, mode: str) -> None:
        self.connection = connection
        self.mode = mode

    async def __call__(
        self, agent: Any, given: Any, thread: str = "t1", user: str | None = "u1", **options: Any
    ) -> Any:
        """Run an agent with a text, messages, or whatever else a graph takes."""
        config = {"configurable": {"thread_id": thread, **({} if user is None else {"user_id": user})}}
        return await self.with_config(agent, given, config, **options)

    async def with_config(self, agent: Any, given: Any, config: Any, **options: Any) -> Any:
        given = asked(given)
        if self.mode == "async":
            return await agent.ainvoke(given, config, **options)
        return agent.invoke(given, config, **options)

    async def stream(self, agent: Any, given: Any, thread: str = "t1", user: str = "u1", **options: Any) -> list[Any]:
        config = {"configurable": {"thread_id": thread, "user_id": user}}
        if self.mode == "async":
            return [part async for part in agent.astream(asked(given), config, **options)]
        return list(agent.stream(asked(given), config, **options))

    async def state(self, agent: Any, thread: str = "t1") -> list[BaseMessage]:
        """The messages that the checkpointer holds."""
        config = {"configurable": {"thread_id": thread}}
        state = await agent.aget_state(config) if self.mode == "async" else agent.get_state(config)
        return list(state.values.get("messages", []))

    def history(self, thread: str = "t1", user: str = "u1", **options: Any) -> TablestoreChatMessageHistory:
        return TablestoreChatMessageHistory(thread, user_id=user, connection=self.connection, **options)

    async def entries(self, thread: str = "t1", user: str = "u1", **options: Any) -> list[HistoryEntry]:
        return list(await self.all(self.history(thread, user, **options), "entries"))

    async def texts(self, thread: str = "t1", user: str = "u1") -> list[str]:
        return [str(entry.message.text) for entry in await self.entries(thread, user)]

    async def session(self, thread: str = "t1", user: str = "u1") -> Session | None:
        found: Session | None = await self.all(SessionRegistry(self.connection), "get", thread, user)
        return found

    async def sessions(self, user: str = "u1") -> list[Session]:
        page = await self.all(SessionRegistry(self.connection), "list", user)
        return list(page.items)

    async def all(self, owner: Any, name: str, *args: Any, **options: Any) -> Any:
        """Call a method by the name of the sync one, in this mode."""
        if self.mode == "sync":
            found = getattr(owner, name)(*args, **options)
            return list(found) if isinstance(found, Iterator) else found
        found = getattr(owner, f"a{name}")(*args, **options)
        if isinstance(found, AsyncIterator):
            return [each async for each in found]
        return await found


def asked(given: Any) -> Any:
    """What a graph takes: a text as what a human said, messages as they are, and anything else unchanged."""
    if isinstance(given, str):
        given = [HumanMessage(given)]
    return {"messages": given} if isinstance(given, list) else given


def ids(messages: Sequence[Any]) -> list[str]:
    """The ids of messages or of entries."""
    return [str(each.id) for each in messages]
