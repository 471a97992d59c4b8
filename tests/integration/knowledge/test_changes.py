"""Deleting and updating by filter, at once and with an index that lags behind."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from core.support import Face, WatchedTablestore
from tablestore import NoRetryPolicy

from langchain_tablestore_memory import (
    Connection,
    Document,
    FilterError,
    Filters,
    InvalidArgumentError,
    KnowledgeStore,
    UnavailableError,
)
from langchain_tablestore_memory.local import Tablestore, async_ots_client, ots_client

from .conftest import FILTERABLE

LAG = 0.4
"""Seconds by which the index is late."""


@pytest.fixture
def behind(mode):
    """Makes a store whose index lags by so many seconds."""
    with contextlib.ExitStack() as engines:

        def make(seconds):
            engine = engines.enter_context(Tablestore(None, index_delay=seconds))
            client = ots_client if mode == "sync" else async_ots_client
            connection = Connection.of(client(engine, retry_policy=NoRetryPolicy()))
            return Face(KnowledgeStore(connection, 3, filterable=FILTERABLE), mode)

        yield make


@pytest.fixture
def late(behind):
    """A store whose index lags, and catches up before anybody loses patience."""
    return behind(LAG)


@pytest.fixture
def stale(behind):
    """A store whose index does not catch up while a test runs, however busy the machine."""
    return behind(3600)


def numbered(count):
    return [Document(f"d{n:05}", text="tea", metadata={"year": n % 2, "n": n}) for n in range(count)]


class TestAtOnce:
    @pytest.mark.slow
    async def test_thousands_are_deleted(self, store, engine):
        await store.put_documents(numbered(1500))
        assert await store.delete_by_filter({"year": 1}) == 750
        assert await store.count_documents() == 750
        assert {document.metadata["year"] for document in await store.get_all_documents()} == {0}

    @pytest.mark.slow
    async def test_thousands_are_updated(self, store):
        await store.put_documents(numbered(2500))
        assert await store.update_by_filter({"year": 1}, {"lang": "en", "year": 5, "extra": [1]}) == 1250
        assert await store.count_documents(metadata_filter={"lang": "en", "year": 5}) == 1250
        found = await store.get_document("d00001")
        assert found == Document("d00001", text="tea", metadata={"year": 5, "n": 1, "lang": "en", "extra": [1]})

    async def test_updating_twice_changes_nothing_more(self, store):
        await store.put_documents(numbered(10))
        assert await store.update_by_filter(Filters.all(), {"lang": "en"}) == 10
        assert await store.update_by_filter(Filters.all(), {"lang": "en"}) == 0

    async def test_by_words(self, store):
        await store.put_documents([*numbered(3), Document("x", text="coffee")])
        assert await store.delete_by_filter({"text": {"$text": "tea"}}) == 3
        assert [document.document_id for document in await store.get_all_documents()] == ["x"]

    @pytest.mark.parametrize("change", ["delete_by_filter", "update_by_filter"])
    async def test_everything_has_to_be_said(self, store, change):
        await store.put_documents(numbered(3))
        more = ({"year": 1},) if change.startswith("update") else ()
        for nothing in (None, {}):
            with pytest.raises(FilterError, match=r"Filters.all\(\)"):
                await getattr(store, change)(nothing, *more)
        assert [document.metadata["n"] for document in await store.get_all_documents()] == [0, 1, 2]
        assert await getattr(store, change)(Filters.all(), *more) in {2, 3}

    async def test_metadata_is_a_dict(self, store):
        with pytest.raises(InvalidArgumentError, match="Give a dict"):
            await store.update_by_filter(Filters.all(), ["year"])

    async def test_nothing_to_do_on_an_empty_store(self, store):
        assert await store.delete_by_filter({"year": 1}) == 0
        assert await store.delete_all_documents() == 0

    @pytest.mark.slow
    async def test_interrupted_it_can_be_called_again(self, store, engine):
        await store.put_documents(numbered(1000))
        engine.fail_at("BatchWriteRow", 2)
        with pytest.raises(Exception, match="rows not stored"):
            await store.delete_by_filter({"year": {"$gte": 0}})
        engine.before = None
        await store.delete_by_filter({"year": {"$gte": 0}})
        assert await store.get_all_documents() == []

    async def test_changes_of_others_meanwhile_are_kept(self, store, engine, connection, mode):
        await store.put_documents(numbered(4))
        other = Face(KnowledgeStore(connection, 3, filterable=FILTERABLE), mode)
        raced = []

        def race(api):
            # Between the reading of the row and its writing, once.
            if api == "BatchWriteRow" and not raced:
                raced.append(api)
                aside = KnowledgeStore(WatchedTablestore.connection(engine, "sync"), 3, filterable=FILTERABLE)
                aside.update_document(Document("d00001", metadata={"mine": 1}))

        engine.before = race
        assert await other.update_by_filter({"year": 1}, {"lang": "en"}) == 2
        engine.before = None
        assert (await store.get_document("d00001")).metadata == {"year": 1, "n": 1, "mine": 1, "lang": "en"}


FEW, MANY = 250, 5000


@pytest.fixture(params=[FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def matches(request):
    """How many documents match, of a sixth more."""
    return request.param


class TestNoneIsLeft:
    """Of thousands that match, some of them written by others in between, with an index that lags and one that does not."""

    @pytest.fixture(params=["at once", "late"])
    def either(self, request, store, late):
        return store if request.param == "at once" else late

    def written(self, matches):
        return [
            Document(f"d{n:05}", text="tea", metadata={"year": int(n % 6 != 0), "n": n})
            for n in range(matches * 6 // 5)
        ]

    async def test_deleted(self, either, matches):
        await either.put_documents(self.written(matches))
        assert await either.delete_by_filter({"year": 1}) == matches
        left = await either.get_all_documents()
        assert [document.metadata["n"] for document in left] == list(range(0, matches * 6 // 5, 6))
        await either.wait_until_searchable()
        assert await either.count_documents(metadata_filter={"year": 1}) == 0
        assert await either.count_documents() == len(left)

    async def test_updated(self, either, matches):
        await either.put_documents(self.written(matches))
        # None matches any more once it was updated.
        assert await either.update_by_filter({"year": 1}, {"year": 2, "lang": "en"}) == matches
        for document in await either.get_all_documents():
            n = document.metadata["n"]
            assert document.metadata == ({"year": 2, "n": n, "lang": "en"} if n % 6 else {"year": 0, "n": n})
        await either.wait_until_searchable()
        assert await either.count_documents(metadata_filter={"year": 1}) == 0
        assert await either.count_documents(metadata_filter={"year": 2, "lang": "en"}) == matches

    async def test_deleted_while_others_write(self, late, matches):
        documents = self.written(matches)
        await late.put_documents(documents[: matches // 2])
        await late.wait_until_searchable()
        await late.update_by_filter({"year": 0}, {"year": 1})
        await late.put_documents(documents[matches // 2 :])
        # What was written or began to match before the call is deleted, although no search shows it yet.
        await late.delete_by_filter({"year": 1})
        assert {document.metadata["year"] for document in await late.get_all_documents()} == {0}

    @pytest.mark.parametrize("change", ["delete_by_filter", "update_by_filter"])
    async def test_the_nearest_are_no_lasting_set(self, store, change):
        await store.put_documents([Document(f"d{n}", embedding=[1, n, 0]) for n in range(5)])
        nearest = Filters.vector_query("embedding", [1, 0, 0], top_k=2)
        for wanted in (nearest, Filters.logical_and([nearest, Filters.eq("year", 1)])):
            with pytest.raises(FilterError, match="change them by their ids"):
                await getattr(store, change)(wanted, *([{"lang": "en"}] if change.startswith("update") else []))
        assert len(await store.get_all_documents()) == 5

    async def test_what_else_is_asked_beside_words_holds_for_the_row_as_it_is(self, store, engine):
        await store.put_documents([Document(f"d{n}", text="tea", metadata={"year": 1}) for n in range(2)])
        raced = []

        def race(api):
            # Between the search and the reading of the rows, once.
            if api == "BatchGetRow" and not raced:
                raced.append(api)
                aside = KnowledgeStore(WatchedTablestore.connection(engine, "sync"), 3, filterable=FILTERABLE)
                aside.update_document(Document("d0", metadata={"year": 7}))

        engine.before = race
        assert await store.delete_by_filter({"text": {"$text": "tea"}, "year": 1}) == 1
        engine.before = None
        assert [document.document_id for document in await store.get_all_documents()] == ["d0"]


class TestWithLag:
    @pytest.mark.slow
    async def test_what_was_just_written_is_deleted(self, late):
        await late.put_documents(numbered(5000))
        assert await late.delete_by_filter({"year": {"$lte": 1}}) == 5000
        assert await late.get_all_documents() == []
        await asyncio.sleep(LAG + 0.2)
        assert await late.count_documents() == 0

    async def test_what_was_just_written_is_updated(self, late):
        await late.put_documents(numbered(1000))
        assert await late.update_by_filter({"year": 1}, {"lang": "en"}) == 500
        assert all(
            (d.metadata.get("lang") == "en") == (d.metadata["year"] == 1) for d in await late.get_all_documents()
        )

    async def test_a_tenant_s_documents(self, late, mode):
        store = Face(KnowledgeStore(late.target._connection, 3, enable_multi_tenant=True, table_name="shared"), mode)
        await store.put_documents([Document(f"d{n}", f"t{n % 2}") for n in range(300)])
        assert await store.delete_document_by_tenant("t1") == 150
        assert {document.tenant_id for document in await store.get_all_documents()} == {"t0"}

    async def test_what_stopped_matching_stays(self, late):
        await late.put_documents(numbered(10))
        await late.wait_until_searchable()
        await late.update_document(Document("d00001", metadata={"year": 7}))
        await late.delete_by_filter({"year": 1})
        assert await late.get_document("d00001") is not None

    async def test_where_the_index_does_not_catch_up_the_table_is_read(self, stale):
        await stale.put_documents(numbered(10))
        assert await stale.delete_by_filter({"year": 1}, timeout=0.01) == 5
        assert await stale.update_by_filter({"year": 0}, {"lang": "zh"}, timeout=0.01) == 5
        assert {d.metadata["lang"] for d in await stale.get_all_documents()} == {"zh"}

    async def test_words_alone_cannot_be_asked_of_the_table(self, stale):
        await stale.put_documents(numbered(3))
        with pytest.raises(UnavailableError, match="Nothing was changed"):
            await stale.delete_by_filter({"text": {"$text": "tea"}}, timeout=0.01)
        assert len(await stale.get_all_documents()) == 3


class TestWaiting:
    async def test_until_everything_is_there(self, late):
        await late.put_documents(numbered(20))
        await late.wait_until_searchable()
        assert await late.count_documents() == 20

    async def test_until_given_documents_are_there(self, late):
        await late.setup()
        begin = time.monotonic()
        await late.put_documents(numbered(3))
        await late.wait_until_searchable(["d00000", "d00002"])
        assert await late.count_documents() == 3
        assert time.monotonic() - begin >= LAG * 0.9

    async def test_not_for_ever(self, stale):
        await stale.put_documents(numbered(1))
        with pytest.raises(UnavailableError, match="1 of the documents"):
            await stale.wait_until_searchable(["missing"], timeout=0.05)
        await stale.put_documents(numbered(1))
        with pytest.raises(UnavailableError, match="not caught up"):
            await stale.wait_until_searchable(timeout=0.05)
