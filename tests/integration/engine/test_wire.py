"""The wire itself: headers, signatures, malformed and hostile requests. What is refused leaves the data intact."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import http.client
import random
import re
import socket
import struct
from urllib.parse import urlsplit

import pytest
from tablestore import MatchAllQuery, OTSClientError, OTSServiceError, ScanQuery, SearchIndexMeta, SearchQuery
from tablestore.metadata import FieldSchema, FieldType
from tablestore.protobuf import table_store_pb2 as pb

from . import plain
from .plain import OMIT, Cell
from .support import (
    ANY,
    INVALID,
    create,
    every,
    get,
    put,
    raw_delete,
    raw_get,
    raw_put,
    raw_range,
    raw_update,
    refuse,
    request_headers,
    send,
    service_error,
    sign,
)

KEY = (Cell("pk", "a"),)
GET = raw_get("t", KEY).SerializeToString()
DATE_FORMAT = "%Y-%m-%dT%H:%M:%S.000Z"
BROKEN_PROTOBUF = re.compile(r"Parse PBMessage from RawString failed\.|Cannot deserialize the request data\.")


@pytest.fixture
def table(client):
    """A table with one row, which every request of a test must leave as it is."""
    create(client)
    put(client, "t", "a", {"x": 1})
    yield client
    assert get(client, "t", "a") == {"x": 1}
    assert every(client, "t").keys == ["a"]
    assert client.list_table() == ("t",)


def utc(shift=0):
    now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=shift)
    return now.strftime(DATE_FORMAT)


def expect(answer, status, code, message):
    assert (answer.status, *answer.error) == (status, code, message)


class TestAnswers:
    @pytest.mark.parametrize("api", ["GetRow", "NoSuchCall"], ids=["success", "error"])
    def test_carry_signed_headers(self, table, api):
        answer = send(table, api, GET)
        headers = answer.headers
        assert headers["x-ots-contentmd5"] == base64.b64encode(hashlib.md5(answer.body).digest()).decode()
        assert headers["x-ots-contenttype"] == "protocol buffer"
        assert re.fullmatch(r"[0-9a-f-]{8,}", headers["x-ots-requestid"])
        stamp = dt.datetime.strptime(headers["x-ots-date"], "%Y-%m-%dT%H:%M:%S.%fZ")
        assert re.search(r"\.\d{6}Z$", headers["x-ots-date"])
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        assert abs((now - stamp).total_seconds()) < 60
        ots = {name: value for name, value in headers.items() if name.startswith("x-ots-")}
        signature = table._signer.make_response_signature("/" + api, ots, "local")
        assert headers["authorization"] == f"OTS local:{signature}"

    def test_have_their_own_request_id(self, table):
        assert len({send(table, "GetRow", GET).headers["x-ots-requestid"] for _ in range(5)}) == 5

    def test_an_error_is_a_protobuf_message(self, client):
        answer = send(client, "DescribeTable", pb.DescribeTableRequest(table_name="no"))
        assert answer.status == 404
        assert answer.body == b"\n\x11OTSObjectNotExist\x12\x1fRequested table does not exist."


class TestSignatures:
    @pytest.mark.parametrize("options", [{}, {"region": "cn-hangzhou"}], ids=["V2", "V4"])
    def test_accepted(self, table, open_client, options):
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
    def test_cover_other_headers(self, table, open_client, instance_name, options, region):
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
    def test_of_another_secret(self, table, open_client, options):
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
    def test_forged(self, table, open_client, options, header, forge):
        other = open_client(**options)
        headers = request_headers(other, "GetRow", GET)
        headers[header] = forge(headers[header])
        answer = send(other, "GetRow", GET, headers)
        assert answer.status in {400, 403}
        if headers[header]:
            expect(answer, 403, "OTSAuthFailed", "Signature mismatch.")

    @pytest.mark.parametrize("options", [{}, {"region": "cn-hangzhou"}], ids=["V2", "V4"])
    def test_of_another_call(self, table, open_client, options):
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
    def test_cover_each_header(self, table, instance_name, name):
        headers = request_headers(table, "GetRow", GET)
        headers[name] = {
            "x-ots-instancename": "other",
            "x-ots-date": utc(-5),
            "x-ots-apiversion": "2014-08-08",
        }[name]
        answer = send(table, "GetRow", GET, headers)
        assert answer.status in {400, 403}
        if name != "x-ots-apiversion":
            expect(answer, 403, "OTSAuthFailed", "Signature mismatch.")

    @pytest.mark.parametrize("name", ["x-ots-signdate", "x-ots-signregion"])
    def test_v4_cover_their_scope(self, table, open_client, name):
        other = open_client(region="cn-hangzhou")
        headers = request_headers(other, "GetRow", GET)
        headers[name] = {"x-ots-signdate": "20200101", "x-ots-signregion": "cn-beijing"}[name]
        answer = send(other, "GetRow", GET, headers)
        assert (answer.status, answer.error[0]) == (403, "OTSAuthFailed")

    def test_of_an_unknown_key(self, table, open_client):
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
    def test_missing(self, table, name):
        headers = request_headers(table, "GetRow", GET)
        del headers[name]
        if name != "x-ots-signature":
            headers = sign(table, "GetRow", headers)
        expect(send(table, "GetRow", GET, headers), 400, INVALID, f"Missing header: {name}.")

    @pytest.mark.parametrize(
        "date", ["yesterday", "2024-13-45T00:00:00.000Z", "1700000000", "Sat, 01 Jan 2022 00:00:00 GMT"]
    )
    def test_bad_date(self, table, date):
        headers = sign(table, "GetRow", request_headers(table, "GetRow", GET) | {"x-ots-date": date})
        expect(send(table, "GetRow", GET, headers), 400, INVALID, f"Invalid date format: {date}.")

    @pytest.mark.parametrize("minutes", [-16, 16, -60 * 24 * 365, 60 * 24 * 365])
    def test_skewed_clock(self, table, minutes):
        date = utc(minutes * 60)
        headers = sign(table, "GetRow", request_headers(table, "GetRow", GET) | {"x-ots-date": date})
        message = f"Mismatch between system time and x-ots-date: {date}."
        expect(send(table, "GetRow", GET, headers), 403, "OTSAuthFailed", message)

    @pytest.mark.parametrize("minutes", [-14, 14])
    def test_slightly_skewed_clock(self, table, minutes):
        headers = sign(table, "GetRow", request_headers(table, "GetRow", GET) | {"x-ots-date": utc(minutes * 60)})
        assert send(table, "GetRow", GET, headers).status == 200

    @pytest.mark.parametrize("digest", [hashlib.md5(b"other").digest(), b"", b"short"], ids=["other", "empty", "short"])
    def test_wrong_digest(self, table, digest):
        changed = {"x-ots-contentmd5": base64.b64encode(digest).decode() or "?"}
        headers = sign(table, "GetRow", request_headers(table, "GetRow", GET) | changed)
        message = "Mismatch between MD5 value of request body and x-ots-contentmd5 in header."
        expect(send(table, "GetRow", GET, headers), 403, "OTSAuthFailed", message)

    def test_another_body(self, table):
        delete_all = raw_delete("t", KEY).SerializeToString()
        message = "Mismatch between MD5 value of request body and x-ots-contentmd5 in header."
        headers = request_headers(table, "DeleteRow", GET)
        expect(send(table, "DeleteRow", delete_all, headers), 403, "OTSAuthFailed", message)

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
    def test_unknown(self, table, api):
        expect(send(table, api, GET), 400, INVALID, f"Unsupported operation: {api}.")

    SEARCH = SearchQuery(MatchAllQuery())

    @pytest.mark.parametrize(
        ("api", "call"),
        [
            ("ListSearchIndex", lambda client: client.list_search_index("t")),
            (
                "CreateSearchIndex",
                lambda client: client.create_search_index(
                    "t", "s", SearchIndexMeta([FieldSchema("x", FieldType.LONG)])
                ),
            ),
            ("DescribeSearchIndex", lambda client: client.describe_search_index("t", "s")),
            (
                "UpdateSearchIndex",
                lambda client: client.update_search_index("t", "s", SearchIndexMeta([], time_to_live=-1)),
            ),
            ("DeleteSearchIndex", lambda client: client.delete_search_index("t", "s")),
            ("Search", lambda client: client.search("t", "s", SearchQuery(MatchAllQuery()))),
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
    def test_not_served(self, table, api, call):
        with service_error(INVALID, f"Unsupported operation: {api}."):
            call(table)


class TestBodies:
    APIS = (
        *("CreateTable", "DescribeTable", "DeleteTable", "UpdateTable", "CreateIndex", "DropIndex"),
        *("GetRow", "PutRow", "UpdateRow", "DeleteRow", "GetRange"),
        *("StartLocalTransaction", "CommitTransaction", "AbortTransaction"),
    )

    @pytest.mark.parametrize("api", [*APIS, "BatchGetRow", "BatchWriteRow"])
    @pytest.mark.parametrize(
        "body", [b"\xff\xff\xff\xff", b"\x0a\x05ab", b"\x0a"], ids=["garbage", "truncated", "tag-only"]
    )
    def test_not_protobuf(self, table, api, body):
        refuse(table, api, body, BROKEN_PROTOBUF)

    @pytest.mark.parametrize("api", APIS)
    def test_empty(self, table, api):
        """Every call has a required field, whose absence is a fault of the request."""
        refuse(table, api, b"", ANY)

    @pytest.mark.parametrize("cut", range(1, len(GET)))
    def test_cut_anywhere(self, table, cut):
        answer = send(table, "GetRow", GET[:cut])
        assert answer.status in {200, 400, 404}
        assert answer.status == 200 or answer.error[0] in {INVALID, "OTSInvalidPK", "OTSObjectNotExist"}

    def test_not_text(self, table):
        body = pb.DescribeTableRequest(table_name="tt").SerializeToString().replace(b"tt", b"\xff\xfe")
        answer = send(table, "DescribeTable", body)
        assert answer.status in {400, 404}
        assert answer.error[0] in {INVALID, "OTSObjectNotExist"}

    def test_too_large(self, table):
        body = raw_put("t", KEY, [Cell("x", "v" * (5 * 1024 * 1024 + 1))]).SerializeToString()
        expect(send(table, "PutRow", body), 413, "OTSRequestBodyTooLarge", "The size of POST data is too large.")


class TestPlainBuffer:
    """Damage in a row, by every call that carries one."""

    CARRIERS = (
        pytest.param("PutRow", lambda data: pb.PutRowRequest(table_name="t", row=data, condition=_IGNORE), id="PutRow"),
        pytest.param(
            "UpdateRow",
            lambda data: pb.UpdateRowRequest(table_name="t", row_change=data, condition=_IGNORE),
            id="UpdateRow",
        ),
        pytest.param(
            "DeleteRow",
            lambda data: pb.DeleteRowRequest(table_name="t", primary_key=data, condition=_IGNORE),
            id="DeleteRow",
        ),
        pytest.param(
            "GetRow",
            lambda data: pb.GetRowRequest(table_name="t", primary_key=data, max_versions=1),
            id="GetRow",
        ),
        pytest.param(
            "GetRange",
            lambda data: pb.GetRangeRequest(
                table_name="t",
                direction=pb.FORWARD,
                max_versions=1,
                inclusive_start_primary_key=data,
                exclusive_end_primary_key=plain.row([Cell("pk", raw=plain.INF_MAX)]),
            ),
            id="GetRange",
        ),
        pytest.param(
            "StartLocalTransaction",
            lambda data: pb.StartLocalTransactionRequest(table_name="t", key=data),
            id="StartLocalTransaction",
        ),
    )
    DAMAGE = (
        pytest.param(plain.row(KEY, checksum=OMIT), "Invalid row: missing checksum.", id="no-row-checksum"),
        pytest.param(
            plain.row([Cell("pk", "a", checksum=OMIT)]),
            re.compile(r"Invalid Column\(pk\): missing checksum\.|Cell data broken, .*"),
            id="no-cell-checksum",
        ),
        pytest.param(
            plain.row(KEY, checksum=0x17),
            re.compile(r"Cell data broken, checksum is mismatch, .*"),
            id="row-checksum",
        ),
        pytest.param(
            plain.row([Cell("pk", "a", checksum=0x17)]),
            re.compile(r"Cell data broken, checksum is mismatch, .*"),
            id="cell-checksum",
        ),
        pytest.param(
            plain.row(KEY, header=0x76),
            re.compile(r"Cell data broken, .*|data format is invalid.*"),
            id="header",
        ),
        pytest.param(b"", ANY, id="empty"),
        pytest.param(b"\x75\x00", ANY, id="short"),
        pytest.param(b"\x75\x00\x00\x00", ANY, id="header-alone"),
        pytest.param(plain.row([]), ANY, id="no-key"),
        pytest.param(plain.row(KEY)[:-5], ANY, id="cut"),
        pytest.param(plain.row(KEY) + b"\x00\x01", ANY, id="trailing"),
        pytest.param(struct.pack("<i", 0x75) + b"\xee" * 20, ANY, id="garbage"),
        pytest.param(
            plain.row(KEY).replace(struct.pack("<i", 2) + b"pk", struct.pack("<i", 2**31 - 1) + b"pk"),
            ANY,
            id="huge-length",
        ),
        pytest.param(
            plain.row(KEY).replace(struct.pack("<i", 2) + b"pk", struct.pack("<i", -1) + b"pk"),
            ANY,
            id="negative-length",
        ),
        pytest.param(plain.row([Cell("pk", raw=b"\x63")]), ANY, id="unknown-type"),
        pytest.param(plain.row([Cell("pk", raw=b"\x00\x01")]), ANY, id="short-integer"),
    )

    @pytest.mark.parametrize(("data", "message"), DAMAGE)
    @pytest.mark.parametrize(("api", "carry"), CARRIERS)
    def test_refused(self, table, api, carry, data, message):
        answer = send(table, api, carry(data))
        assert answer.status == 400, answer.error
        code, found = answer.error
        assert code in {INVALID, "OTSInvalidPK"}
        if isinstance(message, re.Pattern):
            assert message.fullmatch(found), found
        else:
            assert found == message

    def test_a_damaged_attribute(self, table):
        for cell in (
            Cell("x", 2, checksum=1),
            Cell("x", 2, timestamp=1, checksum=1),
            Cell("x", "two", checksum=1),
        ):
            message = re.compile(r"Cell data broken, checksum is mismatch, .*")
            refuse(table, "PutRow", raw_put("t", KEY, [cell]), message)
            refuse(table, "UpdateRow", raw_update("t", KEY, [cell]), message)

    @pytest.mark.parametrize("seed", range(3))
    def test_bits_flipped_at_random(self, table, seed):
        """A flipped bit may at most be noticed by nothing but the checksums; it never reaches the table."""
        chance = random.Random(seed)
        original = raw_update("t", KEY, [Cell("x", "payload")]).row_change
        for _ in range(60):
            data = bytearray(original)
            position = chance.randrange(len(data))
            data[position] ^= 1 << chance.randrange(8)
            answer = send(
                table,
                "UpdateRow",
                pb.UpdateRowRequest(table_name="t", row_change=bytes(data), condition=_IGNORE),
            )
            assert answer.status == 400, (position, answer.status)


_IGNORE = pb.Condition(row_existence=pb.IGNORE)


class TestUnknownTables:
    @pytest.mark.parametrize("name", ["sqlite_master", "no", "t2"])
    def test_reads_and_writes(self, table, name):
        for api, request in (
            ("GetRow", raw_get(name, KEY)),
            ("GetRange", raw_range(name, [Cell("pk", raw=plain.INF_MIN)], [Cell("pk", raw=plain.INF_MAX)])),
            ("PutRow", raw_put(name, KEY)),
            ("DeleteTable", pb.DeleteTableRequest(table_name=name)),
        ):
            answer = send(table, api, request)
            assert answer.status in {400, 404}
            assert answer.error[0] in {INVALID, "OTSObjectNotExist"}


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
    def test_other_methods(self, table, address, method):
        connection = http.client.HTTPConnection(*address, timeout=10)
        try:
            connection.request(method, "/GetRow", body=GET, headers=request_headers(table, "GetRow", GET))
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

    def test_a_path_before_the_call(self, table, open_client):
        other = open_client(path="/some/prefix")
        assert get(other, "t", "a") == {"x": 1}

    def test_an_announced_size_over_the_limit(self, table, address):
        """Is refused before the body is read, or the connection closes; memory is not the sender's to fill."""
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(b"POST /PutRow HTTP/1.1\r\nHost: local\r\nContent-Length: 99999999999\r\n\r\n")
            connection.settimeout(10)
            first = connection.recv(100)
        assert not first or b" 413 " in first or b" 400 " in first
        assert get(table, "t", "a") == {"x": 1}

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
    def test_broken_requests(self, table, address, data):
        with socket.create_connection(address, timeout=10) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(5)
                answer = connection.recv(65536)
            except (ConnectionError, OSError):
                answer = b""
        assert not answer.startswith(b"HTTP/1.1 2")
        assert get(table, "t", "a") == {"x": 1}

    def test_a_body_in_chunks(self, table, address):
        connection = http.client.HTTPConnection(*address, timeout=10)
        try:
            headers = request_headers(table, "GetRow", GET)
            connection.request("POST", "/GetRow", body=iter([GET[:5], GET[5:]]), headers=headers, encode_chunked=True)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status == 200
        assert pb.GetRowResponse.FromString(body).row

    def test_errors_are_what_the_client_raises(self, table):
        """Not a client-side complaint about the answer's shape."""
        for call in (lambda: get(table, "no", "a"), lambda: get(table, "t", [("pk", 1)])):
            with pytest.raises(OTSServiceError) as caught:
                call()
            assert not isinstance(caught.value, OTSClientError)
