"""Random calls of many users of one LangGraph store: each finds and changes exactly what is in their namespace."""

from __future__ import annotations

from core.support import Face
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, PutOp, SearchOp

from langchain_tablestore_memory.filters import matches
from langchain_tablestore_memory.langgraph import TablestoreStore

from .model import FILTERABLE, TENANTS, Chance, vector_of

# No label holds NUL.
USERS = tuple(name.replace("\x00", "\x01") for name in TENANTS)
KEYS = tuple(f"d{n}" for n in range(8))
BELOW = ((), ("more",), ("more", "x"), ("t1",))


def embed(texts):
    return [vector_of(text) for text in texts]


async def aembed(texts):
    return embed(texts)


class Tried:
    """A store of all users, and what should be in it."""

    def __init__(self, connection, mode, chance):
        self.chance = chance
        self.items = {user: {} for user in USERS}
        target = TablestoreStore(
            connection,
            index={"dims": 4, "embed": aembed if mode == "async" else embed, "fields": ["text", "texts[*]"]},
            filterable={**FILTERABLE, "tenant_id": str, "document_id": str},
        )
        self.store = Face(target, mode)

    def value(self, user):
        value = {**self.chance.metadata(user), "text": self.chance.text()}
        if self.chance.random() < 0.5:
            value["texts"] = [self.chance.text() for _ in range(self.chance.randrange(4))]
        return value

    def place(self):
        return self.chance.choice(BELOW), self.chance.choice(KEYS)

    def check(self, user, found, expected):
        """These items of this user, as they are, each once, and nothing else."""
        own = self.items[user]
        assert all(item.namespace[:2] == ("users", user) for item in found)
        places = [(item.namespace[2:], item.key) for item in found]
        assert sorted(places) == sorted(expected)
        assert all(item.value == own[place] for item, place in zip(found, places, strict=True))

    def matching(self, user, below, wanted):
        return [
            place
            for place, value in self.items[user].items()
            if place[0][: len(below)] == below and (wanted is None or matches(wanted, value))
        ]

    # Reading

    async def search(self, user, wanted):
        below = self.chance.choice(BELOW)
        found = await self.store.search(("users", user, *below), filter=wanted, limit=100)
        self.check(user, found, self.matching(user, below, wanted))

    async def similar(self, user, wanted):
        below = self.chance.choice(BELOW)
        query = self.chance.text()
        found = await self.store.search(("users", user, *below), query=query, filter=wanted, limit=100)
        self.check(user, found, self.matching(user, below, wanted))

    async def nearest(self, user, wanted):
        """Those of others are nearer, and do not take the places of one's own."""
        found = await self.store.search(("users", user), query=self.chance.text(), filter=wanted, limit=2)
        assert len(found) == min(2, len(self.matching(user, (), wanted)))
        self.check(user, found, [(item.namespace[2:], item.key) for item in found])

    async def words(self, user, wanted):
        word = self.chance.choice(["tea", "milk", "茶"])
        expected = [
            place
            for place in self.matching(user, (), wanted)
            if word in " ".join([(own := self.items[user][place])["text"], *own.get("texts", [])]).split()
        ]
        found = await self.store.search(("users", user), query=word, filter=wanted, limit=100, search_type="full_text")
        self.check(user, found, expected)

    async def both(self, user, wanted):
        found = await self.store.search(
            ("users", user), query=self.chance.text(), filter=wanted, limit=100, search_type="hybrid"
        )
        self.check(user, found, self.matching(user, (), wanted))

    async def get(self, user, _):
        places = [(below, key) for below in BELOW for key in KEYS]
        found = await self.store.batch([GetOp(("users", user, *below), key) for below, key in places])
        own = self.items[user]
        assert [item is not None for item in found] == [place in own for place in places]
        self.check(user, [item for item in found if item is not None], own)

    async def namespaces(self, user, _):
        below = {place[0] for place in self.items[user]}
        found = await self.store.list_namespaces(prefix=("users", user), limit=1000)
        # To LangGraph "*" is whatever label there is.
        assert sorted(each[2:] for each in found if each[1] == user) == sorted(below)
        assert user == "*" or {each[1] for each in found} <= {user}

    async def batch(self, user, wanted):
        """One's own and another's in one batch."""
        other = self.chance.choice([name for name in USERS if name != user])
        mine, theirs, named = await self.store.batch(
            [
                SearchOp(("users", user), wanted, limit=100),
                SearchOp(("users", other), query=self.chance.text(), limit=100),
                ListNamespacesOp((MatchCondition("suffix", (user, "more")),)),
            ]
        )
        self.check(user, mine, self.matching(user, (), wanted))
        self.check(other, theirs, self.matching(other, (), None))
        there = any(place[0] == ("more",) for place in self.items[user])
        assert user == "*" or named == ([("users", user, "more")] if there else [])

    # Changing

    async def put(self, user, _):
        below, key = self.place()
        value = self.items[user][below, key] = self.value(user)
        await self.store.put(("users", user, *below), key, value)

    async def puts(self, user, _):
        """Of several users in one batch."""
        ops = []
        for name in {user, self.chance.choice(USERS)}:
            below, key = self.place()
            value = self.items[name][below, key] = self.value(name)
            ops.append(PutOp(("users", name, *below), key, value))
        await self.store.batch(ops)

    async def delete(self, user, _):
        below, key = self.place()
        self.items[user].pop((below, key), None)
        await self.store.delete(("users", user, *below), key)


READS = ("search", "similar", "nearest", "words", "both", "get", "namespaces", "batch")
CHANGES = ("put", "put", "puts", "delete")


async def test_random_queries(connection, mode, queries):
    chance = Chance(f"{mode} {queries}")
    tried = Tried(connection, mode, chance)
    for user in USERS:
        for _ in range(4):
            await tried.put(user, None)
    for number in range(queries):
        user, call = chance.choice(USERS), chance.choice([*READS, *CHANGES])
        wanted = chance.filter(user)
        try:
            await getattr(tried, call)(user, wanted)
        except BaseException as error:
            error.add_note(f"query {number}: {call} of {user!r} with {wanted}")
            raise
    for user in USERS:
        await tried.get(user, None)
