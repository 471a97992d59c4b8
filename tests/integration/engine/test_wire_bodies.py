"""Bodies that are cut, damaged or too large. What is refused leaves the data intact."""

from __future__ import annotations

import random
import re
import struct

import pytest
from tablestore.protobuf import table_store_pb2 as pb

from . import plain
from .plain import OMIT, Cell
from .support import (
    ANY,
    INVALID,
    expect,
    raw_get,
    raw_put,
    raw_range,
    raw_update,
    refuse,
    send,
)

KEY = (Cell("pk", "a"),)
GET = raw_get("t", KEY).SerializeToString()
BROKEN_PROTOBUF = re.compile(r"Parse PBMessage from RawString failed\.|Cannot deserialize the request data\.")


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
    def test_not_protobuf(self, intact, api, body):
        refuse(intact, api, body, BROKEN_PROTOBUF)

    @pytest.mark.parametrize("api", APIS)
    def test_empty(self, intact, api):
        """Every call has a required field, whose absence is a fault of the request."""
        refuse(intact, api, b"", ANY)

    @pytest.mark.parametrize("cut", range(1, len(GET)))
    def test_cut_anywhere(self, intact, cut):
        answer = send(intact, "GetRow", GET[:cut])
        assert answer.status in {200, 400, 404}
        assert answer.status == 200 or answer.error[0] in {INVALID, "OTSInvalidPK", "OTSObjectNotExist"}

    def test_not_text(self, intact):
        body = pb.DescribeTableRequest(table_name="tt").SerializeToString().replace(b"tt", b"\xff\xfe")
        answer = send(intact, "DescribeTable", body)
        assert answer.status in {400, 404}
        assert answer.error[0] in {INVALID, "OTSObjectNotExist"}

    def test_too_large(self, intact):
        body = raw_put("t", KEY, [Cell("x", "v" * (5 * 1024 * 1024 + 1))]).SerializeToString()
        expect(send(intact, "PutRow", body), 413, "OTSRequestBodyTooLarge", "The size of POST data is too large.")


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
    def test_refused(self, intact, api, carry, data, message):
        answer = send(intact, api, carry(data))
        assert answer.status == 400, answer.error
        code, found = answer.error
        assert code in {INVALID, "OTSInvalidPK"}
        if isinstance(message, re.Pattern):
            assert message.fullmatch(found), found
        else:
            assert found == message

    def test_a_damaged_attribute(self, intact):
        for cell in (
            Cell("x", 2, checksum=1),
            Cell("x", 2, timestamp=1, checksum=1),
            Cell("x", "two", checksum=1),
        ):
            message = re.compile(r"Cell data broken, checksum is mismatch, .*")
            refuse(intact, "PutRow", raw_put("t", KEY, [cell]), message)
            refuse(intact, "UpdateRow", raw_update("t", KEY, [cell]), message)

    @pytest.mark.parametrize("seed", range(3))
    def test_bits_flipped_at_random(self, intact, seed):
        """A flipped bit may at most be noticed by nothing but the checksums; it never reaches the table."""
        chance = random.Random(seed)
        original = raw_update("t", KEY, [Cell("x", "payload")]).row_change
        for _ in range(60):
            data = bytearray(original)
            position = chance.randrange(len(data))
            data[position] ^= 1 << chance.randrange(8)
            answer = send(
                intact,
                "UpdateRow",
                pb.UpdateRowRequest(table_name="t", row_change=bytes(data), condition=_IGNORE),
            )
            assert answer.status == 400, (position, answer.status)


_IGNORE = pb.Condition(row_existence=pb.IGNORE)


class TestUnknownTables:
    @pytest.mark.parametrize("name", ["sqlite_master", "no", "t2"])
    def test_reads_and_writes(self, intact, name):
        for api, request in (
            ("GetRow", raw_get(name, KEY)),
            ("GetRange", raw_range(name, [Cell("pk", raw=plain.INF_MIN)], [Cell("pk", raw=plain.INF_MAX)])),
            ("PutRow", raw_put(name, KEY)),
            ("DeleteTable", pb.DeleteTableRequest(table_name=name)),
        ):
            answer = send(intact, api, request)
            assert answer.status in {400, 404}
            assert answer.error[0] in {INVALID, "OTSObjectNotExist"}
