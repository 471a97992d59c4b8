"""Under RunnableWithMessageHistory: invoked and streamed, sync and async, alone and with others on the same session."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import ConfigurableFieldSpec, RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_tablestore_memory import SessionRegistry, TablestoreChatMessageHistory

from .models import EchoModel
from .support import unique

MODES = ["invoke", "stream", "batch"]
SHAPES = ["list", "prompt"]


class Chain:
    """A chain with history, called in one of the ways that there are."""

    def __init__(self, connection, shape, call, mode, shared=None, **options):
        self.connection = connection
        self.call = call
        self.mode = mode
        self.shape = shape
        self.options = options
        self.meanwhile = None
        self.shared = shared
        self.user = unique("u")
        model = EchoModel(meanwhile=self._meanwhile)
        if shape == "list":
            self.runnable = RunnableWithMessageHistory(model, self.history)
        else:
            prompt = ChatPromptTemplate.from_messages(
                [("system", "Be brief."), MessagesPlaceholder("history"), ("human", "{question}")]
            )
            self.runnable = RunnableWithMessageHistory(
                prompt | model,
                self.history,
                input_messages_key="question",
                history_messages_key="history",
            )

    def _meanwhile(self):
        if not self.call.asynchronous:
            return self.meanwhile() if self.meanwhile else None

        async def run():
            if self.meanwhile:
                await asyncio.to_thread(self.meanwhile)

        return run()

    def history(self, session_id):
        if self.shared is not None:
            return self.shared
        return TablestoreChatMessageHistory(session_id, user_id=self.user, connection=self.connection, **self.options)

    def stored(self, session_id):
        # What a model streamed is stored as the chunk that its pieces add up to.
        messages = [entry.message for entry in self.history(session_id).entries()]
        return [("ai" if isinstance(message, AIMessage) else message.type, message.text) for message in messages]

    def ask(self, session_id, text):
        given = [HumanMessage(text)] if self.shape == "list" else {"question": text}
        config = {"configurable": {"session_id": session_id}}
        if self.mode == "invoke":
            return self.call(Adapter(self.runnable), "invoke", given, config).text
        if self.mode == "batch":
            return self.call(Adapter(self.runnable), "batch", [given], [config])[0].text
        chunks = self.call(Adapter(self.runnable), "stream", given, config)
        assert len(chunks) > 1
        return "".join(chunk.text for chunk in chunks)


class Adapter:
    """A runnable as a `Caller` wants it: `stream` and `astream` give iterators already."""

    def __init__(self, runnable):
        self.runnable = runnable

    def __getattr__(self, name):
        return getattr(self.runnable, name)


@pytest.fixture(params=SHAPES)
def shape(request):
    return request.param


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture
def chain(connection, call, shape, mode):
    return Chain(connection, shape, call, mode)


def test_turns_are_stored_and_given_to_the_model(chain):
    session = unique("s")
    prefix = 1 if chain.shape == "prompt" else 0
    assert chain.ask(session, "one") == f"{prefix + 1} messages, last: one"
    assert chain.ask(session, "two") == f"{prefix + 3} messages, last: two"
    assert chain.stored(session) == [
        ("human", "one"),
        ("ai", f"{prefix + 1} messages, last: one"),
        ("human", "two"),
        ("ai", f"{prefix + 3} messages, last: two"),
    ]
    row = SessionRegistry(chain.connection).get(session, chain.user)
    assert (row.title, row.preview, row.message_count) == ("one", f"{prefix + 3} messages, last: two", 4)


def test_what_others_add_meanwhile_costs_nobody_a_message(chain):
    """Without `history_messages_key` the wrapper cuts the input by the length of a second read of the history."""
    session = unique("s")
    chain.history(session).add_messages([HumanMessage("old 1"), AIMessage("old 2")])
    chain.meanwhile = lambda: chain.history(session).add_messages([HumanMessage("other 1"), AIMessage("other 2")])
    answer = chain.ask(session, "mine")
    assert chain.stored(session) == [
        ("human", "old 1"),
        ("ai", "old 2"),
        ("human", "other 1"),
        ("ai", "other 2"),
        ("human", "mine"),
        ("ai", answer),
    ]
    assert SessionRegistry(chain.connection).get(session, chain.user).message_count == 6


@pytest.mark.parametrize("change", ["clear", "delete", "edit"])
def test_what_others_change_meanwhile_costs_nobody_a_message(embedded, call, shape, change):
    chain = Chain(embedded, shape, call, "invoke")
    session = unique("s")
    chain.history(session).add_messages([HumanMessage("old 1", id="1"), AIMessage("old 2", id="2")])
    arguments = {"clear": (), "delete": ("1",), "edit": ("2", AIMessage("new 2"))}[change]
    chain.meanwhile = lambda: getattr(chain.history(session), change)(*arguments)
    answer = chain.ask(session, "mine")
    kept = {"clear": [], "delete": ["old 2"], "edit": ["old 1", "new 2"]}[change]
    assert [text for _, text in chain.stored(session)] == [*kept, "mine", answer]
    row = SessionRegistry(embedded).get(session, chain.user)
    assert row.message_count == len(kept) + 2


def test_a_window_that_others_push_on(embedded, call, shape):
    chain = Chain(embedded, shape, call, "invoke", window=2)
    session = unique("s")
    chain.history(session).add_messages([HumanMessage(str(number)) for number in range(6)])
    chain.meanwhile = lambda: chain.history(session).add_messages([HumanMessage("other")] * 5)
    answer = chain.ask(session, "mine")
    assert answer.startswith("3 messages" if shape == "list" else "4 messages")
    assert [text for _, text in chain.stored(session)] == [*"012345", *["other"] * 5, "mine", answer]


def test_turns_on_one_session_at_once(connection, shape):
    chain = Chain(connection, shape, Blocking, "invoke")
    session = unique("s")

    def talk(writer):
        return [chain.ask(session, f"{writer} {number}") for number in range(5)]

    with ThreadPoolExecutor(3) as pool:
        answers = dict(enumerate(pool.map(talk, range(3))))
    check_turns(chain, session, answers)


async def test_turns_on_one_session_at_once_async(embedded, shape):
    chain = Chain(embedded, shape, Blocking, "invoke")
    chain.call = Awaiting
    session = unique("s")
    config = {"configurable": {"session_id": session}}

    async def talk(writer):
        answers = []
        for number in range(5):
            text = f"{writer} {number}"
            given = [HumanMessage(text)] if shape == "list" else {"question": text}
            answers.append((await chain.runnable.ainvoke(given, config)).text)
        return answers

    answers = dict(enumerate(await asyncio.gather(*map(talk, range(3)))))
    await asyncio.to_thread(check_turns, chain, session, answers)


def check_turns(chain, session, answers):
    stored = chain.stored(session)
    assert len(stored) == 30
    for writer, given in answers.items():
        humans = [text for kind, text in stored if kind == "human" and text.startswith(f"{writer} ")]
        assert humans == [f"{writer} {number}" for number in range(5)]
        replies = [text for kind, text in stored if kind == "ai" and f"last: {writer} " in text]
        assert replies == given
    # A turn stays together: its answer comes right after its question, whoever else writes.
    row = SessionRegistry(chain.connection).get(session, chain.user)
    assert row.message_count == 30


class Blocking:
    """Calls the sync methods."""

    asynchronous = False

    def __new__(cls, owner, name, *args, **kwargs):
        return getattr(owner, name)(*args, **kwargs)


class Awaiting:
    """Only says that the model is awaited."""

    asynchronous = True


def test_one_object_for_all_turns_one_after_the_other(embedded, call, shape):
    """As where an application keeps its histories in a dict."""
    shared = TablestoreChatMessageHistory(unique("s"), connection=embedded)
    chain = Chain(embedded, shape, call, "invoke", shared=shared)
    answers = [chain.ask(shared.session_id, text) for text in ("one", "two", "three")]
    told = [text for turn in zip(("one", "two", "three"), answers, strict=True) for text in turn]
    assert [text for _, text in chain.stored(shared.session_id)] == told


def test_a_model_that_fails_stores_nothing(embedded, call, shape):
    chain = Chain(embedded, shape, call, "invoke")
    session = unique("s")

    class ModelError(Exception):
        pass

    def fail():
        raise ModelError

    chain.meanwhile = fail
    with pytest.raises(ModelError):
        chain.ask(session, "lost")
    assert chain.stored(session) == []
    chain.meanwhile = None
    chain.ask(session, "again")
    assert chain.stored(session)[0] == ("human", "again")


def test_a_batch_over_several_sessions(embedded, call):
    chain = Chain(embedded, "prompt", call, "batch")
    sessions = [unique("s") for _ in range(5)]
    answers = call(
        Adapter(chain.runnable),
        "batch",
        [{"question": f"q{number}"} for number in range(5)],
        [{"configurable": {"session_id": session}} for session in sessions],
    )
    for number, session in enumerate(sessions):
        assert [text for _, text in chain.stored(session)] == [f"q{number}", answers[number].text]


def test_user_and_session_from_the_config(embedded, call):
    """As the class's own documentation shows it."""
    user = unique("u")
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{question}")])
    chain = RunnableWithMessageHistory(
        prompt | EchoModel(),
        lambda user_id, session_id: TablestoreChatMessageHistory(
            session_id, user_id=user_id, connection=embedded, window=20
        ),
        input_messages_key="question",
        history_messages_key="history",
        history_factory_config=[
            ConfigurableFieldSpec(id="user_id", annotation=str, name="User", description="", default=""),
            ConfigurableFieldSpec(id="session_id", annotation=str, name="Session", description="", default=""),
        ],
    )
    for who in (user, "other-" + user):
        config = {"configurable": {"user_id": who, "session_id": "s1"}}
        assert call(Adapter(chain), "invoke", {"question": who}, config).text == f"1 messages, last: {who}"
    history = TablestoreChatMessageHistory("s1", user_id=user, connection=embedded)
    assert [message.text for message in history.messages] == [user, f"1 messages, last: {user}"]


def test_several_messages_in_and_out(embedded, call):
    """A list of messages as input, a list as output, each stored once."""
    session = unique("s")
    chain = RunnableWithMessageHistory(
        RunnableLambda(lambda messages: [AIMessage(f"saw {len(messages)}", id=unique("a")), AIMessage("and more")]),
        lambda session_id: TablestoreChatMessageHistory(session_id, connection=embedded),
    )
    config = {"configurable": {"session_id": session}}
    call(Adapter(chain), "invoke", [SystemMessage("sys"), HumanMessage("one")], config)
    call(Adapter(chain), "invoke", HumanMessage("two"), config)
    texts = [m.text for m in TablestoreChatMessageHistory(session, connection=embedded).messages]
    assert texts == ["sys", "one", "saw 2", "and more", "two", "saw 5", "and more"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["invoke", "stream"])
async def test_nothing_blocks_the_event_loop(connection, shape, mode):
    class Await:
        asynchronous = True

    with blockbuster_ctx():
        chain = Chain(connection, shape, Await, mode)
        config = {"configurable": {"session_id": unique("s")}}
        for text in ("one", "two"):
            given = [HumanMessage(text)] if shape == "list" else {"question": text}
            if mode == "invoke":
                await chain.runnable.ainvoke(given, config)
            else:
                assert [chunk async for chunk in chain.runnable.astream(given, config)]
        history = chain.history(config["configurable"]["session_id"])
        assert len(await history.aget_messages()) == 4
        await history.aedit((await history.apage()).entries[0].id, HumanMessage("ONE"))
        fork = await history.afork()
        await history.adelete((await history.apage()).entries[0].id)
        await history.aclear()
        assert (await anext(fork.aentries())).message.text == "ONE"
        assert (await SessionRegistry(connection).aget(fork.session_id, fork.user_id)).message_count == 4


async def test_a_first_use_blocks_nothing_either(tmp_path):
    from langchain_tablestore_memory import connect

    with blockbuster_ctx():
        # Opening a folder is connect's business, and not async.
        connection = await asyncio.to_thread(connect, f"local:{tmp_path}/data")
        history = TablestoreChatMessageHistory("s1", user_id="u1", connection=connection)
        await history.aadd_messages([HumanMessage("Hi")])
        assert await TablestoreChatMessageHistory("s1", user_id="u1", connection=connection).aget_messages()
        await connection.aclose()
