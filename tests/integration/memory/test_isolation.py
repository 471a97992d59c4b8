"""Users never find, count, change or forget what is another's, whatever they are called; a model in Python agrees."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest
from core.support import Face, WatchedTablestore
from hypothesis import strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from langchain_tablestore_memory import InvalidArgumentError, LongTermMemory, MemoryNotFoundError

from .support import SECOND, Clock, WordEmbeddings, texts_of

HOSTILE = ("u1", "u1 ", "U1", "u1\x00", "u1\n", "../u1", "用户", "%", "u*", "' OR '1'='1", '{"$ne": null}', "é" * 512)


@pytest.mark.slow
async def test_hostile_names(memory):
    for number, user in enumerate(HOSTILE):
        await memory.remember(
            user, ["I like tea", f"my number is {number}"], session_id="s1", metadata={"year": number}
        )
    for number, user in enumerate(HOSTILE):
        page = await memory.list(user)
        assert (texts_of(page), page.total) == ([f"my number is {number}", "I like tea"], 2)
        for search_type in ("vector", "full_text", "hybrid"):
            found = await memory.recall(user, "number tea", k=100, search_type=search_type)
            assert sorted(texts_of(found)) == ["I like tea", f"my number is {number}"]
        assert await memory.count(user, filter={"year": {"$gte": 0}}) == 2
    for number, user in enumerate(HOSTILE):
        assert await memory.forget(user, session_id="s1") == 2
        assert [await memory.count(other) for other in HOSTILE] == [0] * (number + 1) + [2] * (
            len(HOSTILE) - number - 1
        )
        await memory.remember(user, ["I like tea", "again"], session_id="s2")
        assert await memory.forget_user(user) == 2


async def test_users_that_cannot_be(memory, engine):
    for user in ("", "é" * 513, None, 5, ["u1"], "\ud800", b"u1", "__default"):
        for call in (
            memory.remember(user, "text"),
            memory.update(user, "m1", text="text"),
            memory.recall(user, "text"),
            memory.get(user, "m1"),
            memory.list(user),
            memory.count(user),
            memory.forget(user, "m1"),
            memory.forget(user, session_id="s1"),
            memory.forget_user(user),
        ):
            with pytest.raises(InvalidArgumentError, match=r"user_id|tenant_id"):
                await call
    assert engine.writes == []


@dataclass
class Known:
    """What a model knows of a memory."""

    text: str
    session: str | None
    metadata: dict[str, Any]
    created: int
    expires: int | None


@dataclass
class Model:
    """A memory in a dict."""

    users: dict[str, dict[str, Known]] = field(default_factory=lambda: {user: {} for user in HOSTILE[:4]})

    def alive(self, user: str, now: int) -> dict[str, Known]:
        return {i: each for i, each in self.users[user].items() if each.expires is None or each.expires > now}


TEXTS = ("I like tea", "I like coffee", "我喜欢喝茶", "my dog", "my tea dog")
users = strategies.sampled_from(HOSTILE[:4])
texts = strategies.sampled_from(TEXTS)
sessions = strategies.sampled_from([None, "s1", "s2"])
topics = strategies.sampled_from(["x", "y", "茶"])
metadata = strategies.one_of(
    strategies.none(),
    strategies.fixed_dictionaries({}, optional={"topic": topics, "n": strategies.integers(0, 3), "键": topics}),
)


class Agreement(RuleBasedStateMachine):
    """Whatever is done, in whichever mode: the model says the same."""

    @initialize()
    def begin(self) -> None:
        self.engine = WatchedTablestore()
        self.clock = Clock()
        self.loop = asyncio.Runner()
        embeddings = WordEmbeddings(32)
        self.faces = [
            Face(
                LongTermMemory(
                    embeddings, connection=self.engine.connection(mode), clock=self.clock, filterable={"topic": str}
                ),
                mode,
            )
            for mode in ("sync", "async")
        ]
        self.turns = itertools.cycle(self.faces)
        self.users = itertools.cycle(HOSTILE[:4])
        self.model = Model()

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self.loop.run(getattr(next(self.turns), name)(*args, **kwargs))

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.loop.close()
            self.engine.close()

    @rule(seconds=strategies.integers(1, 8))
    def time_passes(self, seconds: int) -> None:
        self.clock.pass_seconds(seconds)

    @rule(
        user=users,
        told=strategies.lists(texts, min_size=1, max_size=4),
        session=sessions,
        given=metadata,
        ttl=strategies.sampled_from([None, None, 3, 20]),
    )
    def remember(self, user: str, told: list[str], session: str | None, given: dict[str, Any] | None, ttl: Any) -> None:
        now = self.clock.now
        stored = self.call("remember", user, told, session_id=session, metadata=given, ttl=ttl)
        assert texts_of(stored) == list(dict.fromkeys(told))
        expires = None if ttl is None else now + ttl * SECOND
        alive = {each.text: i for i, each in self.model.alive(user, now).items()}
        for position, memory in enumerate(stored):
            known = self.model.users[user]
            if memory.text in alive:
                before = known[alive[memory.text]]
                assert memory.memory_id == alive[memory.text]
                before.metadata.update(given or {})
                before.expires = expires
            else:
                assert memory.memory_id not in self.model.alive(user, now)
                known[memory.memory_id] = Known(memory.text, session, dict(given or {}), now + position, expires)

    @rule(user=users, text=texts, given=metadata, pick=strategies.integers(0, 5))
    def update(self, user: str, text: str, given: dict[str, Any] | None, pick: int) -> None:
        alive = self.model.alive(user, self.clock.now)
        memory_id = ([*alive, "absent"] * 6)[pick]
        others = {each.text for i, each in alive.items() if i != memory_id}
        try:
            changed = self.call("update", user, memory_id, text=text, metadata=given)
        except MemoryNotFoundError:
            assert memory_id == "absent"
        except ValueError:
            assert text in others
        else:
            assert text not in others
            known = self.model.users[user][memory_id]
            known.text = changed.text
            known.metadata.update(given or {})

    @rule(user=users, pick=strategies.integers(0, 5), number=strategies.integers(1, 3))
    def forget(self, user: str, pick: int, number: int) -> None:
        alive = self.model.alive(user, self.clock.now)
        ids = ([*alive, "absent"] * 6)[pick : pick + number]
        assert self.call("forget", user, ids) == len(alive.keys() & set(ids))
        for memory_id in ids:
            self.model.users[user].pop(memory_id, None)

    @rule(user=users, session=strategies.sampled_from(["s1", "s2"]), topic=strategies.none() | topics)
    def forget_by_conditions(self, user: str, session: str, topic: str | None) -> None:
        wanted = None if topic is None else {"topic": topic}
        known = self.model.users[user]
        gone = [
            i for i, each in known.items() if each.session == session and topic in {None, each.metadata.get("topic")}
        ]
        self.call("forget", user, session_id=session, filter=wanted)
        for memory_id in gone:
            del known[memory_id]

    @rule(user=users)
    def forget_user(self, user: str) -> None:
        self.call("forget_user", user)
        self.model.users[user].clear()

    @rule()
    def forget_expired(self) -> None:
        self.call("forget_expired")
        for user in self.model.users:
            self.model.users[user] = self.model.alive(user, self.clock.now)

    @rule(user=users, query=texts, search_type=strategies.sampled_from(["vector", "full_text", "hybrid"]))
    def recall(self, user: str, query: str, search_type: str) -> None:
        found = self.call("recall", user, query, 100, search_type=search_type)
        alive = self.model.alive(user, self.clock.now)
        assert {memory.memory_id for memory in found} <= alive.keys()
        if search_type == "vector":
            assert {memory.memory_id for memory in found} == alive.keys()
        for memory in found:
            self.check(memory, alive[memory.memory_id])

    @rule(user=users, limit=strategies.integers(1, 4), session=sessions)
    def list(self, user: str, limit: int, session: str | None) -> None:
        alive = {
            i: each for i, each in self.model.alive(user, self.clock.now).items() if session in {None, each.session}
        }
        cursor, seen = None, []
        while True:
            page = self.call("list", user, session_id=session, limit=limit, cursor=cursor)
            assert page.total == len(alive)
            seen += page.items
            cursor = page.cursor
            if cursor is None:
                break
        assert [memory.memory_id for memory in seen] == sorted(alive, key=lambda i: (-alive[i].created, i))
        for memory in seen:
            self.check(memory, alive[memory.memory_id])

    @staticmethod
    def check(memory: Any, known: Known) -> None:
        assert (memory.text, memory.session_id, memory.metadata) == (known.text, known.session, known.metadata)
        assert (memory.created_at, memory.expires_at) == (known.created, known.expires)

    @invariant()
    def everybody_has_their_own(self) -> None:
        if not hasattr(self, "model"):
            return
        user = next(self.users)
        assert self.call("count", user) == len(self.model.alive(user, self.clock.now))


@pytest.mark.slow
def test_random_operations_agree_with_a_model():
    settings = hypothesis.settings(
        max_examples=40,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(Agreement, settings=settings)
