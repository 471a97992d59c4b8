"""Reading and changing single memories."""

from __future__ import annotations

import pytest
from core.support import metadata_with_types

from langchain_tablestore_memory import InvalidArgumentError, LongTermMemory, MemoryNotFoundError

from .support import SECOND, START, texts_of

LIKES = "I like Sichuan food"


@pytest.fixture
async def told(memory):
    [told] = await memory.remember("u1", LIKES, session_id="s1", metadata={"topic": "food", "list": [1, None]})
    return told


async def test_get(memory, told):
    [other] = await memory.remember("u1", "another")
    ids = [other.memory_id, "absent", told.memory_id, told.memory_id]
    assert await memory.get("u1", ids) == [other, None, told, told]
    assert await memory.get("u1", (each for each in ids[:1])) == [other]
    assert await memory.get("u1", told.memory_id) == [told]
    assert await memory.get("u1", []) == []
    assert await memory.get("u2", told.memory_id) == [None]


async def test_a_new_text(memory, told, clock, embeddings):
    clock.pass_seconds(60)
    embeddings.asked.clear()
    changed = await memory.update("u1", told.memory_id, text="  I love noodles\n")
    assert embeddings.asked == ["I love noodles"]
    assert (changed.memory_id, changed.text, changed.session_id) == (told.memory_id, "I love noodles", "s1")
    assert (changed.created_at, changed.updated_at) == (START, START + 60 * SECOND)
    assert metadata_with_types(changed.metadata) == metadata_with_types(told.metadata)
    assert await memory.get("u1", told.memory_id) == [changed]
    assert (await memory.list("u1")).items == [changed]
    for search_type in ("vector", "full_text", "hybrid"):
        assert texts_of(await memory.recall("u1", "noodles", search_type=search_type)) == ["I love noodles"]
    assert await memory.recall("u1", "Sichuan", search_type="full_text") == []
    by_old, by_new = [
        (await memory.recall("u1", text, search_type="vector"))[0].score for text in (LIKES, "I love noodles")
    ]
    assert by_new > 0.999 > by_old


async def test_new_metadata(memory, told, embeddings):
    embeddings.asked.clear()
    changed = await memory.update("u1", told.memory_id, metadata={"topic": "cuisine", "键": {"a": (1,)}, "list": None})
    assert embeddings.asked == []
    expected = {"topic": "cuisine", "键": {"a": (1,)}, "list": None}
    assert metadata_with_types(changed.metadata) == metadata_with_types(expected)
    assert changed.text == LIKES
    assert changed.updated_at > told.updated_at
    assert texts_of(await memory.list("u1", filter={"topic": "cuisine"})) == [LIKES]
    assert await memory.count("u1", filter={"topic": "food"}) == 0
    assert (await memory.recall("u1", LIKES, search_type="vector"))[0].score > 0.999


async def test_both(memory, told):
    changed = await memory.update("u1", told.memory_id, text="new", metadata={"year": 5})
    assert (changed.text, changed.metadata["year"]) == ("new", 5)
    assert await memory.get("u1", told.memory_id) == [changed]


async def test_the_same_text(memory, told, embeddings):
    embeddings.asked.clear()
    changed = await memory.update("u1", told.memory_id, text=LIKES, metadata={"year": 5})
    assert (changed.text, changed.metadata["year"]) == (LIKES, 5)
    assert embeddings.asked == []


async def test_it_goes_on_expiring(memory, clock):
    [told] = await memory.remember("u1", LIKES, ttl=10)
    changed = await memory.update("u1", told.memory_id, text="new")
    assert changed.expires_at == told.expires_at
    clock.pass_seconds(10)
    assert await memory.get("u1", told.memory_id) == [None]
    with pytest.raises(MemoryNotFoundError, match="or it has expired"):
        await memory.update("u1", told.memory_id, text="newer")
    assert await memory.count("u1") == 0


async def test_a_longer_text_then_a_shorter_one(words):
    """A text that fills several columns leaves none of them behind."""
    [told] = await words.remember("u1", "short")
    for text in ("汉" * 100_000, "short again"):
        await words.update("u1", told.memory_id, text=text)
        assert texts_of(await words.get("u1", told.memory_id)) == [text]


@pytest.mark.parametrize("options", [{"text": "new"}, {"metadata": {"a": 1}}])
async def test_memories_that_are_not_there(memory, told, options, engine):
    engine.calls.clear()
    for user, memory_id in (("u1", "absent"), ("u2", told.memory_id), ("u1", "汉字")):
        with pytest.raises(MemoryNotFoundError, match=r"list\(\) and recall\(\) tell what there is") as caught:
            await memory.update(user, memory_id, **options)
        assert isinstance(caught.value, LookupError)
    assert engine.writes == []
    assert await memory.get("u1", told.memory_id) == [told]


async def test_a_text_that_another_memory_has(memory, told):
    [other] = await memory.remember("u1", "another")
    with pytest.raises(InvalidArgumentError, match=f"{other.memory_id}.*has this text already"):
        await memory.update("u1", told.memory_id, text="another")
    assert await memory.get("u1", told.memory_id) == [told]
    await memory.remember("u2", "of somebody else")
    assert (await memory.update("u1", told.memory_id, text="of somebody else")).text == "of somebody else"


async def test_a_text_that_an_expired_memory_has(memory, told, clock):
    await memory.remember("u1", "another", ttl=1)
    clock.pass_seconds(1)
    assert (await memory.update("u1", told.memory_id, text="another")).text == "another"
    assert texts_of(await memory.list("u1")) == ["another"]


async def test_removed_in_between(memory, told, engine):
    """Somebody forgets it after it was read and before it is changed: it stays forgotten."""
    other = LongTermMemory(connection=engine.connection("sync"))

    def before(api):
        if api == "BatchWriteRow":
            engine.before = None
            other.forget("u1", told.memory_id)

    engine.before = before
    with pytest.raises(MemoryNotFoundError):
        await memory.update("u1", told.memory_id, text="new")
    assert await memory.count("u1") == 0


async def test_times_never_run_backwards(memory, told, clock):
    """A clock that is behind, as another machine's may be."""
    clock.now -= 3600 * SECOND
    changed = await memory.update("u1", told.memory_id, metadata={"year": 1})
    assert changed.updated_at > told.updated_at
    [again] = await memory.remember("u1", LIKES, metadata={"year": 2})
    assert again.updated_at > changed.updated_at
