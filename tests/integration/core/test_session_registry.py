"""One session through SessionRegistry: made, read, changed, removed."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import Enum

import pytest
from langchain_core.messages import HumanMessage

from langchain_tablestore_memory import (
    InvalidArgumentError,
    Message,
    MetaType,
    RetryPolicy,
    Session,
    SessionNotFoundError,
    SessionRegistry,
    TablestoreChatMessageHistory,
    connect,
    microseconds_timestamp,
)
from langchain_tablestore_memory.core.conversations import conversation_of
from langchain_tablestore_memory.local.errors import RequestError


@pytest.fixture
def history(connection):
    """Adds messages to a user's conversation as a chain would, in the test's mode."""

    async def add(mode, session_id, *texts, user_id="default"):
        history = TablestoreChatMessageHistory(session_id, user_id=user_id, connection=connection)
        sent = [HumanMessage(text) for text in texts]
        if mode == "sync":
            history.add_messages(sent)
        else:
            await history.aadd_messages(sent)

    return add


async def test_create(registry):
    before = microseconds_timestamp()
    session = await registry.create("u1", "s1", title="Trip to Hangzhou", metadata={"model": "qwen-plus", "页": [1]})
    assert before <= session.update_time <= microseconds_timestamp()
    assert session == Session(
        "u1", "s1", session.update_time, {"model": "qwen-plus", "页": [1]}, title="Trip to Hangzhou"
    )
    assert await registry.get("s1", "u1") == session


async def test_create_with_nothing_but_defaults(registry):
    session = await registry.create()
    assert session.user_id == "default"
    assert str(uuid.UUID(session.session_id)) == session.session_id
    assert await registry.get(session.session_id) == session
    assert (session.title, session.preview, session.message_count, session.metadata) == (None, None, None, {})


async def test_create_of_one_that_exists_is_an_error_and_changes_nothing(registry):
    first = await registry.create("u1", "s1", title="first", metadata={"a": 1})
    with pytest.raises(InvalidArgumentError, match="'s1' exists"):
        await registry.create("u1", "s1", title="second", metadata={"b": 1})
    assert await registry.get("s1", "u1") == first
    await registry.create("u2", "s1", title="another user's")
    assert await registry.get("s1", "u1") == first


async def test_create_at_once_makes_one(engine):
    registry = SessionRegistry(engine.connection("sync"))
    registry.setup()

    def create(number):
        try:
            return registry.create("u1", "s1", metadata={"n": number})
        except InvalidArgumentError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [session for session in pool.map(create, range(16)) if session]
    assert len(made) == 1
    assert registry.get("s1", "u1") == made[0]


async def test_create_whose_answer_was_lost_is_no_conflict_with_itself(engine, registry):
    await registry.setup()
    failures = iter([True])

    def lose(api):
        # The first attempt is carried out, but its answer does not arrive.
        if api == "PutRow" and next(failures, False):
            engine.before = None
            engine.handle(*lost)
            engine.before = lose
            raise RequestError(503, "OTSServerUnavailable", "Server is not available.")

    original, lost = engine.handle, ()

    def remember(*request):
        nonlocal lost
        lost = request
        return original(*request)

    engine.handle = remember
    engine.before = lose
    session = await registry.create("u1", "s1", title="only")
    engine.before, engine.handle = None, original
    assert await registry.get("s1", "u1") == session


async def test_get_of_a_session_that_does_not_exist_is_none(registry):
    assert await registry.get("s1", "u1") is None
    await registry.create("u1", "s1")
    assert await registry.get("s1", "u2") is None
    assert await registry.get("s1") is None


async def test_update_merges_and_removes(registry):
    made = await registry.create("u1", "s1", title="kept", metadata={"a": 1, "b": 2, "页": 3, "标签": [1]})
    changed = await registry.update("s1", "u1", metadata={"b": 20, "c": [1], "页": "x"}, remove=["a", "标签", "never"])
    assert changed.metadata == {"b": 20, "c": [1], "页": "x"}
    assert (changed.title, changed.update_time) == ("kept", made.update_time)
    assert await registry.get("s1", "u1") == changed


async def test_a_key_that_is_set_and_removed_in_one_call_is_removed(registry):
    await registry.create("u1", "s1", metadata={"a": 1})
    assert (await registry.update("s1", "u1", metadata={"a": 2, "b": 3}, remove=["a"])).metadata == {"b": 3}


@pytest.mark.parametrize("time", [0, -5, 7, datetime(1970, 1, 1, 0, 0, 0, 7, tzinfo=UTC)])
async def test_update_of_the_time(registry, time):
    await registry.create("u1", "s1", metadata={"a": 1})
    await registry.update("s1", "u1", update_time=time)
    expected = time if isinstance(time, int) else 7
    session = await registry.get("s1", "u1")
    assert (session.update_time, session.metadata) == (expected, {"a": 1})
    await registry.touch("s1", "u1", time)
    assert (await registry.get("s1", "u1")).update_time == expected


async def test_update_of_nothing_writes_nothing(registry, engine):
    made = await registry.create("u1", "s1", metadata={"a": 1, "页": None})
    engine.taken()
    assert await registry.update("s1", "u1") == made
    assert await registry.update("s1", "u1", metadata={"a": 1, "页": None}, remove=["x"]) == made
    assert engine.writes == []
    changed = await registry.update("s1", "u1", metadata={"a": True})
    assert changed.metadata["a"] is True
    assert (await registry.get("s1", "u1")).metadata["a"] is True
    await registry.update("s1", "u1", metadata={"a": 0.0})
    await registry.update("s1", "u1", metadata={"a": -0.0})
    assert repr((await registry.get("s1", "u1")).metadata["a"]) == "-0.0"


async def test_update_leaves_what_the_history_keeps(registry, history, mode):
    await history(mode, "s1", "Hello there", user_id="u1")
    await registry.update("s1", "u1", metadata={"a": 1})
    session = await registry.get("s1", "u1")
    assert (session.title, session.preview, session.message_count) == ("Hello there", "Hello there", 1)


@pytest.mark.parametrize("value", [lambda n: n, lambda n: [n]], ids=["columns", "one shared column"])
def test_updates_at_once_are_all_kept(engine, value):
    connection = engine.connection("sync")
    connection.retry = RetryPolicy()
    registry = SessionRegistry(connection)
    registry.create("u1", "s1")
    start = threading.Barrier(12)

    def update(number):
        start.wait()
        for turn in range(3):
            registry.update("s1", "u1", metadata={f"k{number}_{turn}": value(number)})

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(update, range(12)))
    assert registry.get("s1", "u1").metadata == {
        f"k{number}_{turn}": value(number) for number in range(12) for turn in range(3)
    }


async def test_rename_keeps_the_place_in_the_list(registry):
    made = await registry.create("u1", "s1", metadata={"a": 1})
    assert await registry.rename("s1", "  西湖之旅 ", "u1") is None
    session = await registry.get("s1", "u1")
    assert session == Session("u1", "s1", made.update_time, {"a": 1}, title="西湖之旅")


async def test_a_title_given_outweighs_the_first_message(registry, history, mode):
    await history(mode, "s1", "  Where\n is   Hangzhou? " + "x" * 100, user_id="u1")
    opening = (await registry.get("s1", "u1")).title
    assert opening.startswith("Where is Hangzhou? xxx")
    assert opening.endswith("…")
    assert len(opening) == 80
    await registry.rename("s1", "Trip", "u1")
    await history(mode, "s1", "And now?", user_id="u1")
    session = await registry.get("s1", "u1")
    assert (session.title, session.preview, session.message_count) == ("Trip", "And now?", 2)


async def test_touch_moves_to_the_top(registry):
    for session_id in ("a", "b", "c"):
        await registry.create("u1", session_id)
    before = microseconds_timestamp()
    await registry.touch("a", "u1")
    assert [s.session_id for s in (await registry.list("u1")).items] == ["a", "c", "b"]
    assert (await registry.get("a", "u1")).update_time >= before


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("update", {"metadata": {"a": 1}}),
        ("update", {}),
        ("rename", {"title": "new"}),
        ("touch", {}),
        ("recount", {}),
    ],
)
@pytest.mark.parametrize("whose", ["u1", "u2"])
async def test_changes_of_a_session_that_does_not_exist(registry, name, arguments, whose):
    await registry.create("u2", "s2")
    before = await registry.iterate("u2")
    with pytest.raises(SessionNotFoundError, match="s1"):
        await getattr(registry, name)("s1", user_id=whose, **arguments)
    with pytest.raises(LookupError):
        await getattr(registry, name)("s2", user_id="u1", **arguments)
    assert await registry.iterate("u1") == []
    assert await registry.iterate("u2") == before


async def test_recount_counts_what_others_wrote(registry, store):
    await registry.create("default", "s1")
    assert await registry.recount("s1") == 0
    for number in range(3):
        await store.put_message(Message("s1", f"m{number}", number))
    assert (await registry.get("s1")).message_count == 0
    assert await registry.recount("s1") == 3
    assert (await registry.get("s1")).message_count == 3


async def test_recount_counts_the_conversation_of_the_user(registry, history, mode):
    await history(mode, "s1", "a", "b", user_id="u1")
    await history(mode, "s1", "c", user_id="u2")
    assert await registry.recount("s1", "u1") == 2
    assert await registry.recount("s1", "u2") == 1


async def test_delete_takes_the_messages_along(registry, store, history, mode):
    await history(mode, "s1", "a", user_id="u1")
    await history(mode, "s2", "b", user_id="u1")
    assert await registry.delete("s1", "u1") is None
    assert await registry.get("s1", "u1") is None
    assert [m.content for m in await store.list_all_messages()] == ["b"]
    await registry.delete("s1", "u1")  # not there: fine


async def test_delete_can_leave_the_messages(registry, store, history, mode):
    await history(mode, "s1", "a", user_id="u1")
    await registry.delete("s1", "u1", messages=False)
    assert await registry.get("s1", "u1") is None
    assert len(await store.list_all_messages()) == 1
    # Nobody else's: called again with messages, they are found by their name.
    await registry.delete("s1", "u1")
    assert await store.list_all_messages() == []


async def test_delete_of_what_another_tool_made(registry, store):
    """Its rows do not say where the messages are: they are under the bare session id."""
    await store.put_session(Session("u1", "s1", 1))
    await store.put_message(Message("s1", "m1", 1))
    await registry.delete("s1", "u1")
    assert await store.list_all_messages() == []


async def test_delete_of_what_another_tool_replaced_leaves_the_messages_of_the_default_user(
    registry, store, history, mode
):
    await history(mode, "s1", "of default")
    await history(mode, "s1", "of u1", user_id="u1")
    await store.put_session(Session("u1", "s1", 1))  # the row no longer says where its messages are
    await registry.delete("s1", "u1")
    assert [m.content for m in await store.list_all_messages()] == ["of default"]


async def test_two_users_with_the_same_session_id(registry, store, history, mode):
    users = ["u1", "u2", "default", "user:2:u1", "u1/s1"]
    for user_id in users:
        await history(mode, "s1", f"of {user_id}", user_id=user_id)
        await registry.update("s1", user_id, metadata={"owner": user_id})
    for user_id in users:
        session = await registry.get("s1", user_id)
        assert (session.title, session.metadata, session.message_count) == (f"of {user_id}", {"owner": user_id}, 1)
        assert [s.user_id for s in (await registry.list(user_id)).items] == [user_id]
        assert [m.content for m in await store.list_messages(conversation_of(user_id, "s1"))] == [f"of {user_id}"]
    await registry.rename("s1", "renamed", "u1")
    await registry.touch("s1", "u1", 5)
    assert (await registry.get("s1", "u2")).title == "of u2"
    await registry.delete("s1", "u1")
    remaining = {m.content for m in await store.list_all_messages()}
    assert remaining == {f"of {user_id}" for user_id in users[1:]}
    assert await registry.get("s1", "u1") is None
    await registry.delete("s1", "default")
    assert (await registry.get("s1", "u2")).message_count == 1
    assert {m.content for m in await store.list_all_messages()} == {
        f"of {user_id}" for user_id in users[1:2] + users[3:]
    }


async def test_delete_for_a_user_without_the_session_leaves_the_others(registry, store, history, mode):
    await history(mode, "s1", "of default")
    await history(mode, "s1", "of u1", user_id="u1")
    await registry.delete("s1", "u2")
    assert len(await store.list_all_messages()) == 2
    assert await registry.get("s1", "u1")
    assert await registry.get("s1")


@pytest.mark.parametrize("failing", [1, 2])
async def test_delete_can_be_repeated_after_a_failure(registry, store, messages, engine, failing):
    conversation = conversation_of("u1", "s1")
    await registry.create("u1", "s1")
    await messages.put([Message(conversation, f"m{number}", number) for number in range(3)])
    engine.fail_at("BatchWriteRow", failing)
    with pytest.raises(Exception, match="OTSNoPermissionAccess"):
        await registry.delete("s1", "u1")
    engine.before = None
    # Whatever is left, the session is: it says what remains to be done.
    assert await registry.get("s1", "u1")
    await registry.delete("s1", "u1")
    assert await registry.get("s1", "u1") is None
    assert await store.list_all_messages() == []


async def test_no_request_is_made_before_the_first_call(engine, connection):
    SessionRegistry(connection, metadata_columns={"model": MetaType.STRING})
    assert engine.calls == []


def test_the_class_example(tmp_path):
    with connect(f"local:{tmp_path}") as connection:
        registry = SessionRegistry(connection)
        registry.create("u1", title="Trip to Hangzhou")
        assert [session.title for session in registry.list("u1").items] == ["Trip to Hangzhou"]
    with connect(f"local:{tmp_path}") as connection:
        assert [session.title for session in SessionRegistry(connection).list("u1").items] == ["Trip to Hangzhou"]


class User(str, Enum):  # noqa: UP042 - the older way, in which str() gives the name
    ALICE = "alice"


async def test_ids_that_are_enums_of_text(registry, store, history, mode):
    """They stand for their values throughout."""
    await registry.create(User.ALICE, "s1")
    await history(mode, "s1", "hello", user_id=User.ALICE)
    session = await registry.get("s1", "alice")
    assert (session.message_count, session.preview) == (1, "hello")
    await store.put_session(Session(User.ALICE, "s2", 1))
    assert [s.user_id for s in await registry.iterate("alice")] == ["alice", "alice"]
    assert [s.user_id for s in await store.list_sessions(User.ALICE)] == ["alice", "alice"]
    assert await registry.recount("s1", User.ALICE) == 1
    assert await registry.delete_user(User.ALICE) == 2
    assert await store.list_all_messages() == []
