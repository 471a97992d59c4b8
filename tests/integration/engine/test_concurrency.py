"""Many threads on one client, many tasks on one loop, several processes on one folder."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from tablestore import (
    PK_AUTO_INCR,
    CapacityUnit,
    Condition,
    NoRetryPolicy,
    OTSServiceError,
    ReservedThroughput,
    Row,
    SecondaryIndexMeta,
    SecondaryIndexType,
    SingleColumnCondition,
    TableMeta,
    TableOptions,
)

from langchain_tablestore_memory.local import Tablestore, async_ots_client, ots_client

from .support import (
    EXPECT_NOT_EXIST,
    allow,
    create,
    every,
    get,
    put,
    put_item,
    service_error,
    update,
    values,
    write,
)

WORKERS = Path(__file__).with_name("workers.py")


def together(count, work):
    """Runs ``work(number)`` in this many threads that start at once; returns the results."""
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


class TestThreads:
    def test_no_increment_is_lost(self, client):
        create(client)
        together(8, lambda n: [update(client, "t", "a", {"increment": [("n", 1)]}) for _ in range(25)])
        assert get(client, "t", "a") == {"n": 200}

    def test_of_many_inserts_one_wins(self, client):
        create(client)

        def insert(number):
            won = 0
            for row in range(10):
                try:
                    put(client, "t", str(row), {"by": number}, EXPECT_NOT_EXIST)
                    won += 1
                except OTSServiceError as error:
                    allow(error, "OTSConditionCheckFail")
            return won

        assert sum(together(8, insert)) == 10

    def test_compare_and_set(self, client):
        create(client)
        put(client, "t", "a", {"n": 0})

        def add(_):
            for _ in range(10):
                while True:
                    seen = get(client, "t", "a")["n"]
                    guard = Condition("EXPECT_EXIST", SingleColumnCondition("n", seen, 0))
                    try:
                        update(client, "t", "a", {"put": [("n", seen + 1)]}, guard)
                    except OTSServiceError as error:
                        allow(error, "OTSConditionCheckFail")
                    else:
                        break

        together(4, add)
        assert get(client, "t", "a") == {"n": 40}

    def test_rows_are_read_whole(self, client):
        """A reader sees both columns of a write or neither, in the row and in its index."""
        create(
            client,
            key=[("p", "STRING"), ("n", "INTEGER")],
            defined=[("x", "INTEGER"), ("y", "INTEGER")],
            indexes=[SecondaryIndexMeta("i", ["p", "x"], ["y"], SecondaryIndexType.LOCAL_INDEX)],
        )
        key = [("p", "a"), ("n", 1)]
        put(client, "t", key, {"x": 0, "y": 0})
        done = threading.Event()

        def work(number):
            if number == 0:
                for value in range(100):
                    put(client, "t", key, {"x": value, "y": value})
                done.set()
                return
            while not done.is_set():
                found = get(client, "t", key)
                assert found["x"] == found["y"]
                (row,) = every(client, "i", ("p", "x", "n")).rows
                assert values(row)["y"] == row.primary_key[1][1]

        together(3, work)

    def test_batches_and_tables_at_once(self, client):
        def work(number):
            table = f"t{number}"
            create(client, table)
            assert write(client, {table: [put_item(str(n), {"x": n}) for n in range(100)]}).is_all_succeed()
            return len(every(client, table).rows)

        assert together(6, work) == [100] * 6
        assert len(client.list_table()) == 6

    def test_of_many_creations_one_wins(self, client):
        def work(_):
            try:
                create(client)
            except OTSServiceError as error:
                allow(error, "OTSObjectAlreadyExist")
                return 0
            return 1

        assert sum(together(6, work)) == 1


class TestTasks:
    async def test_no_increment_is_lost(self, async_client):
        await create_async(async_client)
        row = Row([("pk", "a")], {"increment": [("n", 1)]})
        await asyncio.gather(*(async_client.update_row("t", row, Condition("IGNORE")) for _ in range(60)))
        _, found, _ = await async_client.get_row("t", [("pk", "a")])
        assert values(found) == {"n": 60}

    async def test_the_loop_is_not_blocked(self, async_client):
        await create_async(async_client)
        with blockbuster_ctx():
            for number in range(5):
                await async_client.put_row("t", Row([("pk", str(number))], [("x", number)]))
            _, found, _ = await async_client.get_row("t", [("pk", "3")])
        assert values(found) == {"x": 3}

    async def test_errors_arrive(self, async_client):
        with service_error("OTSObjectNotExist", "Requested table does not exist."):
            await async_client.describe_table("t")

    def test_in_process_client_outlives_its_loop(self):
        service = Tablestore(None)
        found = async_ots_client(service, retry_policy=NoRetryPolicy())
        asyncio.run(create_async(found))
        for number in range(3):
            asyncio.run(found.put_row("t", Row([("pk", str(number))], [("x", number)])))
        assert every(ots_client(service), "t").keys == ["0", "1", "2"]
        asyncio.run(found.close())
        service.close()


async def create_async(client):
    meta, throughput = TableMeta("t", [("pk", "STRING")]), ReservedThroughput(CapacityUnit(0, 0))
    await client.create_table(meta, TableOptions(), throughput)


def open_folder(folder):
    service = Tablestore(folder)
    return service, ots_client(service, retry_policy=NoRetryPolicy())


def start(task, folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(WORKERS), task, str(folder), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outputs(processes):
    # All have ended before the first is judged: a process left behind would trouble the tests that follow.
    ended = [(*process.communicate(timeout=60), process.returncode) for process in processes]
    for _, err, status in ended:
        assert status == 0, err
    return [out for out, _, _ in ended]


class TestFolders:
    """Two services on one folder, as two processes would have."""

    @pytest.fixture
    def pair(self, tmp_path):
        opened = [open_folder(tmp_path) for _ in range(2)]
        yield [client for _, client in opened]
        for service, _ in opened:
            service.close()

    def test_see_each_others_rows(self, pair):
        one, other = pair
        create(one)
        put(one, "t", "a", {"x": 1})
        assert get(other, "t", "a") == {"x": 1}
        update(other, "t", "a", {"increment": [("x", 1)]})
        assert get(one, "t", "a") == {"x": 2}

    def test_see_each_others_tables(self, pair):
        one, other = pair
        create(one)
        put(other, "t", "a", {"x": 1})
        one.delete_table("t")
        with service_error("OTSObjectNotExist"):
            put(other, "t", "a", {"x": 1})
        create(one, key=[("pk", "INTEGER")])
        put(other, "t", [("pk", 1)], {"x": 1})
        with service_error("OTSInvalidPK"):
            put(other, "t", "a", {"x": 1})

    def test_keep_each_others_indexes(self, pair):
        one, other = pair
        create(one, defined=[("x", "INTEGER")])
        put(other, "t", "a", {"x": 1})
        one.create_secondary_index("t", SecondaryIndexMeta("i", ["x"], []), True)
        put(other, "t", "b", {"x": 2})
        update(other, "t", "a", {"put": [("x", 3)]})
        assert every(one, "i", ("x", "pk")).keys == [(2, "b"), (3, "a")]
        one.delete_secondary_index("t", "i")
        put(other, "t", "c", {"x": 4})
        with service_error("OTSParameterInvalid"):
            every(other, "i", ("x", "pk"))

    def test_obey_each_others_options(self, pair):
        one, other = pair
        create(one)
        put(other, "t", "a", {"x": 1})
        one.update_table("t", TableOptions(-1, 1, 86400, False))
        with service_error("OTSParameterInvalid"):
            update(other, "t", "a", {"put": [("x", 2)]})

    def test_obey_each_others_transactions(self, pair):
        one, other = pair
        create(one)
        put(one, "t", "a", {"x": 0})
        identifier = one.start_local_transaction("t", [("pk", "a")])
        put(one, "t", "a", {"x": 1}, transaction_id=identifier)
        with service_error("OTSRowOperationConflict"):
            put(other, "t", "a", {"x": 2})
        with service_error("OTSRowOperationConflict"):
            other.start_local_transaction("t", [("pk", "a")])
        assert get(other, "t", "a") == {"x": 0}
        one.commit_transaction(identifier)
        assert get(other, "t", "a") == {"x": 1}
        put(other, "t", "a", {"x": 2})

    def test_number_rows_apart(self, pair):
        create(pair[0], key=[("p", "STRING"), ("n", "INTEGER", PK_AUTO_INCR)])
        for number in range(10):
            put(pair[number % 2], "t", [("p", "a"), ("n", PK_AUTO_INCR)], {"x": number})
        rows = every(pair[0], "t", "pn").rows
        assert [values(row)["x"] for row in rows] == list(range(10))

    def test_reopening_finds_everything(self, tmp_path):
        service, client = open_folder(tmp_path)
        create(client, defined=[("x", "INTEGER")], indexes=[SecondaryIndexMeta("i", ["x"], [])])
        put(client, "t", "a", {"x": 1})
        service.close()
        service, client = open_folder(tmp_path)
        assert get(client, "t", "a") == {"x": 1}
        assert every(client, "i", ("x", "pk")).keys == [(1, "a")]
        assert client.list_table() == ("i", "t")
        service.close()

    def test_instances_are_files_of_their_own(self, tmp_path):
        service = Tablestore(tmp_path)
        for name in ("one", "two"):
            create(ots_client(service, name), name)
        service.close()
        assert {path.name for path in tmp_path.glob("*.sqlite3")} == {"one.sqlite3", "two.sqlite3"}


@pytest.mark.slow
class TestProcesses:
    def test_no_update_is_lost(self, tmp_path):
        service, client = open_folder(tmp_path)
        create(client)
        put(client, "t", "counter")
        outputs([start("increment", tmp_path, 60) for _ in range(3)])
        assert get(client, "t", "counter") == {"n": 180, "cas": 180}
        service.close()

    def test_of_many_inserts_one_wins(self, tmp_path):
        service, client = open_folder(tmp_path)
        create(client, defined=[("time", "INTEGER")], indexes=[SecondaryIndexMeta("i", ["time"], [])])
        found = outputs([start("insert", tmp_path, name, 50) for name in ("a", "b", "c")])
        assert sum(map(int, found)) == 50
        keys = every(client, "t").keys
        assert len(keys) == 200
        assert sorted(key for _, key in every(client, "i", ("time", "pk")).keys) == keys
        service.close()
