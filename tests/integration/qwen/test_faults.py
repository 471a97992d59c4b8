"""What goes wrong on the way: what is repeated, how often, and what the caller is told when it stays wrong."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time

import pytest
from core.support import Face

from langchain_tablestore_memory import (
    AuthenticationError,
    ConfigurationError,
    DashScopeEmbeddings,
    EmbeddingError,
    PermissionDeniedError,
    RetryPolicy,
    ServiceError,
    TablestoreVectorStore,
    UnavailableError,
    connect,
)

from .standin import DROPPED, GIBBERISH, KEY, REFUSED_KEY, THROTTLED, Fault, vector

TEXTS = [f"text {number}" for number in range(50)]
EMBEDDED = [vector(text, 1024) for text in TEXTS]

PASSING = {
    "throttled": THROTTLED,
    "throttled within an answer": Fault(200, "Throttling.AllocationQuota", "Allocated quota exceeded."),
    "conflict": Fault(409, "Conflict", "Try again."),
    "internal error": Fault(500),
    "bad gateway": Fault(502, raw=b"<html>Bad Gateway</html>"),
    "unavailable": Fault(503, "ServiceUnavailable", "Too many requests."),
    "gateway timeout": Fault(504, raw=b""),
    "internal error with another status": Fault(400, "InternalError.Algo", "Something went wrong."),
    "dropped connection": DROPPED,
    "half of an answer": GIBBERISH,
    "empty answer": Fault(200, raw=b""),
    "no object": Fault(200, raw=b"[]"),
    "no embeddings in it": Fault(200, raw=b'{"output": {"embeddings": [{"embedding": "text"}]}}'),
    "wrong encoding": Fault(200, raw=b"\xff\xfe"),
    "wrong compression": Fault(200, raw=b"no gzip", headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_a_failed_batch_is_repeated_alone(fault, embeddings, service):
    service.fail(fault, when=lambda request: "text 25" in request.texts)
    assert await embeddings.embed_documents(TEXTS) == EMBEDDED
    asked = [request.texts[0] for request in service.taken()]
    assert sorted(asked) == ["text 0", "text 10", "text 20", "text 20", "text 30", "text 40"]


async def test_several_faults_in_a_row(embeddings, service):
    service.fail(THROTTLED, Fault(500), DROPPED)
    assert await embeddings.embed_query("tea") == vector("tea", 1024, "query")
    assert len(service.taken()) == 4


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            THROTTLED,
            "Throttling.RateQuota: Requests rate limit exceeded, please try again later [request failed-1]",
        ),
        (
            Fault(503, raw=b"<html>\n<body>Service\nUnavailable</body></html>"),
            "<html> <body>Service Unavailable</body></html>",
        ),
    ],
)
async def test_faults_that_stay(fault, message, embeddings, service):
    service.fail(*[fault] * 10)
    with pytest.raises(UnavailableError) as caught:
        await embeddings.embed_query("tea")
    advice = "Try again later, or with less at a time."
    assert str(caught.value) == f"DashScope kept failing (embeddings): {message}. {advice}"
    assert caught.value.status == fault.status
    assert len(service.taken()) == 4


async def test_a_page_in_place_of_an_answer_is_cut_short(embeddings, service):
    service.fail(*[Fault(503, raw=b"<p>" * 10_000)] * 4)
    with pytest.raises(UnavailableError) as caught:
        await embeddings.embed_query("tea")
    assert len(str(caught.value)) < 500


async def test_connections_that_are_always_dropped(embeddings, service):
    service.fail(*[DROPPED] * 10)
    with pytest.raises(UnavailableError, match=r"DashScope kept failing \(embeddings\): RemoteProtocolError: "):
        await embeddings.embed_query("tea")
    assert len(service.taken()) == 4


async def test_answers_of_something_else_are_not_asked_for_often(embeddings, service):
    service.fail(*[Fault(200, raw=b"<html>Welcome to our wireless network</html>")] * 10)
    with pytest.raises(ServiceError) as caught:
        await embeddings.embed_query("tea")
    assert str(caught.value) == (
        "The answer to a request for embeddings is none of DashScope's: it cannot be read (JSONDecodeError). Check base_url."
    )
    assert len(service.taken()) == 2


async def test_nobody_there(open_embeddings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        embeddings = open_embeddings(base_url=f"http://127.0.0.1:{taken.getsockname()[1]}/api/v1")
        with pytest.raises(
            UnavailableError, match=r"DashScope could not be reached .* Check base_url and the network\."
        ):
            await embeddings.embed_query("tea")


async def test_slow_answers(open_embeddings, service):
    service.delay = 0.3
    with pytest.raises(UnavailableError, match=r"DashScope kept failing \(embeddings\): ReadTimeout"):
        await open_embeddings(timeout=0.05, retry=RetryPolicy(attempts=2, first_delay=0)).embed_query("tea")
    assert len(service.taken()) == 2


# What DashScope asks for


async def test_it_waits_as_long_as_it_is_asked_to(embeddings, service):
    service.fail(Fault(429, "Throttling", "Slow down.", {"Retry-After": "0.3"}))
    await embeddings.embed_query("tea")
    first, second = service.taken()
    assert second.time - first.time >= 0.3


@pytest.mark.slow
async def test_it_waits_until_the_time_given(embeddings, service):
    when = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 2))
    service.fail(Fault(503, "ServiceUnavailable", "Slow down.", {"Retry-After": when}))
    began = time.time()
    await embeddings.embed_query("tea")
    assert time.time() - began >= 0.9  # it names whole seconds
    assert len(service.taken()) == 2


@pytest.mark.parametrize("value", ["soon", "", "-5", "Sat, 99 Nov 2026 99:00:00 GMT", "nan"])
async def test_what_cannot_be_a_time_is_passed_over(value, embeddings, service):
    service.fail(Fault(429, "Throttling", "Slow down.", {"Retry-After": value}))
    await embeddings.embed_query("tea")
    assert len(service.taken()) == 2


async def test_nobody_is_kept_waiting_for_an_hour(embeddings, service):
    service.fail(Fault(429, "Throttling", "Slow down.", {"Retry-After": "3600"}))
    with pytest.raises(UnavailableError, match=r"It asks to wait for 3600 s\."):
        await embeddings.embed_query("tea")
    assert len(service.taken()) == 1


# What is refused for good


async def test_a_refused_key(open_embeddings, service):
    with pytest.raises(AuthenticationError) as caught:
        await open_embeddings(api_key=REFUSED_KEY).embed_documents(TEXTS[:5])
    assert str(caught.value) == (
        "DashScope refused the key (embeddings): InvalidApiKey: Invalid API-key provided [request failed-1]. Check "
        "DASHSCOPE_API_KEY or api_key=, and that the key belongs to the region of base_url."
    )
    assert (caught.value.code, caught.value.status, caught.value.request_id) == ("InvalidApiKey", 401, "failed-1")
    assert len(service.taken()) == 1


async def test_a_model_that_does_not_exist(open_embeddings, service):
    with pytest.raises(ConfigurationError) as caught:
        await open_embeddings("text-embedding-v77").embed_query("tea")
    assert str(caught.value) == (
        "DashScope has no model 'text-embedding-v77' for embeddings: ModelNotFound: Model not exist [request failed-1]. "
        "Check model=, and that the region of base_url offers it."
    )
    assert len(service.taken()) == 1


async def test_a_model_for_something_else(open_embeddings, service):
    service.fail(Fault(400, "InvalidParameter", "url error, please check url!"))
    with pytest.raises(ConfigurationError, match="DashScope has no model 'multimodal-embedding-v1' for embeddings"):
        await open_embeddings("multimodal-embedding-v1").embed_query("tea")


@pytest.mark.parametrize("code", ["AccessDenied.Unpurchased", "Model.AccessDenied", "Arrearage"])
async def test_what_the_key_may_not_do(code, embeddings, service):
    service.fail(Fault(400 if code == "Arrearage" else 403, code, "Access denied."))
    with pytest.raises(PermissionDeniedError, match=r"the model is activated and the account is in credit\."):
        await embeddings.embed_query("tea")
    assert len(service.taken()) == 1


async def test_any_other_refusal(embeddings, service):
    service.fail(Fault(400, "DataInspectionFailed", "Input data may contain inappropriate content."))
    with pytest.raises(
        ServiceError, match=r"DashScope refused the request .*: DataInspectionFailed: Input data may"
    ) as caught:
        await embeddings.embed_query("tea")
    assert type(caught.value) is ServiceError
    assert len(service.taken()) == 1


async def test_once_a_batch_is_refused_no_other_is_begun(open_embeddings, service):
    service.delay = 0.02
    with pytest.raises(AuthenticationError):
        await open_embeddings(api_key=REFUSED_KEY, concurrency=2).embed_documents(TEXTS * 10)
    assert len(service.taken()) <= 4


async def test_a_vector_store_says_what_is_stored(open_embeddings, mode, service):
    service.fail(Fault(400, "DataInspectionFailed", "No."), when=lambda request: "text 25" in request.texts)
    embeddings = open_embeddings(dimension=64).target
    with connect("local::memory:") as connection:
        store = Face(TablestoreVectorStore(embeddings, connection=connection, embedding_batch_size=10), mode)
        with pytest.raises(EmbeddingError, match="DataInspectionFailed") as caught:
            await store.add_texts(TEXTS, ids=TEXTS)
    assert set(TEXTS[20:30]) <= set(caught.value.failed)
    assert isinstance(caught.value.__cause__, ServiceError)


# Given up


@pytest.fixture
def embeddings_of_two_lanes(service):
    embeddings = DashScopeEmbeddings(api_key=KEY, base_url=service.base_url, concurrency=2)
    service.delay = 0.05
    return embeddings


async def test_a_cancelled_call_begins_no_further_requests(embeddings_of_two_lanes, service):
    task = asyncio.create_task(embeddings_of_two_lanes.aembed_documents(TEXTS * 10))
    await asyncio.to_thread(service.arrival.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.2)
    assert 1 <= len(service.taken()) <= 4
    assert await embeddings_of_two_lanes.aembed_query("tea") == vector("tea", 1024, "query")


def test_an_interrupted_call_begins_no_further_requests(embeddings_of_two_lanes, service):
    def interrupt():
        # By then it has begun all that it begins at once, and waits.
        while len(service.received) < 6:
            time.sleep(0.005)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        embeddings_of_two_lanes.embed_documents(TEXTS * 10)
    thread.join()
    time.sleep(0.3)
    assert 6 <= len(service.taken()) <= 12
    assert embeddings_of_two_lanes.embed_query("tea") == vector("tea", 1024, "query")
