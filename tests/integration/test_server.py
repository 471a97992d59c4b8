"""The embedded Tablestore over HTTP, asked by the SDK and by clients that do as they like."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime

import pytest
import tablestore
import urllib3
from blockbuster import BlockingError, blockbuster_ctx
from tablestore.credentials import StaticCredentialsProvider
from tablestore.protobuf import table_store_pb2
from tablestore.retry import NoRetryPolicy

from langchain_tablestore_memory.local import Server, Tablestore, async_ots_client, ots_client, storage
from langchain_tablestore_memory.local import server as server_module
from langchain_tablestore_memory.local.engine import Engine


@pytest.fixture
def service():
    with Tablestore(None) as service:
        yield service


@pytest.fixture
def server(service):
    with Server(service, port=0) as server:
        yield server


def client(url, *, instance="local", key="local", secret="local", **options):
    return tablestore.OTSClient(url, key, secret, instance, retry_policy=NoRetryPolicy(), **options)


def make_table(client, name="notes"):
    client.create_table(
        tablestore.TableMeta(name, [("id", "STRING")]),
        tablestore.TableOptions(-1, 1),
        tablestore.ReservedThroughput(tablestore.CapacityUnit(0, 0)),
    )


def put(client, key, table="notes"):
    client.put_row(table, tablestore.Row([("id", key)], [("text", f"text of {key}")]))


def get(client, key, table="notes"):
    _, row, _ = client.get_row(table, [("id", key)])
    return None if row is None else row.attribute_columns[0][1]


def post(server, path="/ListTable", *, method="POST", body=b"", headers=None):
    response = urllib3.request(method, server.url + path, body=body, headers=headers, retries=False)
    error = table_store_pb2.Error.FromString(response.data)
    return response, error


@pytest.mark.parametrize("region", [None, "cn-hangzhou"], ids=["v2", "v4"])
def test_the_sdk_reads_what_it_wrote(server, region):
    sdk = client(server.url, region=region)
    make_table(sdk)
    put(sdk, "a")
    assert get(sdk, "a") == "text of a"


async def test_the_async_sdk_reads_what_it_wrote(server):
    make_table(client(server.url))
    async with tablestore.AsyncOTSClient(server.url, "local", "local", "local") as sdk:
        await sdk.put_row("notes", tablestore.Row([("id", "a")], [("text", "x")]))
        _, row, _ = await sdk.get_row("notes", [("id", "a")])
    assert row.attribute_columns[0][1] == "x"


def test_http_and_in_process_clients_share_the_data(service, server):
    make_table(ots_client(service))
    put(ots_client(service), "a")
    assert get(client(server.url), "a") == "text of a"


def test_every_instance_is_a_space_of_its_own(server):
    make_table(client(server.url, instance="one"))
    assert list(client(server.url, instance="one").list_table()) == ["notes"]
    assert list(client(server.url, instance="two").list_table()) == []


@pytest.mark.parametrize("path", ["/", "/some/path", "//"])
def test_an_endpoint_may_have_a_path(server, path):
    assert list(client(server.url + path).list_table()) == []


def test_many_threads_at_once(server):
    sdk = client(server.url)
    make_table(sdk)
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: put(sdk, str(number)), range(200)))
        texts = list(threads.map(lambda number: get(sdk, str(number)), range(200)))
    assert texts == [f"text of {number}" for number in range(200)]


def test_a_wrong_secret_is_refused(server):
    with pytest.raises(tablestore.OTSServiceError) as caught:
        client(server.url, secret="wrong").list_table()
    assert (caught.value.code, caught.value.http_status) == ("OTSAuthFailed", 403)
    assert caught.value.message == "Signature mismatch."


def test_an_unknown_access_key_is_refused(server):
    with pytest.raises(tablestore.OTSServiceError, match="The AccessKeyID does not exist"):
        client(server.url, key="other").list_table()


@pytest.mark.parametrize("instance", ["ab", "a" * 17, "1abc", "abc-", "a_bc", "../etc", "a/b", "a.b", "abc\x00"])
def test_a_name_that_no_instance_has_is_refused(tmp_path, instance):
    with Tablestore(tmp_path / "data") as service:
        with pytest.raises(tablestore.OTSServiceError) as caught:
            ots_client(service, instance, retry_policy=NoRetryPolicy()).list_table()
        assert (caught.value.http_status, caught.value.code) == (400, "OTSParameterInvalid")
        assert caught.value.message == f"Invalid instance name: {instance}."
    assert list((tmp_path / "data").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("instance", "file"),
    [("abc", "abc"), ("A-1", "_a-1"), ("a" * 16, "a" * 16), ("local", "local"), ("Local", "_local"), ("aBC", "a_b_c")],
)
def test_an_instance_is_made_when_it_is_first_used(tmp_path, instance, file):
    with Tablestore(tmp_path / "data") as service:
        assert list((tmp_path / "data").iterdir()) == []
        make_table(ots_client(service, instance))
    assert (tmp_path / "data" / f"{file}.sqlite3").is_file()
    with Tablestore(tmp_path / "data") as service:
        assert list(ots_client(service, instance).list_table()) == ["notes"]


def test_what_is_kept_in_memory_ends_with_the_service():
    with Tablestore(None) as service:
        make_table(ots_client(service))
    with Tablestore(None) as service:
        assert list(ots_client(service).list_table()) == []


def test_a_closed_service_refuses(service):
    sdk = ots_client(service)
    sdk.list_table()
    service.close()
    service.close()
    with pytest.raises(tablestore.OTSServiceError, match="The instance is not running"):
        sdk.list_table()


def test_a_service_that_is_closed_meanwhile_refuses(service, caplog, monkeypatch):
    def close_and_execute(self, api, body):
        service.close()
        return execute(self, api, body)

    execute = Engine.execute
    monkeypatch.setattr(Engine, "execute", close_and_execute)
    with pytest.raises(tablestore.OTSServiceError, match="The instance is not running"):
        ots_client(service).list_table()
    assert caplog.records == []


def test_a_call_that_is_not_served_is_named(server):
    with pytest.raises(tablestore.OTSServiceError) as caught:
        client(server.url).exe_sql_query("select 1")
    assert (caught.value.http_status, caught.value.code) == (400, "OTSParameterInvalid")
    assert caught.value.message == "Unsupported operation: SQLQuery."


def test_a_json_call_is_refused_in_json(server):
    with pytest.raises(tablestore.OTSServiceError) as caught:
        client(server.url).list_memory_stores({})
    assert (caught.value.http_status, caught.value.code) == (400, "OTSParameterInvalid")
    assert caught.value.message == "Unsupported operation: ListMemoryStores."


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_refused(server, method):
    response, error = post(server, method=method)
    assert (response.status, error.code) == (405, "OTSMethodNotAllowed")
    assert error.message == "Only POST method for requests is supported."


def test_a_request_without_headers_is_told_the_first_it_lacks(server):
    response, error = post(server)
    assert (response.status, error.code) == (400, "OTSParameterInvalid")
    assert error.message == "Missing header: x-ots-date."
    assert "authorization" not in response.headers


@pytest.mark.parametrize("path", ["/", "/?", "/%2e%2e/ListTable", "/ListTable?a=b", "/%ff", "/\u540d"])
def test_any_path_gets_an_answer(server, path):
    response, error = post(server, path=path)
    assert (response.status, error.message) == (400, "Missing header: x-ots-date.")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused(server, chunked):
    size = 5 * 1024 * 1024 + 1
    body = (b"x" * 65536 for _ in range(size // 65536 + 1)) if chunked else b"x" * size
    response, error = post(server, body=body)
    assert (response.status, error.code) == (413, "OTSRequestBodyTooLarge")
    assert error.message == "The size of POST data is too large."
    assert list(client(server.url).list_table()) == []


def test_a_body_at_the_limit_is_read(server):
    response, error = post(server, body=b"x" * (5 * 1024 * 1024))
    assert (response.status, error.message) == (400, "Missing header: x-ots-date.")


def test_what_is_no_http_is_survived(server):
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"\x16\x03\x01\x00\xff\r\n\r\n")
        assert b"400" in raw.recv(1024)
    assert list(client(server.url).list_table()) == []


def test_a_caller_that_hangs_up_is_survived(server):
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"POST /PutRow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert list(client(server.url).list_table()) == []


def test_a_refusal_carries_what_the_sdk_checks(server):
    """The SDK verifies date, MD5 and, outside of a failed authentication, the signature of a refusal."""
    with pytest.raises(tablestore.OTSServiceError) as caught:
        client(server.url).describe_table("nowhere")
    assert caught.value.code == "OTSObjectNotExist"
    assert len(caught.value.request_id) == 36


def test_request_ids_differ(service):
    ids = {service.handle("/ListTable", {}, b"").headers["x-ots-requestid"] for _ in range(1000)}
    assert len(ids) == 1000


def test_latency_is_added(service):
    with Server(service, port=0, latency=0.2) as server:
        begin = time.perf_counter()
        client(server.url).list_table()
        assert time.perf_counter() - begin >= 0.2


def test_latency_does_not_hold_up_others(service):
    with Server(service, port=0, latency=0.3) as server, ThreadPoolExecutor(8) as threads:
        begin = time.perf_counter()
        sdk = client(server.url)
        list(threads.map(lambda _: sdk.list_table(), range(8)))
        assert time.perf_counter() - begin < 8 * 0.3


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_an_address_that_others_reach_needs_a_chosen_key(service, host):
    with pytest.raises(ValueError, match="Choose an access key"):
        Server(service, host=host)


def test_an_address_that_others_reach_is_fine_with_a_chosen_key():
    with (
        Tablestore(None, access_key_id="id", access_key_secret="chosen") as service,
        Server(service, host="0.0.0.0", port=0) as server,
    ):
        url = f"http://127.0.0.1:{server.port}"
        assert list(client(url, key="id", secret="chosen").list_table()) == []


@pytest.mark.parametrize(("option", "value"), [("port", -1), ("port", 65536), ("latency", -0.1)])
def test_numbers_out_of_range_are_refused(service, option, value):
    with pytest.raises(ValueError, match=option):
        Server(service, **{option: value})


def test_a_port_in_use_is_an_error(service, server):
    with pytest.raises(OSError, match="in use"), Server(service, port=server.port):
        pass


async def test_it_runs_on_the_loop_that_starts_it(service):
    async with Server(service, port=0) as server:
        async with tablestore.AsyncOTSClient(server.url, "local", "local", "local") as sdk:
            assert list(await sdk.list_table()) == []
        url = server.url
    with pytest.raises(urllib3.exceptions.HTTPError):
        await asyncio.to_thread(urllib3.request, "POST", url + "/ListTable", retries=False)


def test_it_starts_again(service):
    server = Server(service, port=0)
    with server:
        first = list(client(server.url).list_table())
    with server:
        assert list(client(server.url).list_table()) == first == []


def test_stopping_does_not_wait_for_idle_connections(service):
    sdk = None
    with Server(service, port=0) as server:
        sdk = client(server.url)
        sdk.list_table()
        begin = time.perf_counter()
    assert time.perf_counter() - begin < 2


def lasting_port():
    """A free port that the system does not give to a client's connection while the server is down."""
    for port in random.sample(range(20_000, 30_000), 100):
        with suppress(OSError), closing(socket.create_server(("127.0.0.1", port))):
            return port
    raise AssertionError("no port is free")


@pytest.mark.slow
# A connection that asyncio accepts in the round of its loop in which the server closes is left to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_restarts_on_its_port_under_load_and_keeps_what_it_acknowledged(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "_SHUTDOWN_SECONDS", 0.3)
    done, acknowledged, port = threading.Event(), set(), lasting_port()

    def write(writer):
        sdk = client(f"http://127.0.0.1:{port}")
        for number in itertools.takewhile(lambda _: not done.is_set(), itertools.count()):
            try:
                put(sdk, f"{writer}-{number}")
                acknowledged.add(f"{writer}-{number}")
            # Whatever comes instead of an answer while the server is down.
            except Exception:
                time.sleep(0.01)

    with ThreadPoolExecutor(6) as threads, ExitStack() as connections:
        for run in range(4):
            with Tablestore(tmp_path) as service, Server(service, port=port) as server:
                if run == 0:
                    make_table(client(server.url))
                    writers = [threads.submit(write, number) for number in range(6)]
                for sent in (b"", b"POST /Put", b"POST /PutRow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"):
                    for _ in range(20):
                        connections.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(sent)
                time.sleep(0.3)
                before = len(acknowledged)
            assert before
        done.set()
    for writer in writers:
        writer.result()
    with Tablestore(tmp_path) as service:
        sdk = ots_client(service)
        assert {key for key in acknowledged if get(sdk, key) != f"text of {key}"} == set()
    gc.collect()


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_an_error(tmp_path, folder):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        Tablestore(tmp_path / folder)


def test_an_unknown_durability_is_an_error():
    with pytest.raises(ValueError, match="durability"):
        Tablestore(None, durability="some")


def test_no_secret_in_a_repr():
    assert "hidden" not in repr(Tablestore(None, access_key_secret="hidden"))


# In the same process


def test_an_async_client_serves_one_loop_after_another(service):
    sdk = async_ots_client(service)
    make_table(ots_client(service))

    async def write_and_read(key):
        await sdk.put_row("notes", tablestore.Row([("id", key)], [("text", key)]))
        _, row, _ = await sdk.get_row("notes", [("id", key)])
        await sdk.close()
        return row.attribute_columns[0][1]

    assert [asyncio.run(write_and_read(key)) for key in "abc"] == ["a", "b", "c"]


async def test_an_async_client_does_not_block_the_loop(tmp_path):
    with Tablestore(tmp_path) as service, blockbuster_ctx():
        with pytest.raises(BlockingError):
            time.sleep(0.001)  # noqa: ASYNC251 - what is to be caught
        async with async_ots_client(service) as sdk:
            assert list(await sdk.list_table()) == []
            results = await asyncio.gather(*(sdk.list_table() for _ in range(50)))
    assert results == [()] * 50


@pytest.mark.parametrize("make", [ots_client, async_ots_client])
def test_in_process_clients_sign_with_the_key_of_the_service(make):
    with Tablestore(None, access_key_id="id", access_key_secret="chosen") as service:
        assert call(make(service)) == []
        assert call(make(service, region="cn-hangzhou")) == []
        provider = StaticCredentialsProvider("id", "chosen")
        assert call(make(service, credentials_provider=provider)) == []
        with pytest.raises(tablestore.OTSServiceError, match="Signature mismatch"):
            call(make(service, access_key_secret="wrong"))
        with pytest.raises(tablestore.OTSServiceError, match="The AccessKeyID does not exist"):
            call(make(service, access_key_id="other"))


def call(sdk):
    result = sdk.list_table()
    return list(asyncio.run(result) if asyncio.iscoroutine(result) else result)


def test_an_sdk_failure_is_raised_and_not_logged(service, caplog):
    with pytest.raises(tablestore.OTSServiceError):
        ots_client(service).describe_table("nowhere")
    assert caplog.records == []


def test_headers_may_come_in_any_case(service):
    class Shouting:
        def send_receive(self, url, headers, body):
            return service.handle(url, {name.upper(): value for name, value in headers.items()}, body)

    sdk = ots_client(service)
    sdk.connection = Shouting()
    assert list(sdk.list_table()) == []


def test_what_goes_wrong_inside_is_logged_without_the_request(service, caplog, monkeypatch):
    monkeypatch.setattr(Engine, "execute", lambda self, api, body: body[len(body)])
    with pytest.raises(tablestore.OTSServiceError) as caught:
        ots_client(service, retry_policy=NoRetryPolicy()).describe_table("secret_table")
    assert (caught.value.http_status, caught.value.code) == (500, "OTSInternalServerError")
    assert caught.value.message == "Internal server error."
    (record,) = caplog.records
    assert record.name == "langchain_tablestore_memory.local"
    assert "IndexError" in caplog.text
    assert "DescribeTable" in caplog.text
    assert "secret_table" not in caplog.text


@pytest.mark.parametrize("is_open", [False, True], ids=["when opening", "when writing"])
def test_a_database_that_stays_locked_is_a_busy_server(tmp_path, caplog, monkeypatch, is_open):
    monkeypatch.setattr(storage, "_BUSY_TIMEOUT", 0.05)
    with Tablestore(tmp_path) as service, closing(sqlite3.connect(tmp_path / "local.sqlite3")) as other:
        sdk = ots_client(service, retry_policy=NoRetryPolicy())
        if is_open:
            sdk.list_table()
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(tablestore.OTSServiceError) as caught:
            make_table(sdk)
        assert (caught.value.http_status, caught.value.code) == (503, "OTSServerBusy")
        other.execute("ROLLBACK")
        make_table(sdk)
    assert caplog.records == []


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ots-date": "\ud800"},
        {"x-ots-instancename": "\udcff"},
        {"x-ots-signature": "\ud800", "x-ots-accesskeyid": "\x00"},
        {"x-ots-signaturev4": "", "x-ots-signdate": "\ud800", "x-ots-signregion": ""},
    ],
)
def test_whatever_the_headers_hold_there_is_an_answer(service, headers):
    names = ("x-ots-apiversion", "x-ots-accesskeyid", "x-ots-instancename", "x-ots-signature", "x-ots-date")
    complete = dict.fromkeys(names, "x") | {"x-ots-contentmd5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    for method in ({}, {"x-ots-date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.000Z", "x-ots-accesskeyid": "local"}):
        response = service.handle("/ListTable", complete | method | headers, b"")
        assert response.status in {400, 403}
        assert table_store_pb2.Error.FromString(response.body).message


def test_sts_tokens_are_taken(service):
    assert list(ots_client(service, sts_token="token").list_table()) == []
