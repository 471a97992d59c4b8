"""DashScopeRerank: order, scores, limits, and what is refused."""

from __future__ import annotations

import warnings

import pytest
from core.support import Face
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from langchain_tablestore_memory import (
    AuthenticationError,
    ConfigurationError,
    DashScopeRerank,
    InvalidArgumentError,
    PermissionDeniedError,
    ServiceError,
    TablestoreVectorStore,
    UnavailableError,
    connect,
)

from .standin import DROPPED, GIBBERISH, KEY, REFUSED_KEY, THROTTLED, Fault, relevance

QUERY = "green tea from japan"
DOCUMENTS = [
    Document("coffee", id="d0"),
    Document("tea", id="d1", metadata={"year": 2020, "relevance_score": "theirs"}),
    Document("green tea from japan", id="d2", metadata={"nested": {"a": [1]}}),
    Document("green grass", id="d3"),
    Document("tea from china", id="d4"),
]


@pytest.fixture
def reranker(open_reranker):
    return open_reranker()


async def test_the_best_come_first_with_their_scores(reranker, service):
    found = await reranker.compress_documents(DOCUMENTS, QUERY)
    assert found == [
        Document("green tea from japan", id="d2", metadata={"nested": {"a": [1]}, "relevance_score": 1.0}),
        Document("tea from china", id="d4", metadata={"relevance_score": 0.5}),
        Document("tea", id="d1", metadata={"year": 2020, "relevance_score": 0.25}),
    ]
    (request,) = service.taken()
    assert request.key == KEY
    assert request.body == {
        "model": "qwen3-rerank",
        "input": {"query": QUERY, "documents": [document.page_content for document in DOCUMENTS]},
        "parameters": {"top_n": 5, "return_documents": False},
    }


async def test_the_documents_given_stay_as_they_are(reranker):
    before = [document.model_copy(deep=True) for document in DOCUMENTS]
    await reranker.compress_documents(DOCUMENTS, QUERY)
    assert before == DOCUMENTS


@pytest.mark.parametrize(("top_n", "ids"), [(1, "2"), (4, "2413"), (99, "24130"), (None, "24130")])
async def test_how_many_are_kept(top_n, ids, open_reranker):
    found = await open_reranker(top_n=top_n).compress_documents(DOCUMENTS, QUERY)
    assert "".join(document.id[1] for document in found) == ids


async def test_equally_relevant_ones_stay_in_order(reranker):
    documents = [Document("tea", id=str(number)) for number in range(10)]
    assert [document.id for document in await reranker.compress_documents(documents, "tea")] == ["0", "1", "2"]


async def test_no_documents_need_no_request(reranker, service):
    assert await reranker.compress_documents([], QUERY) == []
    assert service.taken() == []


async def test_documents_without_text_are_irrelevant(open_reranker, service):
    documents = [Document("", id="empty"), Document("tea", id="tea"), Document(" \n", id="blank")]
    found = await open_reranker(top_n=None).compress_documents(documents, "tea")
    assert [(document.id, document.metadata["relevance_score"]) for document in found] == [
        ("tea", 1.0),
        ("empty", 0.0),
        ("blank", 0.0),
    ]
    (request,) = service.taken()
    assert request.body["input"]["documents"] == ["tea"]


async def test_only_documents_without_text(reranker, service):
    assert [document.id for document in await reranker.compress_documents([Document("", id="a")], "tea")] == ["a"]
    assert service.taken() == []


async def test_an_instruction(open_reranker, service):
    await open_reranker(instruct="Find drinks.").compress_documents(DOCUMENTS, QUERY)
    assert service.taken()[0].parameters["instruct"] == "Find drinks."


@pytest.mark.parametrize(
    ("model", "batches"), [("qwen3-rerank", [203, 500, 500]), ("qwen3-vl-rerank", [3, *[100] * 12])]
)
async def test_more_documents_than_a_model_takes(model, batches, open_reranker, service):
    documents = [Document("tea " * (number % 3) + str(number), id=str(number)) for number in range(1203)]
    found = await open_reranker(model, top_n=None).compress_documents(documents, "tea 1202")
    assert sorted(len(request.body["input"]["documents"]) for request in service.taken()) == batches
    expected = sorted(documents, key=lambda document: -relevance("tea 1202", document.page_content))
    assert [document.id for document in found] == [document.id for document in expected]
    assert found[0].id == "1202"


async def test_longer_documents_than_a_model_takes(open_reranker, service):
    # 40 documents of 4,000 tokens each, and the query with each of them, in requests of 30,000 tokens.
    documents = [Document("word " * 4_000, id=str(number)) for number in range(40)]
    await open_reranker("gte-rerank-v2").compress_documents(documents, "tea")
    assert sorted(len(request.body["input"]["documents"]) for request in service.taken()) == [5, 7, 7, 7, 7, 7]


async def test_in_a_chain_after_a_retriever(open_reranker, mode):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_classic.retrievers import ContextualCompressionRetriever

    with connect("local::memory:") as connection:
        store = TablestoreVectorStore(DeterministicFakeEmbedding(size=8), connection=connection)
        store.add_documents(DOCUMENTS)
        retriever = ContextualCompressionRetriever(
            base_compressor=open_reranker(top_n=2).target, base_retriever=store.as_retriever(search_kwargs={"k": 5})
        )
        found = retriever.invoke(QUERY) if mode == "sync" else await retriever.ainvoke(QUERY)
    assert [document.id for document in found] == ["d2", "d4"]


# What goes wrong


@pytest.mark.parametrize("fault", [THROTTLED, Fault(500), Fault(503, raw=b""), DROPPED, GIBBERISH])
async def test_passing_faults(fault, reranker, service):
    service.fail(fault)
    assert len(await reranker.compress_documents(DOCUMENTS, QUERY)) == 3
    assert len(service.taken()) == 2


@pytest.mark.parametrize(
    ("fault", "error", "complaint"),
    [
        ([THROTTLED] * 4, UnavailableError, r"DashScope kept failing \(rerank\): Throttling.RateQuota"),
        ([Fault(403, "AccessDenied", "Access denied.")], PermissionDeniedError, "may not do this"),
        ([Fault(400, "InvalidParameter", "Too many.")], ServiceError, r"refused the request \(rerank\): InvalidParam"),
    ],
)
async def test_faults_that_stay(fault, error, complaint, reranker, service):
    service.fail(*fault)
    with pytest.raises(error, match=complaint):
        await reranker.compress_documents(DOCUMENTS, QUERY)
    assert len(service.taken()) == len(fault)


async def test_a_refused_key(open_reranker):
    with pytest.raises(AuthenticationError, match="Check DASHSCOPE_API_KEY or api_key="):
        await open_reranker(api_key=REFUSED_KEY).compress_documents(DOCUMENTS, QUERY)


async def test_a_model_that_does_not_exist(open_reranker):
    with pytest.raises(ConfigurationError, match="DashScope has no model 'qwen99-rerank' for rerank"):
        await open_reranker("qwen99-rerank").compress_documents(DOCUMENTS, QUERY)


@pytest.mark.parametrize(
    "results", [[], [{"index": 0, "relevance_score": 1}] * 5, [{"index": 9, "relevance_score": 1}]]
)
async def test_wrong_scores(results, reranker, service):
    service.edit = lambda _: {"output": {"results": results}, "request_id": "r"}
    with pytest.raises(ServiceError, match=rf"returned {len(results)} scores for 5 documents, or not one for each"):
        await reranker.compress_documents(DOCUMENTS, QUERY)


@pytest.mark.parametrize(
    ("documents", "query", "complaint"),
    [
        (DOCUMENTS, "", "query is empty"),
        (DOCUMENTS, " ", "query is empty"),
        (DOCUMENTS, None, r"query is a NoneType\. Give a str\."),
        ("tea", QUERY, r"documents is a str\. Give a list of documents\."),
        (None, QUERY, "documents is a NoneType"),
        ([Document("a"), Document("b\ud800")], QUERY, "Document 1 holds a lone surrogate"),
        ([Document("tea")], "tea\ud800", "query holds a lone surrogate"),
        (["tea"], QUERY, r"A str was given for a document\. Give Document\(page_content=\.\.\.\)\."),
    ],
)
async def test_bad_input(documents, query, complaint, reranker, service):
    with pytest.raises(InvalidArgumentError, match=complaint):
        await reranker.compress_documents(documents, query)
    assert service.taken() == []


@pytest.mark.parametrize(
    ("arguments", "options", "complaint"),
    [
        (["gte-rerank"], {}, r"The model 'gte-rerank' was discontinued on 2026-05-30\. Use 'qwen3-rerank'\."),
        ([""], {}, "model is ''. Give the name of a model, such as 'qwen3-rerank'"),
        ([], {"top_n": 0}, "top_n is 0"),
        ([], {"top_n": "3"}, r"top_n is a str\. Give an int\."),
        ([], {"instruct": " "}, "instruct is no text"),
        ([], {"timeout": -1}, "timeout is -1"),
    ],
)
def test_settings_that_cannot_be(arguments, options, complaint):
    with pytest.raises((ConfigurationError, InvalidArgumentError), match=complaint) as caught:
        DashScopeRerank(*arguments, **{"api_key": KEY} | options)
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_it_is_a_compressor_of_langchain():
    reranker = DashScopeRerank(api_key=KEY, top_n=7)
    assert isinstance(reranker, BaseDocumentCompressor)
    assert repr(reranker) == "DashScopeRerank(model='qwen3-rerank', top_n=7, instruct=None)"
    assert reranker.model_dump() == {"model": "qwen3-rerank", "top_n": 7, "instruct": None}


async def test_with_another_number(open_reranker, mode):
    copy = open_reranker(top_n=3).target.model_copy(update={"top_n": 1})
    assert len(await Face(copy, mode).compress_documents(DOCUMENTS, QUERY)) == 1
