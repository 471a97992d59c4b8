"""Random searches of many users' messages and sessions: each finds exactly what is its own."""

from __future__ import annotations

import itertools

import pytest
from core.support import Face
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory import CursorError, Filters, MemoryStore, TablestoreChatMessageHistory

from .model import WORDS, Chance

USERS = ("default", "u1", "u", "u1 ", "U1", "u1/s1", "1:u", "2:u1/s1", "*", "%", "用户", "user:2:u1/s1")
SESSIONS = ("s1", "s", "s1 ", "user:2:u1/s1", "%", "会话")


class Tried:
    """Conversations of all users, and what should be in them."""

    def __init__(self, connection, mode, chance):
        self.connection, self.mode, self.chance = connection, mode, chance
        self.told = {pair: {} for pair in itertools.product(USERS, SESSIONS)}

    def history(self, user, session):
        return Face(TablestoreChatMessageHistory(session, user_id=user, connection=self.connection), self.mode)

    async def add(self, user, session):
        texts = {f"m{self.chance.randrange(6)}": f"{self.chance.choice(WORDS)} {user}|{session}" for _ in range(2)}
        self.told[user, session].update(texts)
        kinds = (HumanMessage, AIMessage)
        await self.history(user, session).add_messages(
            [kinds[n % 2](t, id=i) for n, (i, t) in enumerate(texts.items())]
        )

    async def delete(self, user, session):
        message_id = f"m{self.chance.randrange(6)}"
        self.told[user, session].pop(message_id, None)
        await self.history(user, session).delete(message_id)

    async def clear(self, user, session):
        self.told[user, session].clear()
        await self.history(user, session).clear()

    async def search(self, user, session, scope):
        word, limit = self.chance.choice(WORDS), self.chance.randint(1, 5)
        expected = {
            (name, message_id, text)
            for (owner, name), texts in self.told.items()
            for message_id, text in texts.items()
            if owner == user and (scope == "user" or name == session) and text.startswith(f"{word} ")
        }
        found, cursor = [], None
        while True:
            page = await self.history(user, session).search(word, scope=scope, limit=limit, cursor=cursor)
            found += [(hit.session_id, hit.entry.id, hit.message.content) for hit in page.items]
            cursor = page.cursor
            if cursor is None:
                break
            other = self.chance.choice([name for name in USERS if name != user])
            with pytest.raises(CursorError):
                await self.history(other, session).search(word, scope=scope, limit=limit, cursor=cursor)
        assert len(found) == len(set(found))
        assert set(found) == expected


async def test_random_searches(connection, mode, queries):
    chance = Chance(f"{mode} {queries}")
    tried = Tried(connection, mode, chance)
    for user, session in tried.told:
        await tried.add(user, session)
    for number in range(queries):
        user, session = chance.choice(USERS), chance.choice(SESSIONS)
        call = chance.choice(["search"] * 6 + ["add", "add", "delete", "clear"])
        try:
            if call == "search":
                await tried.search(user, session, chance.choice(["user", "session"]))
            else:
                await getattr(tried, call)(user, session)
        except BaseException as error:
            error.add_note(f"query {number}: {call} of {user!r}, {session!r}")
            raise


async def test_sessions_and_messages_by_their_owner(connection, mode):
    """`MemoryStore` searches what it is asked for, of a user or of a conversation, to the letter."""
    tried = Tried(connection, mode, Chance(1))
    for user, session in tried.told:
        await tried.add(user, session)
    store = Face(MemoryStore(connection), mode)
    for user in USERS:
        found, token = [], None
        while True:
            page = await store.search_sessions({"user_id": user}, 4, token)
            found += page.items
            token = page.next_token
            if token is None:
                break
            with pytest.raises(CursorError):
                await store.search_sessions({"user_id": f"{user}!"}, 4, token)
        assert {session.user_id for session in found} == {user}
        assert sorted(session.session_id for session in found) == sorted(SESSIONS)
    for (user, session), texts in tried.told.items():
        conversation = tried.history(user, session).target.conversation
        wanted = Filters.eq("session_id", conversation) & Filters.text_match("content", " ".join(WORDS))
        page = await store.search_messages(wanted)
        assert {message.message_id: message.content for message in page.items} == texts
