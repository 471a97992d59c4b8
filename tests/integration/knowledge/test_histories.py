"""Sessions and messages are searched: all of them, those of a conversation, and those of a user."""

from __future__ import annotations

import itertools

import pytest
from core.support import Face
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory import (
    CursorError,
    FilterError,
    Filters,
    InvalidArgumentError,
    MemoryStore,
    Message,
    Session,
    TablestoreChatMessageHistory,
)

USERS = ("default", "u1", "u1:", "u", "用户")
SESSIONS = ("s1", "s2", "user:2:u1/s1")


@pytest.fixture
def memory(connection, mode):
    options = {
        "session_search_index_schema": {"model": str, "topic": "text"},
        "message_search_index_schema": {"mark": int},
    }
    return Face(MemoryStore(connection, **options), mode)


class TestMemoryStore:
    async def test_messages_by_words_best_first(self, memory):
        for number, content in enumerate(["green tea", "black tea", "coffee", "tea tea green tea"]):
            await memory.put_message(
                Message("s1", f"m{number}", create_time=number, content=content, metadata={"mark": number})
            )
        page = await memory.search_messages(Filters.text_match("content", "green tea"))
        assert {message.message_id for message in page.items[:2]} == {"m0", "m3"}
        assert page.items[2].message_id == "m1"
        wanted = Filters.logical_and([Filters.text_match("content", "tea"), Filters.gte("mark", 1)])
        assert {message.message_id for message in (await memory.search_messages(wanted)).hits} == {"m1", "m3"}

    async def test_messages_return_as_they_were_put(self, memory):
        message = Message("s1", "m1", create_time=5, content="tea", metadata={"mark": 1, "nested": {"a": [None]}})
        await memory.put_message(message)
        assert (await memory.search_messages({"create_time": 5, "message_id": "m1"})).items == [message]

    async def test_sessions_by_metadata_and_words(self, memory):
        for number in range(5):
            session = Session(
                "u1", f"s{number}", update_time=number, metadata={"model": f"m{number % 2}", "topic": "green tea"}
            )
            await memory.put_session(session)
        found = (await memory.search_sessions({"model": "m1", "update_time": {"$gt": 1}})).items
        assert [session.session_id for session in found] == ["s3"]
        assert len((await memory.search_sessions(Filters.text_match("topic", "tea"))).items) == 5

    async def test_pages(self, memory):
        for number in range(7):
            await memory.put_message(Message("s1", f"m{number}", create_time=number, content="tea"))
        seen, token = [], None
        while True:
            page = await memory.search_messages(None, limit=3, next_token=token)
            seen += [message.message_id for message in page.hits]
            token = page.next_token
            if token is None:
                break
        assert seen == [f"m{number}" for number in range(7)]
        cursor = (await memory.search_messages(None, limit=3)).next_token
        with pytest.raises(CursorError):
            await memory.search_messages({"mark": 1}, limit=3, next_token=cursor)

    async def test_wrong_arguments_are_refused(self, memory):
        await memory.init_table()
        for limit in (0, 101):
            with pytest.raises(InvalidArgumentError, match="1 to 100"):
                await memory.search_messages(limit=limit)
        with pytest.raises(FilterError, match="'colour': it is not declared"):
            await memory.search_sessions({"colour": "red"})

    async def test_indexes_are_made_when_they_are_asked_for(self, memory, engine):
        await memory.put_message(Message("s1", "m1", content="tea"))
        assert "CreateSearchIndex" not in engine.taken()
        await memory.init_search_index()
        assert engine.taken().count("CreateSearchIndex") == 2
        assert len((await memory.search_messages(Filters.text_match("content", "tea"))).items) == 1

    async def test_tables_with_search_indexes_can_be_deleted(self, memory):
        await memory.init_search_index()
        await memory.delete_tables()
        assert (await memory.search_messages()).items == []


class TestHistory:
    @pytest.fixture
    async def opened(self, connection, mode):
        def make(user, session, **options):
            history = TablestoreChatMessageHistory(session, user_id=user, connection=connection, **options)
            return Face(history, mode)

        for user, session in itertools.product(USERS, SESSIONS):
            await make(user, session).add_messages(
                [HumanMessage(f"green tea of {user}"), AIMessage("Which one?", id="a")]
            )
        return make

    @pytest.mark.parametrize("user", USERS)
    async def test_each_user_finds_their_own(self, opened, user):
        page = await opened(user, "s1").search("tea", scope="user")
        assert {hit.message.text for hit in page.items} == {f"green tea of {user}"}
        assert sorted(hit.session_id for hit in page.items) == sorted(SESSIONS)
        assert all(hit.score > 0 for hit in page.items)

    async def test_bare_names_of_other_users_are_not_those_of_the_default_user(self, opened, memory):
        await memory.put_session(Session("u9", "theirs", 1))
        for number in range(5):
            await memory.put_message(Message("theirs", f"m{number}", number, "tea, tea, tea of u9"))
        await opened("u8", "apart", isolate_users=False).add_messages([HumanMessage("tea of u8")])
        history, found, cursor = opened("default", "s1"), [], None
        while True:
            page = await history.search("tea", scope="user", limit=2, cursor=cursor)
            found += page.items
            if (cursor := page.cursor) is None:
                break
            assert len(page.items) == 2
        assert sorted(hit.session_id for hit in found) == sorted(SESSIONS)
        assert {hit.message.text for hit in found} == {"green tea of default"}

    @pytest.mark.parametrize("user", USERS)
    @pytest.mark.parametrize("session", SESSIONS)
    async def test_within_one_session(self, opened, user, session):
        (hit,) = (await opened(user, session).search("tea")).items
        assert (hit.session_id, hit.message.text) == (session, f"green tea of {user}")
        assert isinstance(hit.message, HumanMessage)
        assert (await opened(user, session).get(hit.entry.id)) == hit.entry

    async def test_pages(self, opened):
        history = opened("u1", "s1")
        first = await history.search("tea", scope="user", limit=2)
        second = await history.search("tea", scope="user", limit=2, cursor=first.cursor)
        assert len({hit.session_id for hit in (*first.items, *second.items)}) == 3
        with pytest.raises(CursorError):
            await opened("u", "s1").search("tea", scope="user", limit=2, cursor=first.cursor)

    async def test_a_table_with_a_time_to_live(self, opened):
        history = opened("u1", "s1", message_table="passing", ttl=86_400)
        await history.add_messages([HumanMessage("tea")])
        assert len((await history.search("tea")).items) == 1

    async def test_wrong_arguments_are_refused(self, opened):
        history = opened("u1", "s1")
        with pytest.raises(InvalidArgumentError, match="'session' or 'user'"):
            await history.search("tea", scope="all")
        with pytest.raises(InvalidArgumentError, match="is empty"):
            await history.search(" ")
        with pytest.raises(InvalidArgumentError, match="1 to 100"):
            await history.search("tea", limit=0)
        with pytest.raises(InvalidArgumentError, match="isolate_users"):
            await opened("u1", "s1", isolate_users=False).search("tea", scope="user")
