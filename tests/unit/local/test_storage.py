"""The file behind an instance: who may share it, what it refuses, what stays in it."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from engine_calls import EVERYTHING, call, create, get, put, scan, update
from tablestore import INF_MAX, INF_MIN, SecondaryIndexMeta, TableOptions

from langchain_tablestore_memory.local import storage
from langchain_tablestore_memory.local.engine import Engine
from langchain_tablestore_memory.local.errors import RequestError, StorageError
from langchain_tablestore_memory.local.storage import FORMAT_VERSION


def key(number: int, partition: str = "a") -> list[tuple]:
    return [("p", partition), ("n", number)]


class TestFile:
    def test_is_made_with_its_folder_and_kept(self, path):
        engine = Engine(path)
        create(engine)
        put(engine, key(1), [("x", 1)])
        engine.close()
        engine = Engine(path)
        assert get(engine, key(1)) == {"x": 1}
        engine.close()

    @pytest.mark.parametrize("durability", ["full", "normal"])
    def test_flushes_as_asked(self, path, durability):
        engine = Engine(path, durability=durability)
        with engine._database.write() as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA synchronous").fetchone() == ({"full": 2, "normal": 1}[durability],)
        engine.close()

    def test_is_made_by_many_at_once(self, tmp_path):
        """Each either makes the file or finds it made; nobody takes it for another program's, or for busy."""
        start = threading.Barrier(4)

        def open_it(path):
            start.wait()
            Engine(path, durability="normal").close()

        with ThreadPoolExecutor(4) as pool:
            for number in range(30):
                path = tmp_path / str(number) / "instance.sqlite3"
                for opened in [pool.submit(open_it, path) for _ in range(4)]:
                    opened.result()

    def test_closed(self, engine):
        create(engine)
        engine.close()
        engine.close()
        with pytest.raises(RequestError, match="closed"):
            get(engine, key(1))


class TestRefused:
    def test_no_database(self, path):
        path.parent.mkdir()
        path.write_bytes(b"This is a text of more than a hundred bytes. " * 10)
        with pytest.raises(StorageError, match="not a database file") as caught:
            Engine(path)
        assert str(path) in str(caught.value)
        assert path.read_bytes().startswith(b"This is")

    def test_a_database_of_another_program(self, path):
        path.parent.mkdir()
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE theirs (x)")
        other.close()
        with pytest.raises(StorageError, match="another program"):
            Engine(path)

    def test_a_newer_format(self, path):
        Engine(path).close()
        raw = sqlite3.connect(path)
        raw.execute("PRAGMA user_version = 99")
        raw.close()
        with pytest.raises(StorageError, match=r"newer version.*99.*Upgrade"):
            Engine(path)

    def test_an_older_format_is_read_and_becomes_the_present_one(self, path):
        Engine(path).close()
        raw = sqlite3.connect(path)
        raw.execute("PRAGMA user_version = 1")
        raw.close()
        Engine(path).close()
        raw = sqlite3.connect(path)
        assert raw.execute("PRAGMA user_version").fetchone() == (FORMAT_VERSION,)
        raw.close()

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("x")
        with pytest.raises(StorageError, match="Choose a folder"):
            Engine(tmp_path / "file" / "folder" / "instance.sqlite3")

    def test_a_path_that_is_a_folder(self, tmp_path):
        with pytest.raises(StorageError, match="Choose a folder"):
            Engine(tmp_path)

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_cannot_be_written(self, tmp_path):
        tmp_path.chmod(0o500)
        try:
            with pytest.raises(StorageError, match="Choose a folder"):
                Engine(tmp_path / "instance.sqlite3")
        finally:
            tmp_path.chmod(0o700)

    def test_a_file_that_cannot_be_written(self, path, monkeypatch):
        Engine(path).close()
        monkeypatch.setattr(storage, "_connect", lambda target: connect(f"file:{target}?mode=ro"))
        connect = partial(sqlite3.connect, uri=True, isolation_level=None)
        with pytest.raises(StorageError, match=r"readonly.*Make the file and its folder writable"):
            Engine(path)


class TestTrouble:
    """What happens to the file while it is in use."""

    def test_a_full_disk(self, engine, path):
        create(engine)
        with engine._database.write() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        written = []

        def fill():
            for number in range(100):
                put(engine, key(number), [("x", "x" * 5000)])
                written.append(key(number))

        with pytest.raises(RequestError, match=r"is full\. Make room and try again") as caught:
            fill()
        assert (caught.value.code, str(path) in caught.value.message) == ("OTSStorageUnusable", True)
        with pytest.raises(RequestError, match="is full"):
            call(engine, "CreateIndex", "t", SecondaryIndexMeta("i", ["d"], []), True)
        assert scan(engine, *EVERYTHING) == written
        with engine._database.write() as connection:
            connection.execute("PRAGMA max_page_count = 1000000")
        put(engine, key(1000), [("d", 1)])
        call(engine, "CreateIndex", "t", SecondaryIndexMeta("i", ["d"], []), True)
        engine.close()
        again = Engine(path)
        assert scan(again, *EVERYTHING) == [*written, key(1000)]
        again.close()

    @pytest.mark.skipif(sys.platform == "win32", reason="this system does not delete files in use")
    def test_a_file_that_is_deleted(self, engine, path):
        """SQLite would write on into a file that nobody can open any more."""
        create(engine)
        path.unlink()
        for work in (lambda: put(engine, key(1), []), lambda: get(engine, key(1))):
            with pytest.raises(
                RequestError, match=r"moved, deleted or replaced while .* in use\. Put it back"
            ) as caught:
                work()
            assert caught.value.code == "OTSStorageUnusable"
        assert not path.exists()

    @pytest.mark.skipif(sys.platform == "win32", reason="this system does not move files in use")
    def test_a_file_that_is_moved_and_put_back(self, engine, path):
        create(engine)
        folder, elsewhere = path.parent, path.parent.with_name("elsewhere")
        folder.rename(elsewhere)
        Engine(path).close()
        with pytest.raises(RequestError, match="moved, deleted or replaced"):
            put(engine, key(1), [])
        path.unlink()
        folder.rmdir()
        elsewhere.rename(folder)
        put(engine, key(1), [])
        assert scan(engine, *EVERYTHING) == [key(1)]

    def test_a_damaged_file(self, engine, path):
        create(engine)
        for number in range(100):
            put(engine, key(number), [("x", "x" * 5000)])
        engine.close()
        with path.open("r+b") as file:
            file.seek(8192 * 3)
            file.write(b"\xff" * 8192 * 60)
        again = Engine(path)
        with pytest.raises(RequestError, match=r"is damaged .*Restore it from a copy") as caught:
            scan(again, *EVERYTHING)
        assert caught.value.code == "OTSStorageUnusable"
        again.close()


class TestMemory:
    def test_is_shared_by_threads(self):
        engine = Engine(None)
        create(engine)

        def write(partition: str) -> None:
            for number in range(50):
                put(engine, key(number, partition), [("x", number)])

        threads = [threading.Thread(target=write, args=(f"t{index}",)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(scan(engine, *EVERYTHING)) == 200
        engine.close()

    def test_is_an_instance_of_its_own(self):
        one, other = Engine(None), Engine(None)
        create(one)
        assert call(one, "ListTable") == ("t",)
        assert call(other, "ListTable") == ()
        one.close()
        other.close()


class TestDefinitionsChangedElsewhere:
    """Two engines on one file are to each other what two processes are."""

    @pytest.fixture
    def other(self, engine, path):
        create(engine)
        put(engine, key(1), [("d", 5), ("x", 1)])
        other = Engine(path)
        assert get(other, key(1)) == {"d": 5, "x": 1}
        yield other
        other.close()

    def test_an_index_is_kept_up(self, engine, other):
        from tablestore import SecondaryIndexMeta, SecondaryIndexType

        index = SecondaryIndexMeta("i", ["p", "d"], [], SecondaryIndexType.LOCAL_INDEX)
        call(engine, "CreateIndex", "t", index, True)
        put(other, key(2), [("d", 4)])
        start, end = ([("p", "a"), ("d", bound), ("n", bound)] for bound in (INF_MIN, INF_MAX))
        assert [found[1:] for found in scan(other, start, end, "i")] == [
            [("d", 4), ("n", 2)],
            [("d", 5), ("n", 1)],
        ]
        call(engine, "DropIndex", "t", "i")
        put(other, key(3), [("d", 1)])
        with pytest.raises(RequestError, match="Request table not exist"):
            scan(other, start, end, "i")

    def test_options_hold_at_once(self, engine, other):
        call(engine, "UpdateTable", "t", TableOptions(-1, 1, 86400, allow_update=False), None)
        with pytest.raises(RequestError, match="Update operation is not allowed"):
            update(other, key(1), {"PUT": [("x", 2)]})
        call(engine, "UpdateTable", "t", TableOptions(-1, 1, 86400, allow_update=True), None)
        update(other, key(1), {"PUT": [("x", 2)]})
        assert get(engine, key(1)) == {"d": 5, "x": 2}

    def test_a_table_of_the_same_name_is_another_table(self, engine, other):
        call(engine, "DeleteTable", "t")
        create(engine, key=[("q", "STRING")])
        assert get(other, [("q", "a")]) is None
        put(other, [("q", "a")], [("x", 1)])
        with pytest.raises(RequestError, match="Validate PK size fail"):
            get(other, key(1))
        assert get(engine, [("q", "a")]) == {"x": 1}

    def test_a_batch_sees_the_table_of_today(self, engine, other):
        from tablestore import BatchWriteRowRequest, Condition, PutRowItem, Row, TableInBatchWriteRowItem

        call(engine, "DeleteTable", "t")
        create(engine, key=[("q", "STRING")])
        request = BatchWriteRowRequest()
        item = PutRowItem(Row([("q", "a")], [("x", 1)]), Condition("IGNORE"))
        request.add(TableInBatchWriteRowItem("t", [item]))
        assert [row.is_ok for row in call(other, "BatchWriteRow", request)["t"]] == [True]

    def test_a_deleted_table_is_gone(self, engine, other):
        call(engine, "DeleteTable", "t")
        with pytest.raises(RequestError, match="Request table not exist"):
            get(other, key(1))
        with pytest.raises(RequestError, match="Requested table does not exist"):
            put(other, key(1), [])

    def test_a_new_table_is_found(self, engine, other):
        create(engine, "u")
        put(other, key(1), [("x", 1)], "u")
        assert get(engine, key(1), "u") == {"x": 1}


class TestTransactionsUsedElsewhere:
    """A transaction starts in one engine, and goes on and ends in another."""

    @pytest.fixture
    def other(self, engine, path):
        create(engine)
        other = Engine(path)
        put(other, key(1), [("d", 1)])
        yield other
        other.close()

    def test_it_commits_to_the_indexes_of_today(self, engine, other):
        transaction = call(engine, "StartLocalTransaction", "t", [("p", "a")])
        put(other, key(1), [("d", 2)], transaction_id=transaction)
        call(engine, "CreateIndex", "t", SecondaryIndexMeta("i", ["d"], []), True)
        put(other, key(2), [("d", 3)], transaction_id=transaction)
        call(other, "CommitTransaction", transaction)
        bounds = ([("d", bound), ("p", bound), ("n", bound)] for bound in (INF_MIN, INF_MAX))
        assert [found[0] for found in scan(engine, *bounds, "i")] == [("d", 2), ("d", 3)]

    @pytest.mark.parametrize("api", ["CommitTransaction", "AbortTransaction"])
    def test_it_ends_with_its_table(self, engine, other, api):
        transaction = call(other, "StartLocalTransaction", "t", [("p", "a")])
        put(other, key(1), [], transaction_id=transaction)
        call(engine, "DeleteTable", "t")
        create(engine)
        for use in (lambda: put(other, key(2), [], transaction_id=transaction), lambda: call(other, api, transaction)):
            with pytest.raises(RequestError) as caught:
                use()
            assert caught.value.code == "OTSSessionNotExist"
        put(other, key(3), [])
        assert scan(engine, *EVERYTHING) == [key(3)]


class TestClock:
    class Hands:
        def __init__(self) -> None:
            self.time = 1_700_000_000.0

        def __call__(self) -> float:
            return self.time

    def test_never_runs_backwards(self):
        """Or an update would be older than what it replaces, and be lost."""
        clock = self.Hands()
        engine = Engine(None, clock=clock)
        create(engine)
        put(engine, key(1), [("x", "old")])
        clock.time -= 3600
        update(engine, key(1), {"PUT": [("x", "new")]})
        assert get(engine, key(1)) == {"x": "new"}
        engine.close()

    def test_what_has_expired_leaves_the_file(self, path):
        clock = self.Hands()
        engine = Engine(path, durability="normal", clock=clock)
        create(engine, options=TableOptions(86400, 1, allow_update=False), index="i")
        for number in range(300):
            put(engine, key(number), [("d", number)])
        clock.time += 86400 + 1
        put(engine, key(1000), [("d", 1000)])
        assert scan(engine, *EVERYTHING) == [key(1000)]
        for number in range(1001, 1200):
            put(engine, key(number), [("d", number)])
        engine.close()
        raw = sqlite3.connect(path)
        names = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        stored = {
            name.split("_")[0]: raw.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in names
            if name.startswith(("rows_", "index_"))
        }
        raw.close()
        assert stored == {"rows": 200, "index": 200}
