"""The wire itself: headers, signatures, malformed and hostile requests. What is refused leaves the data intact."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import http.client
import re
import socket
from urllib.parse import urlsplit

import pytest
from tablestore import MatchAllQuery, OTSClientError, OTSServiceError, ScanQuery, SearchQuery
from tablestore.protobuf import table_store_pb2 as pb

from .plain import Cell
from .support import (
    INVALID,
    expect,
    get,
    put,
    raw_delete,
    raw_get,
    request_headers,
    send,
    service_error,
    sign,
)

KEY = (Cell("pk", "a"),)
GET = raw_get("t", KEY).SerializeToString()
DATE_FORMAT = "%Y-%m-%dT%H:%M:%S.000Z"


@pytest.fixture(params=["in-process", "http"])
def front(request):
    """Either among the fast tests: each has a wire of its own."""
    return request.param


def utc(shift=0):
    now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=shift)
    return now.strftime(DATE_FORMAT)


class TestAnswers:
    @pytest.mark.parametrize("api", ["GetRow", "NoSuchCall"], ids=["success", "error"])
    def test_carry_signed_headers(self, intact, api):
        answer = send(intact, api, GET)
        headers = answer.headers
        assert headers["x-ots-contentmd5"] == base64.b64encode(hashlib.md5(answer.body).digest()).decode()
        assert headers["x-ots-contenttype"] == "protocol buffer"
        assert re.fullmatch(r"[0-9a-f-]{8,}", headers["x-ots-requestid"])
        stamp = dt.datetime.strptime(headers["x-ots-date"], "%Y-%m-%dT%H:%M:%S.%fZ")
        assert re.search(r"\.\d{6}Z$", headers["x-ots-date"])
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        assert abs((now - stamp).total_seconds()) < 60
        ots = {name: value for name, value in headers.items() if name.startswith("x-ots-")}
        signature = intact._signer.make_response_signature("/" + api, ots, "local")
        assert headers["authorization"] == f"OTS local:{signature}"

    def test_have_their_own_request_id(self, intact):
        assert len({send(intact, "GetRow", GET).headers["x-ots-requestid"] for _ in range(5)}) == 5

    def test_an_error_is_a_protobuf_message(self, client):
        answer = send(client, "DescribeTable", pb.DescribeTableRequest(table_name="no"))
        assert answer.status == 404
        assert answer.body == b"\n\x11OTSObjectNotExist\x12\x1fRequested table does not exist."


class TestSignatures:
    @pytest.mark.parametrize("options", [{}, {"region": "cn-hangzhou"}], ids=["V2", "V4"])
    def test_accepted(self, intact, open_client, options):
        other = open_client(**options)
        put(other, "t", "a", {"x": 1})
        assert get(other, "t", "a") == {"x": 1}

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({"extra_headers": {"x-ots-extra": "one", "x-other": "two"}}, id="extra-headers"),
            pytest.param({"sts_token": "token"}, id="sts-token"),
        ],
    )
    @pytest.mark.parametrize("region", [None, "cn-hangzhou"], ids=["V2", "V4"])
    def test_cover_other_headers(self, intact, open_client, instance_name, options, region):
        if "sts_token" in options:
            from tablestore import StaticCredentialsProvider

            other = open_client(region=region)
            other.credentials_provider = StaticCredentialsProvider("local", "local", "token")
        else:
            other = open_client(region=region, **options)
        assert get(other, "t", "a") == {"x": 1}
        headers = request_headers(other, "GetRow", GET)
        signed = "x-ots-ststoken" if "sts_token" in options else "x-ots-extra"
        headers[signed] = "changed"
        expect(send(other, "GetRow", GET, headers), 403, "OTSAuthFailed", "Signature mismatch.")

    @pytest.mark.parametrize("options", [{}, {"region": "cn-hangzhou"}], ids=["V2", "V4"])
    def test_of_another_secret(self, intact, open_client, options):
        other = open_client(secret="wrong", **options)
        with service_error("OTSAuthFailed", "Signature mismatch."):
            get(other, "t", "a")
        with service_error("OTSAuthFailed", "Signature mismatch."):
            put(other, "t", "b", {"x": 1})

    @pytest.mark.parametrize(
        ("options", "header"),
        [({}, "x-ots-signature"), ({"region": "cn-hangzhou"}, "x-ots-signaturev4")],
        ids=["V2", "V4"],
    )
    @pytest.mark.parametrize(
        "forge",
        [
            pytest.param(lambda text: text[:-2] + ("A=" if text[-2:] != "A=" else "B="), id="changed"),
            pytest.param(lambda text: "", id="empty"),
            pytest.param(lambda text: text[:-4], id="short"),
            pytest.param(lambda text: "!not base64!", id="garbage"),
            pytest.param(lambda text: base64.b64encode(bytes(20)).decode(), id="zeros"),
        ],
    )
    def test_forged(self, intact, open_client, options, header, forge):
        other = open_client(**options)
        headers = request_headers(other, "GetRow", GET)
        headers[header] = forge(headers[header])
        answer = send(other, "GetRow", GET, headers)
        assert answer.status in {400, 403}
        if headers[header]:
            expect(answer, 403, "OTSAuthFailed", "Signature mismatch.")

    @pytest.mark.parametrize("options", [{}, {"region": "cn-hangzhou"}], ids=["V2", "V4"])
    def test_of_another_call(self, intact, open_client, options):
        other = open_client(**options)
        headers = request_headers(other, "GetRow", GET)
        delete_all = raw_delete("t", KEY).SerializeToString()
        headers["x-ots-contentmd5"] = base64.b64encode(hashlib.md5(delete_all).digest()).decode()
        expect(send(other, "DeleteRow", delete_all, headers), 403, "OTSAuthFailed", "Signature mismatch.")
        expect(
            send(other, "ListTable", GET, request_headers(other, "GetRow", GET)),
            403,
            "OTSAuthFailed",
            "Signature mismatch.",
        )

    @pytest.mark.parametrize("name", ["x-ots-instancename", "x-ots-date", "x-ots-apiversion"])
    def test_cover_each_header(self, intact, instance_name, name):
        headers = request_headers(intact, "GetRow", GET)
        headers[name] = {
            "x-ots-instancename": "other",
            "x-ots-date": utc(-5),
            "x-ots-apiversion": "2014-08-08",
        }[name]
        answer = send(intact, "GetRow", GET, headers)
        assert answer.status in {400, 403}
        if name != "x-ots-apiversion":
            expect(answer, 403, "OTSAuthFailed", "Signature mismatch.")

    @pytest.mark.parametrize("name", ["x-ots-signdate", "x-ots-signregion"])
    def test_v4_cover_their_scope(self, intact, open_client, name):
        other = open_client(region="cn-hangzhou")
        headers = request_headers(other, "GetRow", GET)
        headers[name] = {"x-ots-signdate": "20200101", "x-ots-signregion": "cn-beijing"}[name]
        answer = send(other, "GetRow", GET, headers)
        assert (answer.status, answer.error[0]) == (403, "OTSAuthFailed")

    def test_of_an_unknown_key(self, intact, open_client):
        with service_error("OTSAuthFailed", "The AccessKeyID does not exist."):
            get(open_client(key_id="nobody"), "t", "a")


class TestHeaders:
    @pytest.mark.parametrize(
        "name",
        [
            "x-ots-date",
            "x-ots-apiversion",
            "x-ots-accesskeyid",
            "x-ots-instancename",
            "x-ots-contentmd5",
            "x-ots-signature",
        ],
    )
    def test_missing(self, intact, name):
        headers = request_headers(intact, "GetRow", GET)
        del headers[name]
        if name != "x-ots-signature":
            headers = sign(intact, "GetRow", headers)
        expect(send(intact, "GetRow", GET, headers), 400, INVALID, f"Missing header: {name}.")

    @pytest.mark.parametrize(
        "date", ["yesterday", "2024-13-45T00:00:00.000Z", "1700000000", "Sat, 01 Jan 2022 00:00:00 GMT"]
    )
    def test_bad_date(self, intact, date):
        headers = sign(intact, "GetRow", request_headers(intact, "GetRow", GET) | {"x-ots-date": date})
        expect(send(intact, "GetRow", GET, headers), 400, INVALID, f"Invalid date format: {date}.")

    @pytest.mark.parametrize("minutes", [-16, 16, -60 * 24 * 365, 60 * 24 * 365])
    def test_skewed_clock(self, intact, minutes):
        date = utc(minutes * 60)
        headers = sign(intact, "GetRow", request_headers(intact, "GetRow", GET) | {"x-ots-date": date})
        message = f"Mismatch between system time and x-ots-date: {date}."
        expect(send(intact, "GetRow", GET, headers), 403, "OTSAuthFailed", message)

    @pytest.mark.parametrize("minutes", [-14, 14])
    def test_slightly_skewed_clock(self, intact, minutes):
        headers = sign(intact, "GetRow", request_headers(intact, "GetRow", GET) | {"x-ots-date": utc(minutes * 60)})
        assert send(intact, "GetRow", GET, headers).status == 200

    @pytest.mark.parametrize("digest", [hashlib.md5(b"other").digest(), b"", b"short"], ids=["other", "empty", "short"])
    def test_wrong_digest(self, intact, digest):
        changed = {"x-ots-contentmd5": base64.b64encode(digest).decode() or "?"}
        headers = sign(intact, "GetRow", request_headers(intact, "GetRow", GET) | changed)
        message = "Mismatch between MD5 value of request body and x-ots-contentmd5 in header."
        expect(send(intact, "GetRow", GET, headers), 403, "OTSAuthFailed", message)

    def test_another_body(self, intact):
        delete_all = raw_delete("t", KEY).SerializeToString()
        message = "Mismatch between MD5 value of request body and x-ots-contentmd5 in header."
        headers = request_headers(intact, "DeleteRow", GET)
        expect(send(intact, "DeleteRow", delete_all, headers), 403, "OTSAuthFailed", message)

    @pytest.mark.parametrize(
        "name",
        [
            "ab",
            "a" * 17,
            "1abc",
            "-abc",
            "abc-",
            "ab_c",
            "a.b.c",
            "../abc",
            "a/b/c",
            "abc%00",
            "c:abc",
            "a b c",
        ],
        ids=repr,
    )
    def test_bad_instance_name(self, open_client, name):
        with service_error(INVALID, re.compile(rf"Invalid instance name: '?{re.escape(name)}'?\.")):
            open_client(instance=name).list_table()

    @pytest.mark.parametrize("name", ["abc", "a" * 16, "a-b", "Abc9"])
    def test_good_instance_name(self, open_client, instance_name, name):
        found = open_client(instance=name)
        assert isinstance(found.list_table(), tuple)


class TestCalls:
    @pytest.mark.parametrize(
        "api", ["NoSuchCall", "getrow", "GetRow2", "__init__", "execute", "GetStreamRecord", "ListStream"]
    )
    def test_unknown(self, intact, api):
        expect(send(intact, api, GET), 400, INVALID, f"Unsupported operation: {api}.")

    SEARCH = SearchQuery(MatchAllQuery())

    @pytest.mark.parametrize(
        ("api", "call"),
        [
            ("ComputeSplits", lambda client: client.compute_splits("t", "s")),
            (
                "ParallelScan",
                lambda client: client.parallel_scan("t", "s", ScanQuery(MatchAllQuery(), 1, None, 0, 1), "s"),
            ),
            ("SQLQuery", lambda client: client.exe_sql_query("select 1")),
            ("ListTimeseriesTable", lambda client: client.list_timeseries_table()),
            ("ListMemoryStores", lambda client: client.list_memory_stores({})),
            ("ListKnowledgeBase", lambda client: client.list_knowledge_base({})),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_not_served(self, intact, api, call):
        with service_error(INVALID, f"Unsupported operation: {api}."):
            call(intact)


class TestHttp:
    """What only HTTP can carry."""

    @pytest.fixture
    def front(self):
        return "http"

    @pytest.fixture
    def address(self, server_url):
        parts = urlsplit(server_url)
        return parts.hostname, parts.port

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH"])
    def test_other_methods(self, intact, address, method):
        connection = http.client.HTTPConnection(*address, timeout=10)
        try:
            connection.request(method, "/GetRow", body=GET, headers=request_headers(intact, "GetRow", GET))
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status == 405
        if method != "HEAD":
            found = pb.Error.FromString(body)
            assert (found.code, found.message) == (
                "OTSMethodNotAllowed",
                "Only POST method for requests is supported.",
            )

    def test_a_path_before_the_call(self, intact, open_client):
        other = open_client(path="/some/prefix")
        assert get(other, "t", "a") == {"x": 1}

    def test_an_endless_body_does_not_keep_others_waiting(self, intact, address):
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(b"POST /PutRow HTTP/1.1\r\nHost: local\r\nContent-Length: 99999999999\r\n\r\n")
            for _ in range(10):
                connection.sendall(bytes(1_000_000))
                assert get(intact, "t", "a") == {"x": 1}

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"\x00\x01\x02\x03\r\n\r\n", id="garbage"),
            pytest.param(b"POST /GetRow HTTP/9.9\r\n\r\n", id="version"),
            pytest.param(b"POST /GetRow HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", id="length"),
            pytest.param(b"POST /GetRow HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n", id="headers"),
            pytest.param(b"POST /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", id="path"),
            pytest.param(b"POST /GetRow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc", id="body-cut"),
            pytest.param(b"", id="nothing"),
        ],
    )
    def test_broken_requests(self, intact, address, data):
        with socket.create_connection(address, timeout=10) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(5)
                answer = connection.recv(65536)
            except (ConnectionError, OSError):
                answer = b""
        assert not answer.startswith(b"HTTP/1.1 2")
        assert get(intact, "t", "a") == {"x": 1}

    def test_a_body_in_chunks(self, intact, address):
        connection = http.client.HTTPConnection(*address, timeout=10)
        try:
            headers = request_headers(intact, "GetRow", GET)
            connection.request("POST", "/GetRow", body=iter([GET[:5], GET[5:]]), headers=headers, encode_chunked=True)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status == 200
        assert pb.GetRowResponse.FromString(body).row

    def test_errors_are_what_the_client_raises(self, intact):
        """Not a client-side complaint about the answer's shape."""
        for call in (lambda: get(intact, "no", "a"), lambda: get(intact, "t", [("pk", 1)])):
            with pytest.raises(OTSServiceError) as caught:
                call()
            assert not isinstance(caught.value, OTSClientError)
