"""Long-term memory for agents and chains: tools that a model calls, and a step that fills a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, Field

from langchain_tablestore_memory.core.checks import check_count, check_id
from langchain_tablestore_memory.core.memories import MAX_K, Memory
from langchain_tablestore_memory.core.operations import operation
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.runtime import User, check_user, nobody, running, thread_of, user_of

if TYPE_CHECKING:
    from langchain_tablestore_memory.connection import Connection
    from langchain_tablestore_memory.long_term_memory import LongTermMemory

T = TypeVar("T")


class Remembered(BaseModel):
    """What a model gives to `remember`."""

    text: str = Field(description="One fact about the user, as a short sentence that can be understood alone.")


class Asked(BaseModel):
    """What a model gives to `recall`."""

    query: str = Field(description="What to look for, in words that the memory may use.")


class Forgotten(BaseModel):
    """What a model gives to `forget`."""

    memory_id: str = Field(description="The id of the memory, as recall gives it.")


def memory_tools(memory: LongTermMemory, user_id: User, *, session_id: str | None, k: int) -> Sequence[BaseTool]:
    """The tools of `LongTermMemory.tools`, where the user may also be a function of LangGraph's runtime."""
    bound = _Tools(memory, user_id, session_id, k)
    return [
        StructuredTool.from_function(
            call, coroutine=acall, name=name, description=description, args_schema=schema, handle_tool_error=True
        )
        for name, call, acall, schema, description in (
            (
                "remember",
                bound.remember,
                bound.aremember,
                Remembered,
                "Remember a lasting fact about the user for later conversations: a preference, a name, a date.",
            ),
            (
                "recall",
                bound.recall,
                bound.arecall,
                Asked,
                "Look up what is remembered of the user from earlier conversations.",
            ),
            (
                "forget",
                bound.forget,
                bound.aforget,
                Forgotten,
                "Forget one memory of the user, when they ask for it or when it is wrong.",
            ),
        )
    ]


def memory_step(
    memory: LongTermMemory, user_id: str | None, *, input_key: str, output_key: str, k: int, **recall_options: Any
) -> Runnable[Any, dict[str, Any]]:
    """The step of `LongTermMemory.as_runnable`."""
    step = _Step(memory, user_id, input_key, output_key, {"k": k, **recall_options})
    return RunnableLambda(step.add, step.aadd, name="recall")


def in_lines(memories: Sequence[Memory]) -> str:
    """Memories as a prompt shows them: one in a line, none as nothing."""
    return "\n".join(f"- {_in_one_line(memory)}" for memory in memories)


class _Bound:
    """A memory with the user that it is about: given here, or by the runtime or the configuration of each call."""

    def __init__(self, memory: LongTermMemory, user_id: User) -> None:
        self._memory = memory
        self._user_id = check_user(user_id)

    @property
    def _connection(self) -> Connection:
        return self._memory._connection  # noqa: SLF001 - a part of it

    def _user(self, config: RunnableConfig) -> str:
        found = user_of(self._user_id, running(), config)
        if found is None:
            raise nobody("memories these are")
        return found


class _Tools(_Bound):
    """What the tools do. A model sees the arguments of its schema and nothing else."""

    def __init__(self, memory: LongTermMemory, user_id: User, session_id: str | None, k: int) -> None:
        super().__init__(memory, user_id)
        self._session_id = None if session_id is None else check_id(session_id, "session_id")
        self._k = check_count(k, "k", at_most=MAX_K)

    def _remember(self, text: str, config: RunnableConfig) -> Program[str]:
        user = self._user(config)
        session = self._session_id if self._session_id is not None else thread_of(running(), config)
        stored = yield from _told_to_the_model(
            self._memory._remember(user, text, session_id=session)  # noqa: SLF001 - a program of ours
        )
        return f"Remembered as {stored[0].memory_id}."

    remember, aremember = operation(_remember)

    def _recall(self, query: str, config: RunnableConfig) -> Program[str]:
        user = self._user(config)
        found = yield from _told_to_the_model(
            self._memory._recall(user, query, self._k)  # noqa: SLF001 - a program of ours
        )
        if not found:
            return "Nothing is remembered about that."
        return "\n".join(f"{memory.memory_id}: {_in_one_line(memory)}" for memory in found)

    recall, arecall = operation(_recall)

    def _forget(self, memory_id: str, config: RunnableConfig) -> Program[str]:
        user = self._user(config)
        number = yield from _told_to_the_model(
            self._memory._forget(user, memory_id)  # noqa: SLF001 - a program of ours
        )
        return f"Forgot {memory_id}." if number else f"There is no memory {memory_id}. Call recall for the ids."

    forget, aforget = operation(_forget)


class _Step(_Bound):
    """What the step of a chain does."""

    def __init__(
        self,
        memory: LongTermMemory,
        user_id: str | None,
        input_key: str,
        output_key: str,
        recall_options: Mapping[str, Any],
    ) -> None:
        super().__init__(memory, user_id)
        self._input_key = input_key
        self._output_key = output_key
        self._recall_options = recall_options

    def _add(self, given: Any, config: RunnableConfig) -> Program[dict[str, Any]]:
        if not isinstance(given, Mapping) or self._input_key not in given:
            raise InvalidArgumentError(
                f"The input has no {self._input_key!r}. Give a dict with it, or name another input_key."
            )
        question = given[self._input_key]
        found = yield from self._memory._recall(self._user(config), question, **self._recall_options)  # noqa: SLF001
        return {**given, self._output_key: in_lines(found)}

    add, aadd = operation(_add)


def _told_to_the_model(program: Program[T]) -> Program[T]:
    """Run a program; what is wrong with the arguments that the model chose becomes the answer that it gets."""
    try:
        return (yield from program)
    except InvalidArgumentError as error:
        raise ToolException(str(error)) from error


def _in_one_line(memory: Memory) -> str:
    return " ".join(memory.text.split())
