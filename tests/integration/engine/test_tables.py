"""CreateTable, ListTable, DescribeTable, UpdateTable, DeleteTable."""

from __future__ import annotations

import re
import time

import pytest
from tablestore import (
    INF_MAX,
    INF_MIN,
    PK_AUTO_INCR,
    CapacityUnit,
    ReservedThroughput,
    SecondaryIndexMeta,
    SecondaryIndexType,
    SSEKeyType,
    SSESpecification,
    TableMeta,
    TableOptions,
)
from tablestore.plainbuffer.plain_buffer_builder import PlainBufferBuilder
from tablestore.protobuf import table_store_pb2 as pb

from .support import ANY, INVALID, NO_TABLE, accept, create, get, put, refuse, service_error, update


def create_request(**changes):
    """A valid CreateTable request; each change replaces a field, None clears it."""
    request = pb.CreateTableRequest(
        table_meta=pb.TableMeta(
            table_name="t", primary_key=[pb.PrimaryKeySchema(name="pk", type=pb.STRING)], defined_column=[]
        ),
        reserved_throughput=pb.ReservedThroughput(capacity_unit=pb.CapacityUnit(read=0, write=0)),
        table_options=pb.TableOptions(time_to_live=-1, max_versions=1, deviation_cell_version_in_sec=86400),
    )
    for name, value in changes.items():
        request.ClearField(name)
        if value is not None:
            getattr(request, name).CopyFrom(value)
    return request


def options(**fields):
    found = {"time_to_live": -1, "max_versions": 1, "deviation_cell_version_in_sec": 86400} | fields
    return pb.TableOptions(**{name: value for name, value in found.items() if value is not None})


class TestCreate:
    def test_makes_a_table_that_is_usable_at_once(self, client):
        create(client)
        put(client, "t", "a", {"x": 1})
        assert get(client, "t", "a") == {"x": 1}

    def test_refuses_a_name_in_use(self, client):
        create(client)
        with service_error("OTSObjectAlreadyExist", "Requested table already exists."):
            create(client, key=[("other", "INTEGER")])
        assert client.describe_table("t").table_meta.schema_of_primary_key == [("pk", "STRING")]

    def test_refuses_the_name_of_an_index(self, client):
        index = SecondaryIndexMeta("i", ["a"], [])
        create(client, defined=[("a", "STRING")], indexes=[index])
        with service_error("OTSObjectAlreadyExist", "Requested table already exists."):
            create(client, "i")

    def test_names_are_case_sensitive(self, client):
        create(client, "name")
        create(client, "NAME", [("other", "INTEGER")])
        assert set(client.list_table()) == {"name", "NAME"}

    @pytest.mark.parametrize(
        "key",
        [
            pytest.param([("a", "STRING")], id="string"),
            pytest.param([("a", "INTEGER")], id="integer"),
            pytest.param([("a", "BINARY")], id="binary"),
            pytest.param([("z", "STRING"), ("a", "INTEGER"), ("m", "BINARY"), ("b", "STRING")], id="four"),
            pytest.param([("a", "STRING"), ("b", "INTEGER", PK_AUTO_INCR)], id="auto-increment"),
        ],
    )
    def test_keeps_the_key_schema_in_its_order(self, client, key):
        create(client, key=key)
        assert client.describe_table("t").table_meta.schema_of_primary_key == key

    def test_refuses_a_repeated_key_name(self, client):
        with service_error(INVALID, "Duplicated primary key name: 'PK0'."):
            create(client, key=[("PK0", "STRING"), ("PK1", "STRING"), ("PK0", "INTEGER")])
        assert client.list_table() == ()

    def test_refuses_a_boolean_key(self, client):
        with service_error(INVALID, "BOOLEAN is an invalid type for the primary key."):
            create(client, key=[("pk", "BOOLEAN")])

    @pytest.mark.parametrize(
        ("key", "message"),
        [
            pytest.param(
                [("a", "INTEGER", PK_AUTO_INCR)],
                re.compile(
                    r"(?i)first primary key can't be AUTO_INCREMENT.*|PkAutoIncr cannot be set as first pk column.*"
                ),
                id="first",
            ),
            pytest.param(
                [("a", "STRING"), ("b", "INTEGER", PK_AUTO_INCR), ("c", "INTEGER", PK_AUTO_INCR)],
                "AUTO_INCREMENT primary key count must <= 1.",
                id="two",
            ),
            pytest.param(
                [("a", "STRING"), ("b", "STRING", PK_AUTO_INCR)],
                "AUTO_INCREMENT primary key must be integer.",
                id="not-integer",
            ),
        ],
    )
    def test_refuses_auto_increment_where_it_cannot_be(self, client, key, message):
        with service_error(INVALID, message):
            create(client, key=key)

    @pytest.mark.parametrize(
        ("table_options", "message"),
        [
            pytest.param(options(time_to_live=None), "Time-to-live is missing while creating table.", id="no-ttl"),
            pytest.param(options(max_versions=None), "MaxVersions is missing while creating table.", id="no-versions"),
            pytest.param(options(time_to_live=0), "TimeToLive cannot be 0 or less than -1.", id="ttl-zero"),
            pytest.param(options(time_to_live=-2), "TimeToLive cannot be 0 or less than -1.", id="ttl-negative"),
            pytest.param(
                options(max_versions=0),
                re.compile(r"The maximum versions cannot be less than or equal to 0\.?"),
                id="versions-zero",
            ),
            pytest.param(
                options(max_versions=-1),
                re.compile(r"The maximum versions cannot be less than or equal to 0\.?"),
                id="versions-negative",
            ),
            pytest.param(
                options(deviation_cell_version_in_sec=-1),
                "The maximum deviation must be in range [0, INT64_MAX/1000000].",
                id="deviation-negative",
            ),
            pytest.param(
                options(deviation_cell_version_in_sec=2**63 // 1_000_000 + 1),
                "The maximum deviation must be in range [0, INT64_MAX/1000000].",
                id="deviation-too-large",
            ),
        ],
    )
    def test_refuses_bad_options(self, client, table_options, message):
        refuse(client, "CreateTable", create_request(table_options=table_options), message)
        assert client.list_table() == ()

    def test_refuses_missing_options(self, client):
        message = re.compile(r"(Time-to-live|MaxVersions) is missing while creating table\.")
        refuse(client, "CreateTable", create_request(table_options=None), message)

    def test_refuses_a_ttl_under_a_day(self, client):
        with service_error(INVALID):
            create(client, options=TableOptions(time_to_live=86399))
        create(client, options=TableOptions(time_to_live=86400))

    def test_accepts_a_table_without_allow_update_field(self, client):
        accept(client, "CreateTable", create_request())
        assert client.describe_table("t").table_options.allow_update is True

    def test_pre_split_points(self, client):
        meta = TableMeta("t", [("pk", "INTEGER")])
        client._create_table_ex(
            meta, TableOptions(), ReservedThroughput(CapacityUnit(0, 0)), split_points=list(range(9))
        )
        request = accept(client, "DescribeTable", pb.DescribeTableRequest(table_name="t"))
        splits = pb.DescribeTableResponse.FromString(request).shard_splits
        assert len(splits) == 9
        put(client, "t", -5)
        assert get(client, "t", -5) == {}

    def test_refuses_more_than_ten_partitions(self, client):
        meta = TableMeta("t", [("pk", "INTEGER")])
        with service_error(INVALID, "The count of partitions cannot be greater than 10"):
            client._create_table_ex(
                meta, TableOptions(), ReservedThroughput(CapacityUnit(0, 0)), split_points=list(range(10))
            )

    @pytest.mark.parametrize("point", [-(2**63), 2**63 - 1])
    def test_refuses_extreme_split_points(self, client, point):
        request = create_request()
        request.table_meta.primary_key[0].type = pb.INTEGER
        for begin, end in ((INF_MIN, point), (point, INF_MAX)):
            request.partitions.add(
                begin=bytes(PlainBufferBuilder.serialize_primary_key_value_without_length_prefix(begin)),
                end=bytes(PlainBufferBuilder.serialize_primary_key_value_without_length_prefix(end)),
            )
        refuse(client, "CreateTable", request, "The value of partition range can not be INT64_MIN or INT64_MAX.")


class TestDescribe:
    def test_echoes_the_defaults(self, client):
        create(client)
        found = client.describe_table("t")
        assert found.table_meta.table_name == "t"
        assert found.table_meta.defined_columns == []
        assert vars(found.table_options) == {
            "time_to_live": -1,
            "max_version": 1,
            "max_time_deviation": 86400,
            "allow_update": True,
        }
        assert vars(found.reserved_throughput_details.capacity_unit) == {"read": 0, "write": 0}
        assert found.sse_details.enable is False
        assert found.secondary_indexes == []
        assert found.request_id

    def test_echoes_what_was_given(self, client):
        defined = [("s", "STRING"), ("i", "INTEGER"), ("d", "DOUBLE"), ("b", "BOOLEAN"), ("x", "BINARY")]
        wanted = TableOptions(time_to_live=100_000, max_version=3, max_time_deviation=1000, allow_update=False)
        create(client, defined=defined, options=wanted)
        found = client.describe_table("t")
        assert found.table_meta.defined_columns == defined
        assert vars(found.table_options) == vars(wanted)

    def test_tells_when_throughput_was_last_raised(self, client):
        before = int(time.time())
        create(client)
        details = client.describe_table("t").reserved_throughput_details
        assert before - 1 <= details.last_increase_time <= time.time() + 1

    def test_lists_indexes(self, client):
        indexes = [
            SecondaryIndexMeta("g", ["a", "pk"], ["b"], SecondaryIndexType.GLOBAL_INDEX),
            SecondaryIndexMeta("l", ["pk", "b"], [], SecondaryIndexType.LOCAL_INDEX),
        ]
        create(client, defined=[("a", "STRING"), ("b", "INTEGER")], indexes=indexes)
        found = {index.index_name: index for index in client.describe_table("t").secondary_indexes}
        assert set(found) == {"g", "l"}
        assert found["g"].primary_key_names == ["a", "pk"]
        assert found["g"].defined_column_names == ["b"]
        assert found["g"].index_type == SecondaryIndexType.GLOBAL_INDEX
        assert found["l"].index_type == SecondaryIndexType.LOCAL_INDEX

    def test_echoes_throughput(self, client):
        create(client, throughput=(3, 2))
        assert vars(client.describe_table("t").reserved_throughput_details.capacity_unit) == {"read": 3, "write": 2}
        answer = client.update_table("t", reserved_throughput=ReservedThroughput(CapacityUnit(5, None)))
        assert vars(answer.reserved_throughput_details.capacity_unit) == {"read": 5, "write": 2}
        assert vars(client.describe_table("t").reserved_throughput_details.capacity_unit) == {"read": 5, "write": 2}

    def test_echoes_encryption(self, client):
        encrypted = SSESpecification(True, SSEKeyType.SSE_KMS_SERVICE)
        meta, throughput = TableMeta("t", [("pk", "STRING")]), ReservedThroughput(CapacityUnit(0, 0))
        client.create_table(meta, TableOptions(), throughput, sse_spec=encrypted)
        found = client.describe_table("t").sse_details
        assert (found.enable, found.key_type) == (True, SSEKeyType.SSE_KMS_SERVICE)

    def test_echoes_a_stream(self, client):
        request = create_request(stream_spec=pb.StreamSpecification(enable_stream=True, expiration_time=24))
        accept(client, "CreateTable", request)
        body = accept(client, "DescribeTable", pb.DescribeTableRequest(table_name="t"))
        stream = pb.DescribeTableResponse.FromString(body).stream_details
        assert (stream.enable_stream, stream.expiration_time) == (True, 24)


class TestMissing:
    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda client: client.describe_table("t"), id="DescribeTable"),
            pytest.param(lambda client: client.delete_table("t"), id="DeleteTable"),
            pytest.param(lambda client: client.update_table("t", TableOptions(-1, 1, 1)), id="UpdateTable"),
        ],
    )
    def test_table(self, client, call):
        with service_error("OTSObjectNotExist", NO_TABLE):
            call(client)


class TestList:
    def test_is_empty_at_first(self, client):
        assert client.list_table() == ()

    def test_holds_tables_and_their_indexes(self, client):
        create(client, "b", defined=[("a", "STRING")], indexes=[SecondaryIndexMeta("c", ["a"], [])])
        create(client, "a")
        assert client.list_table() == ("a", "b", "c")

    def test_instances_are_apart(self, client, open_client, instance_name):
        create(client)
        put(client, "t", "a", {"x": 1})
        other = open_client(instance=f"{instance_name}o")
        assert other.list_table() == ()
        create(other)
        assert get(other, "t", "a") is None


class TestUpdate:
    def test_changes_only_what_is_given(self, client):
        create(client, options=TableOptions(time_to_live=100_000, max_version=2, max_time_deviation=500))
        given = pb.UpdateTableRequest(table_name="t", table_options=pb.TableOptions(max_versions=5))
        answer = pb.UpdateTableResponse.FromString(accept(client, "UpdateTable", given))
        assert answer.table_options.max_versions == 5
        assert answer.table_options.time_to_live == 100_000
        assert answer.table_options.deviation_cell_version_in_sec == 500
        found = client.describe_table("t").table_options
        assert (found.time_to_live, found.max_version, found.max_time_deviation) == (100_000, 5, 500)

    def test_returns_the_new_options_and_throughput(self, client):
        create(client)
        answer = client.update_table("t", TableOptions(200_000, 4, 60, False))
        assert vars(answer.table_options) == {
            "time_to_live": 200_000,
            "max_version": 4,
            "max_time_deviation": 60,
            "allow_update": False,
        }
        assert vars(answer.reserved_throughput_details.capacity_unit) == {"read": 0, "write": 0}

    def test_refuses_empty_options(self, client):
        create(client)
        request = pb.UpdateTableRequest(table_name="t", table_options=pb.TableOptions())
        refuse(client, "UpdateTable", request, "No parameter is specified in table options.")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"time_to_live": 0}, "TimeToLive cannot be 0 or less than -1."),
            ({"time_to_live": -2}, "TimeToLive cannot be 0 or less than -1."),
            ({"max_versions": 0}, re.compile(r"The maximum versions cannot be less than or equal to 0\.?")),
            (
                {"deviation_cell_version_in_sec": -1},
                "The maximum deviation must be in range [0, INT64_MAX/1000000].",
            ),
        ],
        ids=["ttl-zero", "ttl-negative", "versions", "deviation"],
    )
    def test_refuses_bad_options(self, client, changes, message):
        create(client)
        request = pb.UpdateTableRequest(table_name="t", table_options=pb.TableOptions(**changes))
        refuse(client, "UpdateTable", request, message)
        assert vars(client.describe_table("t").table_options) == vars(TableOptions(-1, 1, 86400, True))

    def test_refuses_more_versions_where_there_is_an_index(self, client):
        create(client, defined=[("a", "STRING")], indexes=[SecondaryIndexMeta("i", ["a"], [])])
        request = pb.UpdateTableRequest(table_name="t", table_options=pb.TableOptions(max_versions=2))
        refuse(client, "UpdateTable", request, ANY)
        assert client.describe_table("t").table_options.max_version == 1

    @pytest.mark.parametrize("unit", [(-1, None), (None, -1)], ids=["read", "write"])
    def test_refuses_negative_throughput(self, client, unit):
        create(client)
        with service_error(INVALID):
            client.update_table("t", reserved_throughput=ReservedThroughput(CapacityUnit(*unit)))


class TestAllowUpdate:
    MESSAGE = "Update operation is not allowed in this table"

    def test_forbids_update_row(self, client):
        create(client, options=TableOptions(allow_update=False))
        put(client, "t", "a", {"x": 1})
        with service_error(INVALID, re.compile(re.escape(self.MESSAGE) + r"\.?")):
            update(client, "t", "a", {"put": [("x", 2)]})
        put(client, "t", "a", {"x": 3})
        assert get(client, "t", "a") == {"x": 3}

    def test_can_be_switched(self, client):
        create(client)
        client.update_table("t", TableOptions(-1, 1, 86400, False))
        with service_error(INVALID):
            update(client, "t", "a", {"put": [("x", 2)]})
        client.update_table("t", TableOptions(-1, 1, 86400, True))
        update(client, "t", "a", {"put": [("x", 2)]})
        assert get(client, "t", "a") == {"x": 2}


class TestDelete:
    def test_takes_rows_along(self, client):
        create(client)
        put(client, "t", "a", {"x": 1})
        client.delete_table("t")
        assert client.list_table() == ()
        create(client)
        assert get(client, "t", "a") is None

    def test_takes_indexes_along(self, client):
        create(client, defined=[("a", "STRING")], indexes=[SecondaryIndexMeta("i", ["a"], [])])
        put(client, "t", "k", {"a": "v"})
        client.delete_table("t")
        assert client.list_table() == ()
        create(client, "i")
        assert get(client, "i", "k") is None

    def test_leaves_other_tables(self, client):
        create(client, "t")
        create(client, "t2")
        put(client, "t2", "a", {"x": 1})
        client.delete_table("t")
        assert client.list_table() == ("t2",)
        assert get(client, "t2", "a") == {"x": 1}
