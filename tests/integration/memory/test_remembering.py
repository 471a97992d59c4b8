"""What is told is stored once, exactly, for as long as was asked."""

from __future__ import annotations

import datetime as dt

import pytest
from core.support import MODES, metadata_with_types
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langchain_tablestore_memory import LongTermMemory, Memory

from .support import SECOND, START, texts_of

LIKES, BIRTHDAY = "I like Sichuan food", "My birthday is March 15th"


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


async def test_a_text(memory):
    [told] = await memory.remember("u1", LIKES, session_id="s1", metadata={"topic": "food"})
    assert told == Memory(
        told.memory_id,
        LIKES,
        session_id="s1",
        created_at=START,
        updated_at=START,
        metadata={"topic": "food"},
    )
    assert await memory.get("u1", told.memory_id) == [told]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (LIKES, [LIKES]),
        ([LIKES, BIRTHDAY], [LIKES, BIRTHDAY]),
        ((LIKES, BIRTHDAY), [LIKES, BIRTHDAY]),
        (f"\n  {LIKES} \t", [LIKES]),
        (["我喜欢川菜", "我的生日是3月15日 🎂"], ["我喜欢川菜", "我的生日是3月15日 🎂"]),
        ("one\ntwo", ["one\ntwo"]),
        ([], []),
        ("x" * 100_000, ["x" * 100_000]),
        ("汉" * 100_000, ["汉" * 100_000]),
    ],
)
async def test_forms_of_texts(words, content, expected):
    assert texts_of(await words.remember("u1", content)) == expected
    assert texts_of(await words.list("u1")) == expected[::-1]


async def test_a_generator(memory):
    assert texts_of(await memory.remember("u1", (f"fact {n}" for n in range(3)))) == ["fact 0", "fact 1", "fact 2"]


async def test_messages(memory):
    said = [
        HumanMessage(LIKES, id="m1"),
        AIMessage([{"type": "text", "text": "Noted: "}, {"type": "text", "text": BIRTHDAY}]),
        SystemMessage("用户说中文"),
        "a plain text",
    ]
    stored = await memory.remember("u1", said, session_id="s1")
    assert [(each.text, each.role, each.message_id, each.session_id) for each in stored] == [
        (LIKES, "human", "m1", "s1"),
        (f"Noted: {BIRTHDAY}", "ai", None, "s1"),
        ("用户说中文", "system", None, "s1"),
        ("a plain text", None, None, "s1"),
    ]
    assert (await memory.list("u1")).items == stored[::-1]
    assert await memory.remember("u1", HumanMessage(LIKES)) == [stored[0]]


async def test_nothing_is_told(memory, engine):
    assert await memory.remember("u1", []) == []
    assert engine.writes == []


async def test_duplicates_in_one_call(memory, embeddings):
    stored = await memory.remember("u1", [LIKES, BIRTHDAY, LIKES, f" {LIKES}\n", HumanMessage(BIRTHDAY)])
    assert texts_of(stored) == [LIKES, BIRTHDAY]
    assert sorted(embeddings.asked) == sorted([LIKES, BIRTHDAY])
    assert await memory.count("u1") == 2


async def test_told_again(memory, engine, embeddings, clock):
    [first] = await memory.remember("u1", LIKES, session_id="s1", metadata={"topic": "food", "year": 1})
    clock.pass_seconds(60)
    engine.calls.clear()
    assert await memory.remember("u1", LIKES, session_id="s2") == [first]
    assert engine.writes == []
    assert embeddings.asked == [LIKES]
    [again] = await memory.remember("u1", LIKES, session_id="s2", metadata={"year": 2, "more": [None]})
    assert again == Memory(
        first.memory_id,
        LIKES,
        session_id="s1",
        created_at=first.created_at,
        updated_at=START + 60 * SECOND,
        metadata={"topic": "food", "year": 2, "more": [None]},
    )
    assert (await memory.list("u1")).items == [again]


async def test_new_ones_among_known_ones(memory):
    [known] = await memory.remember("u1", LIKES)
    new, again = await memory.remember("u1", [BIRTHDAY, LIKES], metadata={"topic": "x"})
    assert (new.text, again.memory_id, again.metadata) == (BIRTHDAY, known.memory_id, {"topic": "x"})
    assert await memory.count("u1") == 2


async def test_ids_are_those_of_texts(memory, open_memory):
    [first] = await memory.remember("u1", LIKES)
    await memory.forget("u1", first.memory_id)
    assert [each.memory_id for each in await memory.remember("u1", LIKES)] == [first.memory_id]
    assert [each.memory_id for each in await memory.remember("u2", LIKES)] == [first.memory_id]
    others = await memory.remember("u1", [LIKES.lower(), f"{LIKES}.", LIKES + "\u0301"])
    assert len({first.memory_id, *(each.memory_id for each in others)}) == 4


async def test_more_than_one_request_takes(words):
    texts = [f"fact {n}" for n in range(450)]
    assert texts_of(await words.remember("u1", texts)) == texts
    assert await words.count("u1") == 450
    stored = await words.remember("u1", [*texts, "another"], metadata={"seen": True})
    assert len({each.memory_id for each in stored}) == 451
    assert await words.count("u1") == 451


METADATA = {
    "nested": {"list": [1, 2.5, None, {"a": "b"}], "empty": {}, "键": ["值"]},
    "none": None,
    "列表": ["川菜", "火锅"],
    "number": 3,
    "float": 3.0,
    "big": 2**70,
    "bool": True,
    "digits": "123",
    "json": '{"not": "parsed"}',
    "true": "true",
    "empty": "",
    "tuple": (1, 2),
    "bytes": b"\x00\xff",
    "time": dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
    "text": "not the text",
    "embedding": "not the vector",
    "document_id": "not the id",
    "tenant_id": "not the user",
    "with space and ünïcode!": 1,
    "usage": {"input_tokens": 1},
    "metadata": {"metadata": {}},
    "lc_metadata": "taken?",
    "topic": "food",
    "year": 2026,
    "tags": ["a", "b"],
}


async def test_metadata_comes_back_exactly(memory):
    [told] = await memory.remember("u1", LIKES, metadata=METADATA)
    [found] = await memory.recall("u1", "food")
    [listed] = (await memory.list("u1")).items
    [read] = await memory.get("u1", told.memory_id)
    for each in (told, found, listed, read):
        assert metadata_with_types(each.metadata) == metadata_with_types(METADATA)
        assert each.text == LIKES
    await memory.remember("u1", LIKES, metadata={"another": None})
    [read] = await memory.get("u1", told.memory_id)
    assert metadata_with_types(read.metadata) == metadata_with_types({**METADATA, "another": None})


async def test_metadata_of_the_caller_is_left_alone(memory):
    given = {"topic": "food"}
    one, two = await memory.remember("u1", [LIKES, BIRTHDAY], metadata=given)
    one.metadata["changed"] = True
    assert given == {"topic": "food"} == two.metadata


# How long


@pytest.mark.parametrize("ttl", [10, 10.0, dt.timedelta(seconds=10)])
async def test_expired_memories_are_gone(memory, clock, ttl):
    [told] = await memory.remember("u1", LIKES, ttl=ttl)
    assert told.expires_at == START + 10 * SECOND
    clock.pass_seconds(9.999999)
    assert await memory.get("u1", told.memory_id) == [told]
    assert await memory.count("u1") == 1
    clock.pass_seconds(0.000001)
    assert await memory.get("u1", told.memory_id) == [None]
    assert await memory.count("u1") == 0
    page = await memory.list("u1")
    assert (page.items, page.total) == ([], 0)
    for search_type in ("vector", "full_text", "hybrid"):
        assert await memory.recall("u1", LIKES, search_type=search_type) == []
    assert await memory.forget("u1", told.memory_id) == 0


@pytest.mark.parametrize("ttl", [dt.timedelta.max, 1e300, float("inf"), 10**30])
async def test_very_long_is_for_ever(memory, clock, ttl):
    [told] = await memory.remember("u1", LIKES, ttl=ttl)
    clock.now = 10**17
    assert await memory.get("u1", told.memory_id) == [told]


async def test_told_again_lasts_as_asked_now(memory, clock):
    [told] = await memory.remember("u1", LIKES, ttl=10)
    clock.pass_seconds(5)
    [longer] = await memory.remember("u1", LIKES, ttl=10)
    assert (longer.memory_id, longer.created_at) == (told.memory_id, told.created_at)
    clock.pass_seconds(9)
    assert await memory.count("u1") == 1
    [for_ever] = await memory.remember("u1", LIKES)
    assert for_ever.expires_at is None
    clock.pass_seconds(1e9)
    assert (await memory.list("u1")).items == [for_ever]
    await memory.remember("u1", LIKES, ttl=1)
    clock.pass_seconds(1)
    assert await memory.count("u1") == 0


async def test_told_again_after_it_expired(memory, clock):
    """It is a new memory: nothing of the old one is left."""
    await memory.remember("u1", LIKES, session_id="s1", metadata={"topic": "old", "odd": [1]}, ttl=10)
    clock.pass_seconds(20)
    [new] = await memory.remember("u1", LIKES, metadata={"year": 1})
    assert (new.created_at, new.session_id, new.metadata) == (clock.now, None, {"year": 1})
    assert (await memory.list("u1")).items == [new]
    assert await memory.forget_expired() == 0
    assert await memory.get("u1", new.memory_id) == [new]


# Texts that are not at the place of their text


async def test_told_again_after_an_update(memory):
    [told] = await memory.remember("u1", LIKES)
    changed = await memory.update("u1", told.memory_id, text=BIRTHDAY)
    assert await memory.remember("u1", BIRTHDAY) == [changed]
    [anew] = await memory.remember("u1", LIKES)
    assert anew.memory_id != told.memory_id
    assert await memory.remember("u1", LIKES) == [anew]
    assert sorted(texts_of(await memory.list("u1"))) == [LIKES, BIRTHDAY]
    # What moved out of the way stays known when the way is free.
    await memory.forget("u1", told.memory_id)
    assert await memory.remember("u1", LIKES) == [anew]
    assert await memory.count("u1") == 1


async def test_many_texts_at_one_place(memory, clock):
    for n in range(4):
        [told] = await memory.remember("u1", LIKES)
        await memory.update("u1", told.memory_id, text=f"{LIKES} {n}")
        clock.pass_seconds(1)
    [last] = await memory.remember("u1", LIKES)
    assert await memory.remember("u1", [LIKES, f"{LIKES} 2"]) == [last, (await memory.list("u1")).items[2]]
    assert sorted(texts_of(await memory.list("u1"))) == sorted([LIKES, *(f"{LIKES} {n}" for n in range(4))])


async def test_an_updated_one_that_expired_is_told_again(memory, clock):
    [told] = await memory.remember("u1", LIKES, ttl=10)
    await memory.update("u1", told.memory_id, text=BIRTHDAY)
    clock.pass_seconds(10)
    [new] = await memory.remember("u1", BIRTHDAY)
    assert await memory.remember("u1", BIRTHDAY) == [new]
    assert (await memory.list("u1")).items == [new]
    # The place of the expired one is free as well.
    [old] = await memory.remember("u1", LIKES)
    assert old.memory_id == told.memory_id
    assert sorted(texts_of(await memory.list("u1"))) == [LIKES, BIRTHDAY]


async def test_an_update_back(memory):
    [told] = await memory.remember("u1", LIKES)
    await memory.update("u1", told.memory_id, text=BIRTHDAY)
    back = await memory.update("u1", told.memory_id, text=LIKES)
    assert await memory.remember("u1", [LIKES]) == [back]
    await memory.remember("u1", BIRTHDAY)
    assert await memory.count("u1") == 2


# Where


async def test_making_one_asks_nobody(engine, connection, embeddings):
    LongTermMemory(embeddings, connection=connection)
    assert (engine.calls, embeddings.asked) == ([], [])


async def test_two_memories_in_one_instance(open_memory, embeddings):
    ours, theirs = open_memory(embeddings, table_name="ours"), open_memory(table_name="theirs")
    await ours.remember("u1", LIKES)
    await theirs.remember("u1", BIRTHDAY)
    assert [texts_of(await each.list("u1")) for each in (ours, theirs)] == [[LIKES], [BIRTHDAY]]
    await ours.drop()
    assert texts_of(await theirs.recall("u1", "birthday")) == [BIRTHDAY]
    await ours.drop()
    assert await ours.count("u1") == 0


async def test_setting_up(memory, engine):
    await memory.setup()
    await memory.setup()
    engine.taken()
    await memory.remember("u1", LIKES)
    assert set(engine.taken()) <= {"BatchGetRow", "Search", "BatchWriteRow"}


async def test_requests(memory, engine):
    await memory.setup()
    engine.taken()
    await memory.remember("u1", [LIKES, BIRTHDAY])
    assert sorted(engine.taken()) == ["BatchGetRow", "BatchWriteRow", "Search"]
    await memory.recall("u1", "food", search_type="vector")
    assert engine.taken() == ["Search"]
    await memory.recall("u1", "food")
    assert engine.taken() == ["Search", "Search"]
    await memory.list("u1")
    assert engine.taken() == ["Search", "Search"]
    await memory.count("u1")
    assert engine.taken() == ["Search"]
