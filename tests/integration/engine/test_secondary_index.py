"""Secondary indexes: what they hold, how they are kept, created and dropped."""

from __future__ import annotations

import re
import time

import pytest
from tablestore import (
    INF_MIN,
    SecondaryIndexMeta,
    SecondaryIndexType,
    SingleColumnCondition,
    TableOptions,
)
from tablestore.protobuf import table_store_pb2 as pb

from .support import (
    INVALID,
    allow,
    create,
    delete,
    delete_item,
    every,
    fetch,
    get,
    page,
    plain_key,
    put,
    put_item,
    read,
    refuse,
    service_error,
    update,
    update_item,
    values,
    write,
)

GLOBAL, LOCAL = SecondaryIndexType.GLOBAL_INDEX, SecondaryIndexType.LOCAL_INDEX
KEY = [("user", "STRING"), ("id", "INTEGER")]
DEFINED = [
    ("time", "INTEGER"),
    ("title", "STRING"),
    ("blob", "BINARY"),
    ("flag", "BOOLEAN"),
    ("score", "DOUBLE"),
]


def index(name="i", keys=("time",), columns=(), kind=GLOBAL):
    return SecondaryIndexMeta(name, list(keys), list(columns), kind)


def key(user="u", number=1):
    return [("user", user), ("id", number)]


def settle(check, timeout=2.0):
    """A global index follows its table within moments; a local one at once."""
    deadline = time.monotonic() + timeout
    while not check() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert check()


def entries(client, name="i", keys=("time", "user", "id")):
    return [(plain_key(row.primary_key), values(row)) for row in every(client, name, keys).rows]


def eventually(client, expected, name="i", keys=("time", "user", "id")):
    settle(lambda: entries(client, name, keys) == expected)


@pytest.fixture
def indexed(client):
    """A table with a global index on time that carries the title."""
    create(client, key=KEY, defined=DEFINED, indexes=[index(columns=["title"])])
    return client


class TestContent:
    def test_keys_are_completed_with_the_tables(self, indexed):
        put(indexed, "t", key(), {"time": 5, "title": "hi", "blob": bytearray(b"x"), "other": 1})
        eventually(indexed, [((5, "u", 1), {"title": "hi"})])

    def test_a_listed_table_key_keeps_its_place(self, client):
        create(client, key=KEY, defined=DEFINED, indexes=[index(keys=["id", "time"])])
        put(client, "t", key(number=7), {"time": 5})
        eventually(client, [((7, 5, "u"), {})], keys=("id", "time", "user"))

    @pytest.mark.parametrize(
        ("column", "value"),
        [("time", -3), ("title", "t"), ("blob", bytearray(b"\x00\xff"))],
        ids=lambda v: str(v)[:5],
    )
    def test_any_key_type(self, client, column, value):
        create(client, key=KEY, defined=DEFINED, indexes=[index(keys=[column])])
        put(client, "t", key(), {column: value})
        found = bytes(value) if isinstance(value, bytearray) else value
        eventually(client, [((found, "u", 1), {})], keys=(column, "user", "id"))

    @pytest.mark.parametrize(("column", "value"), [("flag", True), ("score", 1.5), ("blob", bytearray(b"b"))])
    def test_any_attribute_type(self, client, column, value):
        create(client, key=KEY, defined=DEFINED, indexes=[index(columns=[column])])
        put(client, "t", key(), {"time": 1, column: value})
        eventually(client, [((1, "u", 1), {column: value})])

    def test_sorts_by_its_own_key(self, indexed):
        for number, stamp in enumerate([5, -1, 3, 3]):
            put(indexed, "t", key(number=number), {"time": stamp})
        eventually(indexed, [((-1, "u", 1), {}), ((3, "u", 2), {}), ((3, "u", 3), {}), ((5, "u", 0), {})])

    @pytest.mark.parametrize(
        "columns", [{"title": "no time"}, {}, {"other": 1}], ids=["other-column", "none", "undefined"]
    )
    def test_rows_lacking_a_key_column_are_left_out(self, indexed, columns):
        put(indexed, "t", key(number=1), columns)
        put(indexed, "t", key(number=2), {"time": 1})
        eventually(indexed, [((1, "u", 2), {})])

    def test_rows_lacking_one_of_two_key_columns_are_left_out(self, client):
        create(client, key=KEY, defined=DEFINED, indexes=[index(keys=["time", "title"])])
        put(client, "t", key(number=1), {"time": 1})
        put(client, "t", key(number=2), {"title": "a"})
        put(client, "t", key(number=3), {"time": 1, "title": "a"})
        eventually(client, [((1, "a", "u", 3), {})], keys=("time", "title", "user", "id"))

    def test_rows_whose_value_has_another_type_are_left_out_or_refused(self, indexed):
        from tablestore import OTSServiceError

        try:
            put(indexed, "t", key(number=1), {"time": "text"})
        except OTSServiceError as error:
            allow(error, INVALID)
            assert fetch(indexed, "t", key(number=1)) is None
        put(indexed, "t", key(number=2), {"time": 1})
        eventually(indexed, [((1, "u", 2), {})])


class TestUpkeep:
    """The same writes against a global and a local index."""

    @pytest.fixture(params=[GLOBAL, LOCAL], ids=["global", "local"])
    def kept(self, request, client):
        keys = ["time"] if request.param == GLOBAL else ["user", "time"]
        create(
            client,
            key=KEY,
            defined=DEFINED,
            indexes=[index(keys=keys, columns=["title"], kind=request.param)],
        )
        names = ("time", "user", "id") if request.param == GLOBAL else ("user", "time", "id")

        def check(expected):
            """Expected rows as {(time, id): title}."""

            def found():
                rows = every(client, "i", names).rows
                return {
                    (dict(row.primary_key)["time"], dict(row.primary_key)["id"]): values(row).get("title")
                    for row in rows
                }

            if request.param == GLOBAL:
                settle(lambda: found() == expected)
            assert found() == expected

        return client, check

    def test_put_replaces(self, kept):
        client, check = kept
        put(client, "t", key(), {"time": 1, "title": "a"})
        check({(1, 1): "a"})
        put(client, "t", key(), {"time": 2, "title": "b"})
        check({(2, 1): "b"})
        put(client, "t", key(), {"title": "c"})
        check({})
        put(client, "t", key(), {"time": 3})
        check({(3, 1): None})

    def test_update_moves(self, kept):
        client, check = kept
        update(client, "t", key(), {"put": [("time", 1), ("title", "a")]})
        check({(1, 1): "a"})
        update(client, "t", key(), {"put": [("time", 2)]})
        check({(2, 1): "a"})
        update(client, "t", key(), {"put": [("title", "b")]})
        check({(2, 1): "b"})
        update(client, "t", key(), {"put": [("other", 1)]})
        check({(2, 1): "b"})
        update(client, "t", key(), {"increment": [("time", 5)]})
        check({(7, 1): "b"})
        update(client, "t", key(), {"delete_all": ["title"]})
        check({(7, 1): None})
        update(client, "t", key(), {"delete_all": ["time"]})
        check({})

    def test_delete_removes(self, kept):
        client, check = kept
        put(client, "t", key(number=1), {"time": 1})
        put(client, "t", key(number=2), {"time": 1})
        delete(client, "t", key(number=1))
        check({(1, 2): None})

    def test_batches(self, kept):
        client, check = kept
        put(client, "t", key(number=1), {"time": 1, "title": "a"})
        put(client, "t", key(number=2), {"time": 2, "title": "b"})
        write(
            client,
            {
                "t": [
                    put_item(key(number=3), {"time": 3, "title": "c"}),
                    update_item(key(number=1), {"put": [("time", 9)]}),
                    delete_item(key(number=2)),
                ]
            },
        )
        check({(9, 1): "a", (3, 3): "c"})

    def test_a_failed_write_changes_nothing(self, kept):
        from .support import EXPECT_NOT_EXIST

        client, check = kept
        put(client, "t", key(), {"time": 1})
        with service_error("OTSConditionCheckFail"):
            put(client, "t", key(), {"time": 2}, EXPECT_NOT_EXIST)
        check({(1, 1): None})

    def test_the_same_row_many_times(self, kept):
        client, check = kept
        for stamp in range(20):
            put(client, "t", key(), {"time": stamp % 3, "title": str(stamp)})
        check({(19 % 3, 1): "19"})


class TestReads:
    @pytest.fixture
    def filled(self, indexed):
        for number in range(6):
            put(indexed, "t", key("u" if number % 2 else "v", number), {"time": number, "title": f"t{number}"})
        settle(lambda: len(entries(indexed)) == 6)
        return indexed

    def test_one_row(self, filled):
        found = fetch(filled, "i", [("time", 3), ("user", "u"), ("id", 3)])
        assert values(found) == {"title": "t3"}
        assert fetch(filled, "i", [("time", 3), ("user", "v"), ("id", 3)]) is None

    def test_many_rows(self, filled):
        keys = [[("time", n), ("user", "u" if n % 2 else "v"), ("id", n)] for n in (4, 0)]
        assert [values(item.row) for item in read(filled, "i", keys)] == [{"title": "t4"}, {"title": "t0"}]

    def test_ranges_with_pages_both_ways(self, filled):
        low = [("time", 1), ("user", INF_MIN), ("id", INF_MIN)]
        high = [("time", 5), ("user", INF_MIN), ("id", INF_MIN)]
        first = page(filled, "i", low, high, limit=3)
        assert [k[0] for k in first.keys] == [1, 2, 3]
        assert first.next_key == [("time", 4), ("user", "v"), ("id", 4)]
        assert [k[0] for k in page(filled, "i", first.next_key, high).keys] == [4]
        backward = page(filled, "i", high, low, "BACKWARD", limit=2)
        assert [k[0] for k in backward.keys] == [4, 3]

    def test_filters_and_columns(self, filled):
        wanted = SingleColumnCondition("title", "t4", 0, pass_if_missing=False)
        assert [k[0] for k in every(filled, "i", ("time", "user", "id"), column_filter=wanted).keys] == [4]
        not_carried = SingleColumnCondition("blob", bytearray(b""), 1, pass_if_missing=False)
        assert every(filled, "i", ("time", "user", "id"), column_filter=not_carried).rows == []
        assert every(filled, "i", ("time", "user", "id"), columns_to_get=["blob"]).rows == []
        by_key = SingleColumnCondition("user", "u", 0, pass_if_missing=False)
        assert [k[0] for k in every(filled, "i", ("time", "user", "id"), column_filter=by_key).keys] == [
            1,
            3,
            5,
        ]

    def test_key_errors_speak_of_the_index(self, filled):
        with service_error("OTSInvalidPK", "Validate PK size fail. Input: 1, Meta: 3."):
            fetch(filled, "i", [("time", 1)])
        with service_error("OTSInvalidPK", "Validate PK name fail. Input: user, Meta: time."):
            fetch(filled, "i", [("user", "u"), ("time", 1), ("id", 1)])


class TestWritesRefused:
    MESSAGE = re.compile(r"Can't write index table directly\.?")

    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda client, k: put(client, "i", k, {"title": "x"}), id="PutRow"),
            pytest.param(lambda client, k: update(client, "i", k, {"put": [("title", "x")]}), id="UpdateRow"),
            pytest.param(lambda client, k: delete(client, "i", k), id="DeleteRow"),
        ],
    )
    def test_rows(self, indexed, call):
        put(indexed, "t", key(), {"time": 1, "title": "a"})
        eventually(indexed, [((1, "u", 1), {"title": "a"})])
        with service_error(INVALID, self.MESSAGE):
            call(indexed, [("time", 1), ("user", "u"), ("id", 1)])
        assert entries(indexed) == [((1, "u", 1), {"title": "a"})]


class TestCreate:
    @pytest.mark.parametrize("include", [True, False], ids=["with-base-data", "without"])
    @pytest.mark.parametrize("kind", [GLOBAL, LOCAL], ids=["global", "local"])
    def test_on_a_table_with_rows(self, client, include, kind):
        create(client, key=KEY, defined=DEFINED)
        for number in range(3):
            put(client, "t", key(number=number), {"time": number, "title": str(number)})
        keys = ["time"] if kind == GLOBAL else ["user", "time"]
        names = ("time", "user", "id") if kind == GLOBAL else ("user", "time", "id")
        client.create_secondary_index("t", index(keys=keys, columns=["title"], kind=kind), include)
        put(client, "t", key(number=9), {"time": 9, "title": "9"})
        expected = ["0", "1", "2", "9"] if include else ["9"]
        settle(lambda: [v["title"] for _, v in entries(client, "i", names)] == expected)
        update(client, "t", key(number=1), {"put": [("title", "new")]})
        delete(client, "t", key(number=9))
        settle(lambda: "9" not in [v["title"] for _, v in entries(client, "i", names)])

    def test_appears_in_lists(self, client):
        create(client, key=KEY, defined=DEFINED)
        client.create_secondary_index("t", index(columns=["title"]), False)
        assert client.list_table() == ("i", "t")
        (found,) = client.describe_table("t").secondary_indexes
        assert (found.index_name, found.defined_column_names, found.index_type) == ("i", ["title"], GLOBAL)

    def test_of_a_missing_table(self, client):
        with service_error("OTSObjectNotExist", "Requested table does not exist."):
            client.create_secondary_index("t", index(), False)

    @pytest.mark.parametrize("name", ["i", "t"], ids=["index", "table"])
    def test_under_a_name_in_use(self, client, name):
        create(client, key=KEY, defined=DEFINED, indexes=[index()])
        with service_error("OTSObjectAlreadyExist"):
            client.create_secondary_index("t", index(name, ["title"]), False)
        assert len(client.describe_table("t").secondary_indexes) == 1

    @pytest.mark.parametrize(
        "meta",
        [
            pytest.param(index(keys=["unknown"]), id="unknown-key-column"),
            pytest.param(index(columns=["unknown"]), id="unknown-attribute"),
            pytest.param(index(keys=[]), id="no-key"),
            pytest.param(index(keys=["flag"]), id="boolean-key"),
            pytest.param(index(keys=["score"]), id="double-key"),
            pytest.param(index("0bad"), id="name"),
            pytest.param(index(keys=["time"], kind=LOCAL), id="local-without-partition-key"),
            pytest.param(index(keys=["id", "user"], kind=LOCAL), id="local-with-another-first-key"),
        ],
    )
    @pytest.mark.parametrize("moment", ["with-table", "later"])
    def test_refused(self, client, meta, moment):
        if moment == "with-table":
            with service_error(INVALID):
                create(client, key=KEY, defined=DEFINED, indexes=[meta])
            assert client.list_table() == ()
        else:
            create(client, key=KEY, defined=DEFINED)
            with service_error(INVALID):
                client.create_secondary_index("t", meta, False)
            assert client.describe_table("t").secondary_indexes == []

    @pytest.mark.parametrize("column", ["flag", "score"])
    def test_key_types(self, client, column):
        create(client, key=KEY, defined=DEFINED)
        with service_error(INVALID, "Invalid column type, only STRING,INTEGER,BINARY is allowed."):
            client.create_secondary_index("t", index(keys=[column]), False)

    def test_of_an_index(self, client):
        create(client, key=KEY, defined=DEFINED, indexes=[index()])
        from tablestore import OTSServiceError

        with pytest.raises(OTSServiceError):
            client.create_secondary_index("i", index("j", ["user"]), False)

    def test_not_with_several_versions(self, client):
        create(client, key=KEY, defined=DEFINED, options=TableOptions(max_version=2))
        with service_error(INVALID):
            client.create_secondary_index("t", index(), False)


class TestDrop:
    def test_removes_it(self, indexed):
        put(indexed, "t", key(), {"time": 1})
        indexed.delete_secondary_index("t", "i")
        assert indexed.list_table() == ("t",)
        assert indexed.describe_table("t").secondary_indexes == []
        with service_error(INVALID, re.compile(r"Request table not exist\.?")):
            every(indexed, "i", ("time", "user", "id"))
        assert get(indexed, "t", key()) == {"time": 1}

    def test_frees_its_name(self, indexed):
        put(indexed, "t", key(), {"time": 1})
        indexed.delete_secondary_index("t", "i")
        indexed.create_secondary_index("t", index(keys=["title"]), False)
        assert every(indexed, "i", ("title", "user", "id")).rows == []

    def test_of_a_missing_one(self, client):
        create(client, key=KEY, defined=DEFINED)
        from tablestore import OTSServiceError

        with pytest.raises(OTSServiceError) as caught:
            client.delete_secondary_index("t", "i")
        assert caught.value.http_status in {400, 404}

    def test_an_index_is_not_deleted_as_a_table(self, indexed):
        from tablestore import OTSServiceError

        with pytest.raises(OTSServiceError):
            indexed.delete_table("i")
        assert indexed.list_table() == ("i", "t")


class TestLimits:
    COLUMNS = tuple((f"d{number}", "STRING") for number in range(32))

    @pytest.mark.parametrize("moment", ["with-table", "later"])
    def test_five_per_table(self, client, moment):
        indexes = [index(f"i{number}", [f"d{number}"]) for number in range(6)]
        message = "Number of index per table exceeds the quota:5."
        if moment == "with-table":
            with service_error(INVALID, message):
                create(client, defined=self.COLUMNS, indexes=indexes)
            assert client.list_table() == ()
        else:
            create(client, defined=self.COLUMNS, indexes=indexes[:5])
            with service_error(INVALID, message):
                client.create_secondary_index("t", indexes[5], False)
            assert len(client.describe_table("t").secondary_indexes) == 5

    @pytest.mark.parametrize(
        "keys", [["d0", "d1", "d2", "d3"], ["d0", "d1", "d2", "d3", "pk"]], ids=["added", "listed"]
    )
    def test_four_keys_with_the_tables_own(self, client, keys):
        create(client, defined=self.COLUMNS)
        with service_error(INVALID, "The number of primary key columns must be in range: [1, 4] in index."):
            client.create_secondary_index("t", index(keys=keys), False)
        client.create_secondary_index("t", index(keys=["d0", "d1", "d2"]), False)

    def test_thirty_two_attributes(self, client):
        create(client, defined=self.COLUMNS)
        meta = pb.IndexMeta(
            name="i",
            primary_key=["pk"],
            defined_column=[f"d{number % 32}" for number in range(33)],
            index_type=pb.IT_GLOBAL_INDEX,
            index_update_mode=pb.IUM_ASYNC_INDEX,
        )
        refuse(
            client,
            "CreateIndex",
            pb.CreateIndexRequest(main_table_name="t", index_meta=meta),
            "The number of attribute columns must be in range: [0, 32] in index.",
        )
