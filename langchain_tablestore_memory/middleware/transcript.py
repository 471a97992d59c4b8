"""TranscriptMiddleware: the full transcript of an agent's threads, and the list of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware.types import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, BaseMessage
from langgraph.runtime import Runtime

from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.messages import MessageStore
from langchain_tablestore_memory.core.operations import operation
from langchain_tablestore_memory.core.programs import Outside, Program
from langchain_tablestore_memory.core.records import DEFAULT_USER
from langchain_tablestore_memory.core.sessions import SessionRegistry
from langchain_tablestore_memory.drafts import check_types
from langchain_tablestore_memory.errors import ConfigurationError
from langchain_tablestore_memory.history_entries import EntryReader
from langchain_tablestore_memory.middleware.recording import Tables, ThreadRecord
from langchain_tablestore_memory.runtime import User, check_user, running_config, thread_of, user_of

if TYPE_CHECKING:
    from datetime import timedelta

    import tablestore

_THREADS = 1000
"""Threads of which it is remembered what is recorded."""

Handler = Callable[[ModelRequest[Any]], Any]
"""What calls the model: returns a `ModelResponse`, or promises one."""


class TranscriptMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Records every message of an agent's threads, so that the whole conversation can be shown, and a list of them.

    A checkpointer keeps what the model needs next: `SummarizationMiddleware` and others trim it, and there is no list
    of a user's threads. This keeps what was said: each message once, by its id, in order. The thread is a session then:
    `SessionRegistry.list` shows it with title, time, count and preview, and `TablestoreChatMessageHistory` reads it.

    The messages of the user are stored before the model is called, so they survive one that fails. Its answer is stored
    as soon as it is there, before tools run, and their results before the next call of the model, or at the end. Each
    time this takes one request, and none where nothing is new. Errors of the store end the run.

    Put it first in the list of middleware: it then records what was asked, and what tools gave, before others change or
    trim it, and what is answered in the end. Others may stand before it all the same, but results of tools that those
    remove before the model has seen them are not recorded.

    - **Ids**: a message that comes again is known by its id alone. Who uses no checkpointer, and gives the agent the
      whole conversation each time, gives each message an id and keeps it, or all are recorded anew.
    - **Changes**: as long as nothing follows a message, what it becomes under its id is recorded too, such as calls of
      tools that somebody edits, or personal data that is taken out: until then, what came first is stored. Later it
      stays as it was: what others trim, remove or clear from the state to save tokens stays in the transcript.
    - **Summaries**, and other messages that LangChain marks as nobody's (`lc_source`), are recorded where they were
      made, with the metadata ``message_source``. They are not counted, and are neither title nor preview. Without them:
      `history.entries(metadata_filter={"message_source": {"$exists": False}})`.
    - **Deleting**: what is deleted from the transcript stays deleted as long as a later answer of the model is there.
      Who deletes a whole session deletes the checkpointer's thread too, or what that still holds is recorded again.
    - **Several agents** may run on one thread at once, in one process or in several, and each message is there once.
      Where requests fail in between, or a process dies, the count can be off by what was under way:
      `SessionRegistry.recount` sets it right.
    - **Crashes**: LangGraph stores a step while the next one runs already. Where a process dies in between, the model
      may be asked again, and both answers are there; calls of tools in the first one have no results. Run with
      ``durability="sync"`` where that matters.
    - **Subgraphs**: an agent inside of another graph records in the same thread.
    - **Going back**: a run from an earlier checkpoint is recorded after what is there already; nothing is taken back.
      A message that is given other content there, and keeps its id, takes the place of what it was.
      The configuration of such a checkpoint names no user: give it in the context, or add it, or the run is recorded
      as another user's (``"default"``).
    - **Owners**: a checkpointer hands a thread to whoever names it, and what it holds is recorded for the user of the
      run. So ids of threads are to be unique over all users.

    Args:
        connection: What `connect` returns, an SDK client, or the default connection.
        user_id: Whose threads: a user, or a function that takes it from LangGraph's `Runtime`. By default the `user_id`
            of the run's context (an attribute or a key), or of `config["configurable"]`, or whoever signed in to a
            LangGraph server, or else ``"default"``. On a server whose clients choose context and configuration, give a
            function that returns who signed in.
        session_table: The table that lists the sessions.
        message_table: The table of the messages.
        ttl: Seconds (or a `timedelta`) after which messages vanish, at least one day; None for never. It belongs to
            the message table, so all who use the table give the same.
        isolate_users: False for the layout of tablestore-for-agent-memory; see `TablestoreChatMessageHistory`.
        artifact_types: Dataclasses, pydantic models and enums of yours that occur in messages, such as in the
            artifacts of tools.

    Raises:
        ConfigurationError: By a run without a `thread_id`.
        InvalidArgumentError: An id is empty or too long, or a number is out of range; or, by a run, a message cannot be
            stored: it holds an object of no known type, or has over 4 MB. The error names it and says how the thread
            goes on without it.
        WriteError: By a run: some messages are not known to be stored. Run the agent again, with None where it has a
            checkpointer, else with the same messages.

    Example:
        ```python
        from langchain.agents import create_agent
        from langgraph.checkpoint.memory import InMemorySaver

        connection = connect("local::memory:")
        agent = create_agent(
            OfflineChatModel(),
            middleware=[TranscriptMiddleware(connection)],
            checkpointer=InMemorySaver(),
        )
        config = {"configurable": {"thread_id": "t1", "user_id": "u1"}}
        agent.invoke({"messages": [("human", "My name is Ada.")]}, config)

        [session] = SessionRegistry(connection).list("u1").items
        session.title, session.message_count  # ("My name is Ada.", 2)
        TablestoreChatMessageHistory("t1", user_id="u1", connection=connection).messages
        ```
    """

    def __init__(
        self,
        connection: Connection | tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        *,
        user_id: User = None,
        session_table: str = "session",
        message_table: str = "message",
        ttl: int | timedelta | None = None,
        isolate_users: bool = True,
        artifact_types: Collection[type] = (),
    ) -> None:
        super().__init__()
        self.tools = []
        self._connection = Connection.of(connection)
        self._user_id = check_user(user_id)
        self._tables = Tables(
            SessionRegistry(self._connection, session_table=session_table, message_table=message_table),
            MessageStore(self._connection, table_name=message_table, ttl=ttl),
            EntryReader(check_types(artifact_types)),
            isolate_users,
        )
        self._threads: OrderedDict[tuple[str, str], ThreadRecord] = OrderedDict()
        self._lock = threading.Lock()

    def _before_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> Program[None]:
        """Record the input, before anything can trim it."""
        yield from self._thread(runtime).record(state.get("messages", ()))

    before_agent, abefore_agent = operation(_before_agent)

    def _before_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> Program[None]:
        """Record what tools gave, before anything can trim it."""
        yield from self._thread(runtime).record(state.get("messages", ()))

    before_model, abefore_model = operation(_before_model)

    def _wrap_model_call(self, request: ModelRequest[Any], handler: Handler) -> Program[Any]:
        """Record what the model is given before, and what it answers after it is called."""
        thread = self._thread(request.runtime)
        yield from thread.record(request.state["messages"])
        response = yield Outside(lambda: handler(request), lambda: handler(request))
        yield from thread.record(_answers(response), just_made=True)
        return response

    wrap_model_call, awrap_model_call = operation(_wrap_model_call)

    def _after_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> Program[None]:
        """Record what no model was called with: results of tools that end the run, what other middleware has added."""
        yield from self._thread(runtime).record(state.get("messages", ()))

    after_agent, aafter_agent = operation(_after_agent)

    def _thread(self, runtime: Any) -> ThreadRecord:
        """What is recorded of the thread of a run.

        Raises:
            ConfigurationError: The run names no thread.
        """
        config = running_config()
        thread_id = thread_of(runtime, config)
        if thread_id is None:
            raise ConfigurationError(
                "There is no thread to record: the run has no thread_id. Call the agent with "
                '{"configurable": {"thread_id": ...}}.'
            )
        user_id = user_of(self._user_id, runtime, config) or DEFAULT_USER
        with self._lock:
            thread = self._threads.get((user_id, thread_id))
            if thread is None:
                thread = self._threads[user_id, thread_id] = ThreadRecord(self._tables, user_id, thread_id)
                if len(self._threads) > _THREADS:
                    self._threads.popitem(last=False)
            self._threads.move_to_end((user_id, thread_id))
        return thread


def _answers(response: Any) -> Sequence[BaseMessage]:
    """The messages that a call of the model gave."""
    if isinstance(response, AIMessage):
        return [response]
    model_response = response if isinstance(response, ModelResponse) else response.model_response
    return list(model_response.result)
