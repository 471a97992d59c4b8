"""Bad input at every door: one error of ours that says what is allowed, and nothing of it is written or logged."""

from __future__ import annotations

import asyncio
import logging
import math
from types import SimpleNamespace

import pytest
from core.support import Face
from langchain_core.messages import HumanMessage

from langchain_tablestore_memory import (
    ConfigurationError,
    Document,
    EmbeddingError,
    Filters,
    InvalidArgumentError,
    KnowledgeStore,
    MemoryStore,
    PermissionDeniedError,
    SchemaMismatchError,
    TablestoreChatMessageHistory,
    TablestoreMemoryError,
    TablestoreRetriever,
    TablestoreVectorStore,
    WriteError,
)
from langchain_tablestore_memory.local.errors import RequestError

from .conftest import FILTERABLE

SECRET = "SECRET-4711"
NAN, INF = [math.nan, 0.0, 0.0, 0.0], [0.0, 0.0, math.inf, 0.0]
LONG = f"{SECRET} " * 500
GOOD = [1.0, 0.0, 0.0, 0.0]


@pytest.fixture
async def doors(connection, mode, model, open_store):
    """Every public class that searches, over one filled table each."""
    vectors = open_store()
    await vectors.add_texts(["tea", "coffee"], [{"year": 1, "mark": SECRET}, {"year": 2}], ids=["a", "b"])
    history = Face(TablestoreChatMessageHistory("s1", user_id="u1", connection=connection), mode)
    await history.add_messages([HumanMessage("tea", id="m1")])
    await history.search("tea")

    def retriever(search_type, **options):
        return Face(vectors.target.as_retriever(search_type=search_type, **options), mode)

    return SimpleNamespace(
        knowledge=Face(KnowledgeStore(connection, 4, filterable=FILTERABLE), mode),
        vectors=vectors,
        history=history,
        memory=Face(MemoryStore(connection), mode),
        retriever=retriever,
        similar=retriever("similarity"),
        words=retriever("full_text"),
        both=retriever("hybrid"),
        diverse=retriever("mmr"),
    )


def filtered(wanted):
    """Every door through which a filter goes."""
    return [
        lambda d: d.knowledge.search_documents(metadata_filter=wanted),
        lambda d: d.knowledge.list_documents(metadata_filter=wanted),
        lambda d: d.knowledge.count_documents(metadata_filter=wanted),
        lambda d: d.knowledge.vector_search(GOOD, metadata_filter=wanted),
        lambda d: d.knowledge.full_text_search(SECRET, metadata_filter=wanted),
        lambda d: d.knowledge.hybrid_search(SECRET, GOOD, metadata_filter=wanted),
        lambda d: d.knowledge.delete_by_filter(wanted),
        lambda d: d.knowledge.update_by_filter(wanted, {"year": 9}),
        lambda d: d.vectors.similarity_search(SECRET, filter=wanted),
        lambda d: d.vectors.similarity_search_with_relevance_scores(SECRET, filter=wanted),
        lambda d: d.vectors.similarity_search_by_vector(GOOD, filter=wanted),
        lambda d: d.vectors.max_marginal_relevance_search(SECRET, filter=wanted),
        lambda d: d.vectors.full_text_search(SECRET, filter=wanted),
        lambda d: d.vectors.hybrid_search(SECRET, filter=wanted),
        lambda d: d.vectors.delete(filter=wanted),
        lambda d: d.vectors.update_metadata_by_filter(wanted, {"year": 9}),
        lambda d: d.similar.invoke(SECRET, filter=wanted),
        lambda d: d.words.invoke(SECRET, filter=wanted),
        lambda d: d.both.invoke(SECRET, filter=wanted),
        lambda d: d.diverse.invoke(SECRET, filter=wanted),
        lambda d: d.retriever("similarity", search_kwargs={"filter": wanted}).invoke(SECRET),
        lambda d: d.memory.search_messages(wanted),
        lambda d: d.memory.search_sessions(wanted),
    ]


def with_vector(given):
    """Every door through which a vector goes."""
    return [
        lambda d: d.knowledge.vector_search(given),
        lambda d: d.knowledge.hybrid_search(SECRET, given),
        lambda d: d.knowledge.put_document(Document("new", text=SECRET, embedding=given)),
        lambda d: d.knowledge.put_documents([Document("new", text=SECRET), Document("new2", embedding=given)]),
        lambda d: d.knowledge.update_document(Document("a", embedding=given)),
        lambda d: d.vectors.similarity_search_by_vector(given),
        lambda d: d.vectors.similarity_search_with_score_by_vector(given),
        lambda d: d.vectors.max_marginal_relevance_search_by_vector(given),
    ]


def counted(number):
    """Every door through which a number of results goes."""
    return [
        lambda d: d.knowledge.vector_search(GOOD, number),
        lambda d: d.knowledge.vector_search(GOOD, 4, limit=number),
        lambda d: d.knowledge.search_documents(limit=number),
        lambda d: d.knowledge.full_text_search(SECRET, limit=number),
        lambda d: d.knowledge.hybrid_search(SECRET, GOOD, limit=number),
        lambda d: d.vectors.similarity_search(SECRET, number),
        lambda d: d.vectors.similarity_search_with_score(SECRET, number),
        lambda d: d.vectors.similarity_search_by_vector(GOOD, number),
        lambda d: d.vectors.max_marginal_relevance_search(SECRET, number),
        lambda d: d.vectors.max_marginal_relevance_search(SECRET, fetch_k=number),
        lambda d: d.vectors.full_text_search(SECRET, number),
        lambda d: d.vectors.hybrid_search(SECRET, number),
        lambda d: d.vectors.search(SECRET, "similarity", k=number),
        lambda d: d.similar.invoke(SECRET, k=number),
        lambda d: d.words.invoke(SECRET, k=number),
        lambda d: d.both.invoke(SECRET, k=number),
        lambda d: d.diverse.invoke(SECRET, k=number),
        lambda d: d.retriever("hybrid", search_kwargs={"k": number}).invoke(SECRET),
        lambda d: d.history.search(SECRET, limit=number),
        lambda d: d.memory.search_messages(limit=number),
        lambda d: d.memory.search_sessions(limit=number),
    ]


def worded(query):
    """Every door through which words go."""
    return [
        lambda d: d.knowledge.full_text_search(query),
        lambda d: d.knowledge.hybrid_search(query, GOOD),
        lambda d: d.knowledge.search_documents(metadata_filter=Filters.text_match("text", query)),
        lambda d: d.vectors.full_text_search(query),
        lambda d: d.vectors.full_text_search_with_score(query),
        lambda d: d.vectors.hybrid_search(query),
        lambda d: d.words.invoke(query),
        lambda d: d.both.invoke(query),
        lambda d: d.history.search(query),
        lambda d: d.history.search(query, scope="user"),
        lambda d: d.memory.search_messages(Filters.text_match("content", query)),
    ]


CASES = {
    "two dimensions": (with_vector([1.0, 0.0]), r"has 2 dimensions; this store has 4"),
    "no dimension": (with_vector([]), r"has the shape 0\. Give a flat list"),
    "nan": (with_vector(NAN), "has nan at position 0. Give finite numbers"),
    "infinite": (with_vector(INF), "has inf at position 2. Give finite numbers"),
    "over float32": (with_vector([1e39, 0, 0, 0]), r"has 1e\+39 at position 0. Give finite numbers within float32"),
    "text for numbers": (with_vector(["1", "0", "0", "0"]), "no numbers. Give floats"),
    "undeclared": (filtered({"mark": SECRET}), "'mark': it is not declared. There are: "),
    "undeclared inside": (
        filtered({"$or": [{"$not": {"mark": {"$exists": True}}}]}),
        "'mark': it is not declared. There are: ",
    ),
    "no such operator": (filtered({"mark": {"$near": SECRET}}), r"unknown operator '\$near' on 'mark'. There are: "),
    "no filter": (filtered(SECRET), "a filter is a dict or is made by Filters, not str"),
    "k 0": (counted(0), r"is 0. Give 1 to 100"),
    "k 10,000": (counted(10_000), r"is 10000. Give 1 to 100"),
    "k -1": (counted(-1), r"is -1. Give 1 to 100"),
    "k as text": (counted("4"), "is a str. Give an int"),
    "over-long": (worded(LONG), "has 6000 characters. Give at most 4096"),
    "empty": (worded(" \n"), "is empty. Give words"),
    "no Unicode": (worded("tea \ud800"), "lone surrogate at position 4"),
    "no text": (worded(b"tea"), r"is a bytes|not bytes"),
}
DECLARED = {
    "prefix of a number": ({"year": {"$prefix": "2"}}, r"\$prefix cannot be asked of 'year'.*It takes: \$eq"),
    "text for a number": ({"year": SECRET}, "'year' compares with a str, but the field is declared to hold integers"),
    "number for text": ({"lang": 5}, "'lang' compares with a int"),
    "comparison of lists": ({"tags": {"$gt": "a"}}, r"\$gt cannot be asked of 'tags'.*It takes: \$contains"),
    "element of a scalar": ({"lang": {"$contains": "a"}}, r"\$contains cannot be asked of 'lang'"),
    "comparison of full text": ({"text": SECRET}, r"\$eq cannot be asked of 'text'.*It takes: \$text"),
    "vector": ({"embedding": 1}, r"\$eq cannot be asked of 'embedding'"),
}
# The doors of histories have other fields.
CASES |= {name: (filtered(wanted)[:-2], reason) for name, (wanted, reason) in DECLARED.items()}
CASES["full text of a user"] = (
    [
        lambda d: d.memory.search_sessions({"user_id": {"$text": SECRET}}),
        lambda d: d.memory.search_messages({"session_id": {"$phrase": SECRET}}),
    ],
    r"\$(text|phrase) cannot be asked of '(user|session)_id'",
)
TRIED = [
    pytest.param(call, reason, id=f"{name} {number}")
    for name, (calls, reason) in CASES.items()
    for number, call in enumerate(calls)
]


async def test_every_door_refuses(doors, engine, caplog):
    """All cases in one test, because each would have to fill the tables anew."""
    before = [await doors.vectors.get_by_ids(["a", "b", "new", "new2"]), await doors.history.entries()]
    engine.taken()
    caplog.set_level(logging.DEBUG, "langchain_tablestore_memory")
    failures = []
    for case in TRIED:
        call, reason = case.values
        try:
            with pytest.raises(InvalidArgumentError, match=reason) as caught:
                await call(doors)
            assert isinstance(caught.value, TablestoreMemoryError)
            assert SECRET not in str(caught.value)
            assert engine.writes == []
        except (Exception, pytest.fail.Exception) as error:
            failures.append(f"{case.id}: {error!r:.300}")
    assert failures == []
    assert SECRET not in caplog.text
    assert [await doors.vectors.get_by_ids(["a", "b", "new", "new2"]), await doors.history.entries()] == before


@pytest.mark.parametrize("number", [0, 10_000, -1, "four", 1.5])
def test_a_retriever_is_not_made_with_such_a_k(open_store, number):
    store = open_store().target
    with pytest.raises(InvalidArgumentError, match="k is"):
        store.as_retriever(k=number)
    with pytest.raises(InvalidArgumentError, match="k is"):
        TablestoreRetriever(vectorstore=store, k=number)


QUERY_ANSWERS = [
    (None, "is a NoneType"),
    ([], "shape 0"),
    ([1.0, 0.0], "2 dimensions"),
    (NAN, "nan at position 0"),
    (INF, "inf at position 2"),
    (["1", "2", "3", "4"], "no numbers"),
]


@pytest.mark.parametrize(("answer", "reason"), QUERY_ANSWERS)
async def test_a_model_that_embeds_queries_wrongly(doors, model, monkeypatch, answer, reason):
    monkeypatch.setattr(model, "embed_query", lambda _: answer)
    for call in (
        lambda: doors.vectors.similarity_search(SECRET),
        lambda: doors.vectors.similarity_search_with_score(SECRET),
        lambda: doors.vectors.max_marginal_relevance_search(SECRET),
        lambda: doors.vectors.hybrid_search(SECRET),
        lambda: doors.similar.invoke(SECRET),
        lambda: doors.diverse.invoke(SECRET),
        lambda: doors.both.invoke(SECRET),
    ):
        with pytest.raises(InvalidArgumentError, match=reason) as caught:
            await call()
        assert SECRET not in str(caught.value)


async def test_a_store_of_another_model_is_a_mismatch(doors, open_store, model, monkeypatch):
    """Asked for another dimension than the table has, every door says so, and nothing is written."""
    monkeypatch.setattr(model, "embed_query", lambda _: [1.0, 0.0])
    monkeypatch.setattr(model, "embed_documents", lambda texts: [[1.0, 0.0]] * len(texts))
    other = open_store()
    retriever = Face(other.target.as_retriever(search_type="hybrid"), other.mode)
    for call in (
        lambda: other.similarity_search(SECRET),
        lambda: other.hybrid_search(SECRET),
        lambda: other.add_texts([SECRET], ids=["new"]),
        lambda: retriever.invoke(SECRET),
    ):
        with pytest.raises(
            (SchemaMismatchError, InvalidArgumentError), match=r"2 dimensions; this store has 4|4.*not 2"
        ):
            await call()
    assert await doors.vectors.get_by_ids(["new"]) == []


@pytest.mark.parametrize("missing", ["index", "table"])
async def test_a_missing_index_is_made_again_or_its_refusal_is_told(doors, engine, connection, mode, missing):
    """What vanished is made anew; somebody who may not make it is told so, and which request it was."""
    calls = (
        lambda: doors.knowledge.full_text_search("tea"),
        lambda: doors.vectors.similarity_search("tea"),
        lambda: doors.both.invoke("tea"),
        lambda: doors.knowledge.delete_by_filter({"year": 1}),
    )
    admin = Face(engine.connection("sync").client, "sync")

    async def take_away():
        await admin.delete_search_index("knowledge", "knowledge_search_index")
        if missing == "table":
            await admin.delete_table("knowledge")

    def refuse(api):
        if api in {"CreateSearchIndex", "CreateTable"}:
            raise RequestError(403, "OTSNoPermissionAccess", "You have no permission.")

    for call in calls:
        await take_away()
        engine.before = refuse
        with pytest.raises(PermissionDeniedError, match=r"create_(search_index|table)"):
            await call()
        engine.before = None
        assert len(await doors.vectors.full_text_search("tea")) == (1 if missing == "index" else 0)
    history_calls = (lambda: doors.history.search("tea"), lambda: doors.memory.search_messages({"message_id": "m1"}))
    for call in history_calls:
        await admin.delete_search_index("message", "message_search_index")
        engine.before = refuse
        with pytest.raises(PermissionDeniedError, match="create_search_index"):
            await call()
        engine.before = None
        assert len((await call()).items) == 1


class TestHalfWay:
    """What a batch that fails half-way says is true: `stored` is there, `failed` is not, and together they are all."""

    async def check(self, store, error, ids):
        assert sorted((*error.stored, *error.failed)) == sorted(ids)
        assert {document.id for document in await store.get_by_ids(ids)} == set(error.stored)
        assert SECRET not in str(error)
        assert all(repr(document_id) in str(error) for document_id in error.failed[:3])

    @pytest.mark.parametrize("fails_at", [0, 7, 19])
    @pytest.mark.parametrize("how", ["raises", "too few"])
    async def test_the_model(self, open_store, model, how, fails_at):
        def answer(texts, vectors):
            if f"{SECRET} {fails_at}" not in texts:
                return vectors
            if how == "raises":
                raise TimeoutError("the model is busy")
            return vectors[:-1]

        store, ids = open_store(), [f"i{n}" for n in range(20)]
        model.answer = answer
        with pytest.raises(EmbeddingError) as caught:
            await store.add_texts(
                [f"{SECRET} {n}" for n in range(20)], ids=ids, embedding_batch_size=2, batch_size=4, concurrency=2
            )
        await self.check(store, caught.value, ids)
        assert f"i{fails_at}" in caught.value.failed

    @pytest.mark.parametrize("fails_at", [1, 2, 5])
    async def test_the_service(self, open_store, engine, fails_at):
        store, ids = open_store(), [f"i{n}" for n in range(20)]
        await store.setup()
        engine.fail_at("BatchWriteRow", fails_at)
        documents = [f"{SECRET} {n}" for n in range(20)]
        options = {"embedding_batch_size": 4, "batch_size": 4, "concurrency": 1}
        with pytest.raises(WriteError) as caught:
            await store.add_texts(documents, ids=ids, **options)
        engine.before = None
        error = caught.value
        await self.check(store, error, ids)
        failed = ids[4 * (fails_at - 1) : 4 * fails_at]
        assert set(failed) <= set(error.failed)

    async def test_of_one_id_the_last_has_to_be_stored(self, open_store, engine):
        store = open_store()
        await store.setup()
        engine.fail_at("BatchWriteRow", 2)
        with pytest.raises(WriteError) as caught:
            await store.add_texts(
                ["tea", "rice", "coffee"], ids=["a", "b", "a"], embedding_batch_size=2, batch_size=2, concurrency=1
            )
        engine.before = None
        assert (caught.value.stored, caught.value.failed) == (("b",), ("a",))

    async def test_a_source_that_breaks(self, open_store):
        def source():
            yield from (f"{SECRET} {n}" for n in range(10))
            raise OSError("the disk is gone")

        store, ids = open_store(), [f"i{n}" for n in range(20)]
        with pytest.raises(OSError, match="the disk is gone") as caught:
            await store.add_texts(source(), ids=ids, embedding_batch_size=2, batch_size=2, concurrency=1)
        assert "10 documents are stored, 0 are not" in "".join(caught.value.__notes__)
        assert len(await store.get_by_ids(ids)) == 10

    async def test_a_document_that_cannot_be_stored(self, open_store, engine):
        """It is named, whatever is wrong with it; a list is refused as a whole before anything is written."""
        store = open_store(embedding=None)
        await store.setup()
        engine.taken()
        for text, metadata, reason in (
            ("\ud800", {}, "lone surrogate"),
            ("tea", {"a": "\ud800"}, "lone surrogate"),
            ("tea", {"a": object()}, "object"),
            ("tea", {1: 2}, "key of type int"),
            ("x" * 5_000_000, {}, "5000000 bytes"),
            ("tea", {"tags": ["a"] * 257}, "257 elements"),
        ):
            with pytest.raises(InvalidArgumentError, match=reason) as caught:
                await store.add_texts(["fine", text], [{}, metadata], ids=["good", "culprit"])
            assert "culprit" in str(caught.value), reason
            assert engine.writes == []

    async def test_vectors_of_the_model_that_cannot_be_stored(self, store, model, engine):
        answers = ((NAN, "nan"), (INF, "inf"), ([1.0], "1 dimensions"), ("vector", "is a str"), (None, "no vector"))
        for bad, reason in answers:
            model.answer = lambda texts, vectors, bad=bad: [vectors[0], bad]
            with pytest.raises((InvalidArgumentError, EmbeddingError), match=reason) as caught:
                await store.add_texts(["tea", SECRET], ids=["good", "culprit"])
            assert "'culprit'" in str(caught.value)
            assert await store.get_by_ids(["good", "culprit"]) == []


async def test_searches_at_once_fail_each_for_itself(doors):
    """A refused search leaves nothing behind that another one, under way at the same time, would meet."""
    store = doors.vectors.target
    searches = [
        asyncio.to_thread(store.similarity_search, "tea", k=k)
        if doors.vectors.mode == "sync"
        else store.asimilarity_search("tea", k=k)
        for k in (1, 0, 2, 10_000) * 5
    ]
    outcomes = await asyncio.gather(*searches, return_exceptions=True)
    kinds = [type(outcome).__name__ for outcome in outcomes]
    assert kinds == ["list", "InvalidArgumentError", "list", "InvalidArgumentError"] * 5


def test_a_connection_in_place_of_the_model(connection):
    with pytest.raises(ConfigurationError, match=r"embedding is a Connection\..*connection=\.\.\."):
        TablestoreVectorStore(connection)
