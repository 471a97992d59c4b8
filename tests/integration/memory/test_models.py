"""Embedding models that fail, answer nonsense, or are not there."""

from __future__ import annotations

import logging

import pytest

from langchain_tablestore_memory import (
    ConfigurationError,
    EmbeddingError,
    InvalidArgumentError,
    LongTermMemory,
    SchemaMismatchError,
)

from .support import SpoiltEmbeddings, WordEmbeddings, texts_of

NAN = float("nan")


def failing(_):
    raise ConnectionError("the model is gone")


SPOILT = [
    pytest.param(
        failing, EmbeddingError, r"The embedding model failed: ConnectionError\('the model is gone'\)", id="fails"
    ),
    pytest.param(lambda vectors: vectors[:-1], EmbeddingError, "returned 1 vectors for 2 texts", id="too few"),
    pytest.param(
        lambda vectors: [*vectors, vectors[0]], EmbeddingError, "returned 3 vectors for 2 texts", id="too many"
    ),
    pytest.param(lambda _: None, EmbeddingError, "returned a NoneType for 2 texts", id="none"),
    pytest.param(
        lambda vectors: [vector[:-1] for vector in vectors],
        InvalidArgumentError,
        "255 dimensions; .* has 256",
        id="short",
    ),
    pytest.param(lambda vectors: [vectors[0], [NAN] * 256], EmbeddingError, "has nan at position 0", id="nan"),
    pytest.param(lambda vectors: [vectors[0], [1e300] * 256], EmbeddingError, r"has 1e\+300 at position 0", id="inf"),
    pytest.param(
        lambda vectors: [vectors[0], ["1"] * 256], EmbeddingError, "holds values that are no numbers", id="texts"
    ),
    pytest.param(lambda vectors: [vectors[0], None], EmbeddingError, "is a NoneType", id="no vector"),
]


@pytest.fixture
def spoilt():
    return SpoiltEmbeddings()


@pytest.fixture
def memory(open_memory, spoilt):
    return open_memory(spoilt)


@pytest.mark.parametrize(("spoil", "error", "message"), SPOILT)
async def test_nothing_new_is_written(memory, spoilt, engine, spoil, error, message, caplog):
    caplog.set_level(logging.DEBUG)
    [told] = await memory.remember("u1", "secret 0")
    engine.calls.clear()
    spoilt.spoil = spoil
    with pytest.raises(error, match=message) as caught:
        await memory.remember("u1", ["secret 1", "secret 2"])
    assert engine.writes == []
    assert "secret" not in caplog.text
    assert "secret" not in str(caught.value)
    # What is known needs no model.
    assert await memory.remember("u1", "secret 0") == [told]
    assert await memory.get("u1", told.memory_id) == [told]
    spoilt.spoil = None
    assert len(await memory.remember("u1", ["secret 1", "secret 2"])) == 2
    assert await memory.count("u1") == 3


@pytest.mark.parametrize(("spoil", "error", "message"), SPOILT)
async def test_a_memory_stays_as_it_was(memory, spoilt, engine, spoil, error, message):
    [told] = await memory.remember("u1", "before")
    engine.calls.clear()

    def of_one(vectors):
        return spoil([vectors[0], vectors[0]])[1:]

    spoilt.spoil = of_one if "texts" not in message else spoil
    with pytest.raises((EmbeddingError, InvalidArgumentError)):
        await memory.update("u1", told.memory_id, text="after")
    assert engine.writes == []
    assert await memory.get("u1", told.memory_id) == [told]
    # Metadata needs no model.
    assert (await memory.update("u1", told.memory_id, metadata={"a": 1})).text == "before"


async def test_recall(memory, spoilt):
    await memory.remember("u1", "I like tea")
    spoilt.spoil = failing
    for options in ({}, {"search_type": "vector"}):
        with pytest.raises(EmbeddingError, match="the model is gone"):
            await memory.recall("u1", "tea", **options)
    assert texts_of(await memory.recall("u1", "tea", search_type="full_text")) == ["I like tea"]
    spoilt.spoil = lambda vectors: [[NAN] * 256]
    with pytest.raises(EmbeddingError, match="has nan at position 0"):
        await memory.recall("u1", "tea")
    spoilt.spoil = lambda vectors: [[1.0, 2.0]]
    with pytest.raises(InvalidArgumentError, match="The query vector has 2 dimensions"):
        await memory.recall("u1", "tea")


async def test_forgetting_needs_no_model(memory, open_memory, spoilt, embeddings):
    """Also in a new process, where nothing is known of its vectors."""
    stored = await memory.remember("u1", [f"fact {n}" for n in range(4)], session_id="s1", ttl=5)
    broken = SpoiltEmbeddings()
    broken.spoil = failing

    def fresh():
        return open_memory(broken)

    assert await fresh().count("u1") == 4
    assert len((await fresh().list("u1")).items) == 4
    assert await fresh().get("u1", stored[0].memory_id) == [stored[0]]
    assert await fresh().forget("u1", stored[0].memory_id) == 1
    assert await fresh().forget("u1", filter={"created_at": stored[1].created_at}) == 1
    assert await fresh().forget_expired() == 0
    assert await fresh().forget_user("u1") == 2
    await fresh().drop()
    assert broken.asked == []


async def test_a_model_that_fails_before_anything_is_there(open_memory, engine):
    broken = SpoiltEmbeddings()
    broken.spoil = failing
    for _ in range(2):
        with pytest.raises(EmbeddingError, match="the model is gone"):
            await open_memory(broken).remember("u1", "text")
    assert engine.connection("sync").client.list_table() == ()


async def test_batches(open_memory):
    batches = []

    def count(vectors):
        batches.append(len(vectors))
        return vectors

    model = SpoiltEmbeddings()
    model.spoil = count
    memory = open_memory(model, embedding_batch_size=10, dimension=256)
    stored = await memory.remember("u1", [f"fact {n}" for n in range(25)])
    assert sorted(batches) == [5, 10, 10]
    for n in (0, 12, 24):
        [best] = await memory.recall("u1", f"fact {n}", 1, search_type="vector")
        assert (best.text, best.memory_id) == (f"fact {n}", stored[n].memory_id)


async def test_the_model_is_asked_for_its_dimension_once(memory, spoilt):
    await memory.remember("u1", "one")
    await memory.remember("u1", "two")
    assert [text for text in spoilt.asked if "How many numbers" in text] == spoilt.asked[:1]


async def test_another_dimension(memory, open_memory):
    await memory.remember("u1", "text")
    with pytest.raises(SchemaMismatchError, match="vectors of 256 dimensions, not 8"):
        await open_memory(WordEmbeddings(8), dimension=8).setup()
    for call in ("remember", "recall"):
        with pytest.raises(InvalidArgumentError, match="8 dimensions; this store has 256"):
            await getattr(open_memory(WordEmbeddings(8)), call)("u1", "another")
    assert await memory.count("u1") == 1


async def test_a_model_for_a_table_that_was_made_without_one(open_memory, embeddings):
    await open_memory().remember("u1", "text")
    with pytest.raises(SchemaMismatchError, match="lacks the field 'embedding'"):
        await open_memory(embeddings).recall("u1", "text")
    second = open_memory(embeddings, search_index_name="with_vectors")
    assert texts_of(await second.recall("u1", "text", search_type="full_text")) == ["text"]


async def test_without_a_model_over_a_table_that_has_vectors(memory, open_memory):
    await memory.remember("u1", "I like tea")
    words = open_memory()
    assert texts_of(await words.recall("u1", "tea")) == ["I like tea"]
    await words.remember("u1", "more tea")
    assert texts_of(await memory.recall("u1", "more tea", search_type="vector")) == ["I like tea"]
    assert len(await memory.recall("u1", "more tea")) == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dimension": 0}, ValueError, "0"),
        ({"dimension": 5000}, ValueError, "5000"),
        ({"metric": "manhattan"}, ValueError, "manhattan"),
        ({"embedding_batch_size": 0}, InvalidArgumentError, "embedding_batch_size is 0"),
        ({"filterable": {"session_id": str}}, ConfigurationError, "'session_id', which memories use themselves"),
        ({"filterable": {"message_id": str, "text_id": str}}, ConfigurationError, "'message_id', 'text_id'"),
        ({"filterable": ["topic"]}, ConfigurationError, "filterable is no dict"),
        ({"filterable": {"主题": str}}, ConfigurationError, "cannot be a column"),
        ({"connection": "local:./data"}, ConfigurationError, "connection is a str"),
        ({"embedding": object()}, ConfigurationError, "embedding is a object. Give an embedding model"),
    ],
)
def test_settings_that_cannot_be(connection, options, error, message):
    with pytest.raises(error, match=message):
        LongTermMemory(**{"embedding": WordEmbeddings(), "connection": connection} | options)
