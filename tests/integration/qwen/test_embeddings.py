"""DashScopeEmbeddings: what is sent, what comes back, and what is refused before anything is sent."""

from __future__ import annotations

import pytest
from blockbuster import blockbuster_ctx
from core.support import Face

from langchain_tablestore_memory import (
    ConfigurationError,
    DashScopeEmbeddings,
    EmbeddingError,
    InvalidArgumentError,
    QwenTokenCounter,
    TablestoreVectorStore,
    connect,
)

from .standin import KEY, Fault, vector

TEXTS = [f"text {number}" for number in range(53)]


async def test_texts_go_out_in_batches_and_come_back_in_order(embeddings, service):
    assert await embeddings.embed_documents(TEXTS) == [vector(text, 1024) for text in TEXTS]
    requests = service.taken()
    assert sorted(len(request.texts) for request in requests) == [3, 10, 10, 10, 10, 10]
    assert sorted(text for request in requests for text in request.texts) == sorted(TEXTS)
    assert {request.key for request in requests} == {KEY}


@pytest.mark.parametrize(
    ("model", "batches"),
    [
        ("text-embedding-v1", [25, 25, 3]),
        ("text-embedding-v2", [25, 25, 3]),
        ("text-embedding-v3", [10, 10, 10, 10, 10, 3]),
        ("text-embedding-v4", [10, 10, 10, 10, 10, 3]),
        ("qwen3.7-text-embedding", [20, 20, 13]),
        ("qwen3.7-text-embedding-flash", [20, 20, 13]),
        ("text-embedding-v9", [10, 10, 10, 10, 10, 3]),
    ],
)
async def test_each_model_has_its_own_batches(model, batches, open_embeddings, service):
    await open_embeddings(model).embed_documents(TEXTS)
    assert sorted((len(request.texts) for request in service.taken()), reverse=True) == batches


async def test_the_size_of_batches_can_be_set(open_embeddings, service):
    await open_embeddings(batch_size=4).embed_documents(TEXTS[:9])
    assert sorted(len(request.texts) for request in service.taken()) == [1, 4, 4]


async def test_several_batches_are_in_flight(open_embeddings, service):
    service.gathering = 3
    await open_embeddings(concurrency=3).embed_documents(TEXTS)
    assert service.most_in_flight == 3


async def test_answers_that_come_in_any_order_are_put_in_order(embeddings, service):
    def shuffle(answer):
        answer["output"]["embeddings"].reverse()
        return answer

    service.edit = shuffle
    assert await embeddings.embed_documents(TEXTS) == [vector(text, 1024) for text in TEXTS]


async def test_no_texts_need_no_request(embeddings, service):
    assert await embeddings.embed_documents([]) == []
    assert service.taken() == []


async def test_the_same_text_twice_is_embedded_twice(embeddings):
    first, second, third = await embeddings.embed_documents(["a", "b", "a"])
    assert first == third != second


async def test_text_of_all_kinds_is_sent_as_it_is(embeddings, service):
    texts = ["你好，世界", "a\nb\u2028c", " ", "🍵" * 20, '{"json": "\\"}', "\u0000"]
    await embeddings.embed_documents(texts)
    (request,) = service.taken()
    assert request.texts == texts


async def test_documents_and_queries_are_told_apart(embeddings, service):
    assert await embeddings.embed_documents(["tea"]) == [vector("tea", 1024, "document")]
    assert await embeddings.embed_query("tea") == vector("tea", 1024, "query")
    assert [request.parameters["text_type"] for request in service.taken()] == ["document", "query"]


async def test_an_instruction_goes_with_queries_only(open_embeddings, service):
    embeddings = open_embeddings(instruct="Find recipes.")
    await embeddings.embed_documents(["tea"])
    assert await embeddings.embed_query("tea") == vector("tea", 1024, "query", "Find recipes.")
    document, query = service.taken()
    assert "instruct" not in document.parameters
    assert query.parameters["instruct"] == "Find recipes."


@pytest.mark.parametrize(
    ("model", "dimension"),
    [
        ("text-embedding-v1", 1536),
        ("text-embedding-v3", 64),
        ("text-embedding-v3", 1024),
        ("text-embedding-v4", 64),
        ("text-embedding-v4", 2048),
        ("qwen3.7-text-embedding", 2560),
        ("qwen3.7-text-embedding-flash", 256),
        ("text-embedding-v9", 32),
    ],
)
async def test_dimensions(model, dimension, open_embeddings):
    embeddings = open_embeddings(model, dimension=dimension)
    assert embeddings.target.dimension == dimension
    assert len(await embeddings.embed_query("tea")) == dimension


@pytest.mark.parametrize(
    ("model", "dimension", "known"),
    [
        ("text-embedding-v1", 1536, 1536),
        ("text-embedding-v2", 1536, 1536),
        ("text-embedding-v3", 1024, 1024),
        ("text-embedding-v4", 1024, 1024),
        ("qwen3.7-text-embedding", 1024, 1024),
        ("qwen3.7-text-embedding-flash", 1024, 1024),
        ("text-embedding-v9", 96, None),
    ],
)
async def test_usual_dimensions(model, dimension, known, open_embeddings):
    embeddings = open_embeddings(model)
    assert embeddings.target.dimension == known
    assert len(await embeddings.embed_query("tea")) == dimension


async def test_in_a_vector_store(open_embeddings, mode, service):
    embeddings = open_embeddings(dimension=64).target
    with connect("local::memory:") as connection:
        store = Face(TablestoreVectorStore(embeddings, connection=connection), mode)
        await store.add_texts(TEXTS)
        (found,) = await store.similarity_search_by_vector(vector("text 7", 64), k=1)
    assert found.page_content == "text 7"
    assert len(service.taken()) == 6


# What the answers hold is looked at


async def test_too_few_vectors(embeddings, service):
    service.edit = lambda answer: answer | {"output": {"embeddings": answer["output"]["embeddings"][1:]}}
    with pytest.raises(EmbeddingError, match=r"'text-embedding-v4' returned 2 embeddings for 3 texts\. Check model"):
        await embeddings.embed_documents(TEXTS[:3])
    assert len(service.taken()) == 1


async def test_no_vectors(embeddings, service):
    service.edit = lambda _: {"output": None, "request_id": "r"}
    with pytest.raises(EmbeddingError, match="returned 0 embeddings for 1 texts"):
        await embeddings.embed_query("tea")


async def test_vectors_without_numbers_of_their_own(embeddings, service):
    def strip(answer):
        for item in answer["output"]["embeddings"]:
            del item["text_index"]
        return answer

    service.edit = strip
    with pytest.raises(EmbeddingError, match="not numbered as the texts are"):
        await embeddings.embed_documents(TEXTS[:3])


async def test_vectors_of_other_dimensions(embeddings, service):
    def shorten(answer):
        answer["output"]["embeddings"][1]["embedding"].pop()
        return answer

    service.edit = shorten
    with pytest.raises(EmbeddingError, match="an embedding of 1023 dimensions where 1024 were expected"):
        await embeddings.embed_documents(TEXTS[:3])


async def test_vectors_of_different_dimensions_where_none_are_expected(open_embeddings, service):
    def shorten(answer):
        if len(answer["output"]["embeddings"]) == 2:
            answer["output"]["embeddings"][0]["embedding"].pop()
        return answer

    service.edit = shorten
    with pytest.raises(EmbeddingError, match="embeddings of 95 and 96 dimensions in one call"):
        await open_embeddings("text-embedding-v9").embed_documents(TEXTS[:12])


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_vectors_that_hold_no_numbers(number, embeddings, service):
    def spoil(answer):
        answer["output"]["embeddings"][0]["embedding"][5] = number
        return answer

    service.edit = spoil
    with pytest.raises(EmbeddingError, match="holds no numbers"):
        await embeddings.embed_query("tea")


async def test_an_empty_vector(open_embeddings, service):
    def empty(answer):
        answer["output"]["embeddings"][0]["embedding"] = []
        return answer

    service.edit = empty
    with pytest.raises(EmbeddingError, match="holds no numbers"):
        await open_embeddings("text-embedding-v9").embed_query("tea")


# Bad input


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        ("tea", r"texts is a str\. Give a list of str\."),
        (None, "texts is a NoneType"),
        ([1], r"Text 0 is a int\. Give a str\."),
        (["a", None], "Text 1 is a NoneType"),
        (["a", "b", ""], "Text 2 is empty"),
        (["a", "b\ud800"], "Text 1 holds a lone surrogate"),
    ],
)
async def test_texts_that_are_none(texts, complaint, embeddings, service):
    with pytest.raises(InvalidArgumentError, match=complaint):
        await embeddings.embed_documents(texts)
    assert service.taken() == []


async def test_a_query_that_is_none(embeddings, service):
    with pytest.raises(InvalidArgumentError, match="Text 0 is empty"):
        await embeddings.embed_query("")
    assert service.taken() == []


@pytest.mark.parametrize(
    ("model", "limit", "many"),
    [
        ("text-embedding-v2", 2048, "private words " * 2000),
        ("text-embedding-v4", 8192, "private words " * 5000),
        ("text-embedding-v4", 8192, "1" * 8193),
        ("qwen3.7-text-embedding", 128_000, "1" * 128_001),
    ],
)
async def test_a_text_of_too_many_tokens_is_named(model, limit, many, open_embeddings, service):
    """DashScope would cut off the rest, and say nothing."""
    with pytest.raises(InvalidArgumentError) as caught:
        await open_embeddings(model).embed_documents([*TEXTS[:14], many, *TEXTS[14:18]])
    assert str(caught.value) == (
        f"Text 14 has {QwenTokenCounter().count_text(many)} tokens; the model '{model}' takes {limit}. Split it, for "
        "instance with RecursiveCharacterTextSplitter of langchain-text-splitters."
    )
    assert service.taken() == []


async def test_a_text_of_as_many_tokens_as_there_may_be(embeddings, service):
    texts = ["1" * 8192, "private words " * 4000]  # 8,192 and 8,001 tokens
    assert await embeddings.embed_documents(texts) == [vector(text, 1024) for text in texts]


@pytest.mark.parametrize("model", ["text-embedding-v9", "text-embedding-v4"])
async def test_a_text_that_dashscope_finds_too_long(model, open_embeddings, service):
    service.fail(
        Fault(400, "InvalidParameter", "Range of input length should be [1, 8192]"),
        when=lambda request: "long " * 1000 in request.texts,
    )
    with pytest.raises(InvalidArgumentError, match="A text has too many tokens, probably text 14; the model"):
        await open_embeddings(model).embed_documents([*TEXTS[:14], "long " * 1000, *TEXTS[14:18]])
    assert len(service.taken()) == 2


async def test_counting_does_not_block_the_loop(service):
    embeddings = DashScopeEmbeddings(api_key=KEY, base_url=service.base_url)
    with blockbuster_ctx():
        await embeddings.aembed_documents(["private words " * 4000])


@pytest.mark.parametrize(
    ("arguments", "options", "complaint"),
    [
        ([""], {}, r"model is ''\. Give the name of a model, such as 'text-embedding-v4'\."),
        ([None], {}, "model is None"),
        (
            [],
            {"dimension": 1000},
            "'text-embedding-v4' has no embeddings of 1000 dimensions. Give one of 64, 128, 256,",
        ),
        (["text-embedding-v3"], {"dimension": 2048}, "Give one of 64, 128, 256, 512, 768, 1024"),
        (["text-embedding-v1"], {"dimension": 1024}, r"Give one of 1536\."),
        ([], {"dimension": "1024"}, "dimension is '1024'. Give an int"),
        ([], {"dimension": 0}, "dimension is 0"),
        ([], {"dimension": True}, "dimension is True"),
        ([], {"instruct": ""}, "instruct is no text"),
        (["text-embedding-v3"], {"instruct": "Find."}, "'text-embedding-v3' takes no instruct. Leave it out, or take"),
        ([], {"instruct": 5}, "instruct is no text"),
        ([], {"batch_size": 11}, r"batch_size of 'text-embedding-v4' is 11\. Give 1 to 10\."),
        ([], {"batch_size": 0}, "batch_size of 'text-embedding-v4' is 0"),
        ([], {"concurrency": 0}, "concurrency is 0"),
        ([], {"concurrency": 9}, r"concurrency is 9\. Give 1 to 8\."),
        ([], {"timeout": 0}, r"timeout is 0\. Give seconds, more than 0\."),
        ([], {"timeout": None}, "timeout is None"),
        ([], {"timeout": float("nan")}, "timeout is nan"),
        ([], {"retry": 3}, r"retry is a int\. Give a RetryPolicy\."),
        ([], {"base_url": "dashscope.aliyuncs.com"}, "base_url is no address of DashScope"),
        ([], {"base_url": "https://"}, "base_url is no address of DashScope"),
        ([], {"base_url": "https://host:port"}, "base_url is no address of DashScope"),
        ([], {"base_url": 5}, "base_url is a int"),
        ([], {"workspace": 5}, "workspace is a int"),
    ],
)
def test_settings_that_cannot_be(arguments, options, complaint):
    with pytest.raises((ConfigurationError, InvalidArgumentError), match=complaint) as caught:
        DashScopeEmbeddings(*arguments, **{"api_key": KEY} | options)
    assert "\n" not in str(caught.value)


async def test_a_region_that_does_not_exist(open_embeddings):
    with pytest.raises(ConfigurationError, match="refused its settings: invalid region 'mars', expected one of"):
        await open_embeddings(base_url=None, region="mars").embed_query("tea")
