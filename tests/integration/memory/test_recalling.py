"""Recall finds what fits, by meaning, by words and by both, and nothing that was not asked for."""

from __future__ import annotations

import datetime as dt

import pytest
from core.support import MODES
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory import FilterError, Filters, HybridSettings, InvalidArgumentError

from .support import SECOND, START, texts_of

FACTS = [
    ("I like Sichuan food", "s1", {"topic": "food", "year": 2024, "tags": ["hot", "china"]}),
    ("My birthday is March 15th", "s1", {"topic": "dates", "year": 1990}),
    ("I do not like coffee, tea is my drink", "s2", {"topic": "food", "year": 2025, "tags": ["drink"]}),
    ("我住在杭州，喜欢喝龙井茶", "s2", {"topic": "住处"}),
    ("Our dog is called Wang Wang", None, {"free": {"nested": [None]}}),
]
QUESTION = "I like my dog, is 龙井茶 good?"
"""It shares words with all facts."""

SEARCH_TYPES = ("vector", "full_text", "hybrid")


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture
async def filled(memory, clock):
    for text, session, metadata in FACTS:
        await memory.remember("u1", text, session_id=session, metadata=metadata)
        clock.pass_seconds(60)
    await memory.remember("u2", ["I like Sichuan food", "I like coffee"], session_id="s1", metadata={"topic": "food"})
    return memory


ANSWERS = {
    "What kind of food do I like?": 0,
    "when is my birthday": 1,
    "Should I order tea or coffee?": 2,
    "龙井茶": 3,
    "dog": 4,
}


@pytest.mark.parametrize("search_type", [*SEARCH_TYPES, None])
async def test_the_best_comes_first(filled, search_type):
    for query, best in ANSWERS.items():
        found = await filled.recall("u1", query, search_type=search_type)
        assert found[0].text == FACTS[best][0]
        assert (found[0].session_id, found[0].metadata) == FACTS[best][1:]
        scores = [memory.score for memory in found]
        assert scores == sorted(scores, reverse=True)
        assert all(isinstance(score, float) and score > 0 for score in scores)
        assert len(texts_of(found)) == len(set(texts_of(found)))


async def test_a_recalled_memory_is_the_stored_one(filled):
    [found] = await filled.recall("u1", "dog", k=1)
    found.score = None
    assert [found] == await filled.get("u1", found.memory_id)


@pytest.mark.parametrize("search_type", SEARCH_TYPES)
async def test_k(filled, search_type):
    everything = await filled.recall("u1", QUESTION, search_type=search_type, k=1000)
    assert len(everything) >= 4
    for k in (1, 2, 3):
        assert texts_of(await filled.recall("u1", QUESTION, k, search_type=search_type)) == texts_of(everything[:k])
    assert len(await filled.recall("u1", QUESTION, search_type="vector", k=1000)) == 5


async def test_k_out_of_range(filled):
    for k in (0, -1, 1001, True, 1.5, "3", None):
        with pytest.raises(InvalidArgumentError, match=r"^k is"):
            await filled.recall("u1", "dog", k)


async def test_hundreds_are_recalled(words):
    texts = [f"fact number {n}" for n in range(250)]
    await words.remember("u1", texts)
    some = texts_of(await words.recall("u1", "fact", k=240))
    assert len(some) == len(set(some)) == 240
    assert set(some) < set(texts)
    assert len(await words.recall("u1", "fact", k=1000)) == 250


@pytest.mark.parametrize("search_type", [*SEARCH_TYPES, None])
async def test_conditions(filled, search_type):
    async def recalled(**conditions):
        found = await filled.recall("u1", QUESTION, k=100, search_type=search_type, **conditions)
        return set(texts_of(found))

    def facts(*numbers):
        return {FACTS[n][0] for n in numbers}

    minute = 60 * SECOND
    assert await recalled() >= facts(0, 1, 2, 4)
    assert await recalled(session_id="s1") == facts(0, 1)
    assert await recalled(session_id="s2") == facts(2, 3)
    assert await recalled(session_id="s3") == set()
    assert await recalled(since=START + 3 * minute) == facts(3, 4)
    assert await recalled(until=START + minute) == facts(0, 1)
    assert await recalled(since=START + minute, until=START + 2 * minute) == facts(1, 2)
    at = dt.datetime.fromtimestamp(START // SECOND, dt.UTC)
    assert await recalled(since=at, until=at + dt.timedelta(seconds=30)) == facts(0)
    assert await recalled(since=at.astimezone(dt.timezone(dt.timedelta(hours=8))), until=at) == facts(0)
    assert await recalled(filter={"topic": "food"}) == facts(0, 2)
    assert await recalled(filter=Filters.eq("topic", "住处")) == facts(3)
    assert await recalled(filter={"year": {"$gte": 2000}}, session_id="s1") == facts(0)
    assert await recalled(filter={"tags": {"$contains": "hot"}}) == facts(0)
    assert await recalled(filter={"$not": {"topic": {"$exists": True}}}) == facts(4)
    assert await recalled(filter={"session_id": {"$in": ["s1", "s2"]}, "created_at": {"$gt": START}}) >= facts(1, 2)
    assert await recalled(filter={"tenant_id": {"$ne": "u1"}}) == set()


async def test_a_filter_by_another_user_finds_nothing_of_them(filled):
    for wanted in ({"tenant_id": "u2"}, Filters.all(), {"$or": [{"tenant_id": "u2"}, {"topic": "food"}]}):
        assert "I like coffee" not in texts_of(await filled.recall("u1", "coffee", k=100, filter=wanted))
        assert "I like coffee" not in texts_of(await filled.list("u1", filter=wanted))


@pytest.mark.parametrize("search_type", ["vector", "full_text"])
async def test_score_threshold(filled, search_type):
    found = await filled.recall("u1", QUESTION, k=100, search_type=search_type)
    assert len(found) > 2
    for threshold in (found[1].score, (found[0].score + found[1].score) / 2, found[0].score + 1):
        kept = await filled.recall("u1", QUESTION, k=100, search_type=search_type, score_threshold=threshold)
        assert texts_of(kept) == [memory.text for memory in found if memory.score >= threshold]


async def test_score_threshold_alone_means_by_vector(filled):
    by_vector = await filled.recall("u1", "dog", k=100, search_type="vector", score_threshold=0.5)
    assert await filled.recall("u1", "dog", k=100, score_threshold=0.5) == by_vector


async def test_hybrid_settings(filled):
    words_alone = await filled.recall("u1", "dog like", settings=HybridSettings(vector_weight=0, fusion="weighted"))
    by_words = await filled.recall("u1", "dog like", search_type="full_text")
    assert words_alone[0].memory_id == by_words[0].memory_id
    narrow = HybridSettings(vector_fetch_k=1, text_fetch_k=1)
    assert len(await filled.recall("u1", "dog like", settings=narrow, search_type="hybrid")) <= 2


async def test_the_last_question_of_a_conversation(filled):
    messages = [
        HumanMessage("What is our dog called?"),
        AIMessage("It is called Wang Wang."),
        HumanMessage("When is my birthday?"),
        AIMessage("Let me look at the dog."),
    ]
    assert texts_of(await filled.recall("u1", messages, 1)) == ["My birthday is March 15th"]
    assert texts_of(await filled.recall("u1", messages[0], 1)) == ["Our dog is called Wang Wang"]
    assert texts_of(await filled.recall("u1", [AIMessage("a dog")], 1)) == ["Our dog is called Wang Wang"]


async def test_a_long_question(filled):
    """A search by words takes 4096 characters. People paste more than that."""
    long = "dog " * 5000
    for search_type in SEARCH_TYPES:
        assert texts_of(await filled.recall("u1", long, 1, search_type=search_type)) == ["Our dog is called Wang Wang"]


async def test_nothing_is_remembered(memory):
    for search_type in SEARCH_TYPES:
        assert await memory.recall("u1", "anything", search_type=search_type) == []


async def test_without_an_embedding_model(words):
    await words.remember("u1", [fact[0] for fact in FACTS])
    assert texts_of(await words.recall("u1", "dog")) == ["Our dog is called Wang Wang"]
    assert texts_of(await words.recall("u1", "杭州 龙井")) == ["我住在杭州，喜欢喝龙井茶"]
    for search_type in ("vector", "hybrid"):
        with pytest.raises(InvalidArgumentError, match="needs an embedding model"):
            await words.recall("u1", "dog", search_type=search_type)


IMPOSSIBLE = [
    ({"search_type": "fulltext"}, "search_type is 'fulltext'. Give one of 'vector', 'full_text', 'hybrid'"),
    ({"search_type": "hybrid", "score_threshold": 0.5}, "score_threshold is not for 'hybrid'"),
    ({"search_type": "vector", "settings": HybridSettings()}, "settings are for 'hybrid'"),
    ({"settings": {"vector_weight": 1}}, "settings is a dict. Give HybridSettings"),
    ({"score_threshold": "high"}, "score is 'high'. Give a number"),
    ({"score_threshold": float("nan")}, "score is nan. Give a number"),
    ({"since": "yesterday"}, "since is a str"),
    ({"until": dt.datetime(2026, 1, 1)}, "until is a datetime without time zone"),
    ({"session_id": ""}, "session_id is empty"),
    ({"session_id": 5}, "session_id is a int"),
]


async def test_options_that_cannot_be(filled):
    for options, message in IMPOSSIBLE:
        with pytest.raises(InvalidArgumentError, match=message):
            await filled.recall("u1", "dog", **options)


async def test_questions_that_are_none(filled, engine):
    engine.calls.clear()
    for query in ("", "  \n", None, 5, [], b"dog", ["dog"], [HumanMessage("dog"), "dog"]):
        with pytest.raises(InvalidArgumentError, match="query"):
            await filled.recall("u1", query)
    assert engine.calls == []


async def test_fields_that_are_not_declared(filled):
    for call in (filled.recall("u1", "dog", filter={"free": 1}), filled.list("u1", filter={"free": 1})):
        with pytest.raises(FilterError, match=r"(?s)'free'.*topic"):
            await call


async def test_fields_that_are_declared(open_memory, embeddings):
    memory = open_memory(embeddings, table_name="other", filterable={"place": "text", "price": float, "open": bool})
    await memory.remember("u1", "one", metadata={"place": "West Lake, Hangzhou", "price": 2.5, "open": True})
    await memory.remember("u1", "two", metadata={"place": "Summer Palace, Beijing", "price": 9.5, "open": False})
    for wanted in ({"place": {"$text": "hangzhou"}}, {"price": {"$lt": 3}}, {"open": True}):
        assert texts_of(await memory.recall("u1", "one two", filter=wanted, search_type="full_text")) == ["one"]
        assert texts_of(await memory.list("u1", filter=wanted)) == ["one"]
        assert await memory.count("u1", filter=wanted) == 1
