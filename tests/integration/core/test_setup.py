"""Tables: made when missing, taken as they are when there, refused when they are something else."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from tablestore import (
    CapacityUnit,
    ReservedThroughput,
    SecondaryIndexMeta,
    SecondaryIndexType,
    TableMeta,
    TableOptions,
)

from langchain_tablestore_memory import (
    ConfigurationError,
    MemoryStore,
    Message,
    MessageStore,
    MetaType,
    SchemaMismatchError,
    Session,
    SessionRegistry,
    TablestoreVectorStore,
    connect,
)
from langchain_tablestore_memory.local import ots_client

from .support import Face

SESSION_KEY = [("user_id", "STRING"), ("session_id", "STRING")]
MESSAGE_KEY = [("session_id", "STRING"), ("create_time", "INTEGER"), ("message_id", "STRING")]


@pytest.fixture
def client(engine):
    """The SDK itself, as another tool would use it."""
    return ots_client(engine)


def create(client, name, key, columns=(), indexes=(), ttl=-1, allow_update=None):
    client.create_table(
        TableMeta(name, key, list(columns)),
        TableOptions(ttl, 1, allow_update=allow_update),
        ReservedThroughput(CapacityUnit(0, 0)),
        list(indexes),
    )


def local_index(name, key, columns=()):
    return SecondaryIndexMeta(name, list(key), list(columns), SecondaryIndexType.LOCAL_INDEX)


def indexes_of(client, table):
    return {
        index.index_name: (list(index.primary_key_names), sorted(index.defined_column_names), index.index_type)
        for index in client.describe_table(table).secondary_indexes
    }


CALLS = {
    "put_session": (Session("u1", "s1", 1),),
    "update_session": (Session("u1", "s1", 1),),
    "get_session": ("u1", "s1"),
    "delete_session": ("u1", "s1"),
    "delete_session_and_messages": ("u1", "s1"),
    "delete_sessions": ("u1",),
    "delete_all_sessions": (),
    "list_sessions": ("u1",),
    "list_all_sessions": (),
    "list_recent_sessions": ("u1",),
    "list_recent_sessions_paginated": ("u1",),
    "put_message": (Message("s1", "m1", 1),),
    "update_message": (Message("s1", "m1"),),
    "get_message": ("s1", "m1"),
    "delete_message": ("s1", "m1"),
    "delete_messages": ("s1",),
    "delete_all_messages": (),
    "list_messages": ("s1",),
    "list_all_messages": (),
    "list_messages_paginated": ("s1",),
    "delete_tables": (),
}


@pytest.mark.parametrize("name", CALLS)
async def test_every_call_works_without_setting_up(store, name):
    await getattr(store, name)(*CALLS[name])


@pytest.mark.parametrize("name", CALLS)
async def test_every_call_works_after_the_tables_were_dropped_by_others(store, client, name):
    await store.init_table()
    await store.list_recent_sessions("u1")
    for table in ("session", "message"):
        client.delete_table(table)
    await getattr(store, name)(*CALLS[name])


async def test_tables_have_the_layout_of_the_peer(open_store, client):
    """Names, keys and indexes as tablestore-for-agent-memory makes them."""
    await open_store(session_secondary_index_meta={"model": MetaType.STRING, "n": MetaType.INTEGER}).init_table()
    session = client.describe_table("session")
    assert session.table_meta.schema_of_primary_key == SESSION_KEY
    assert {("model", "STRING"), ("n", "INTEGER"), ("update_time", "INTEGER")} <= set(
        session.table_meta.defined_columns
    )
    key, columns, kind = indexes_of(client, "session")["session_secondary_index"]
    assert key == ["user_id", "update_time", "session_id"]
    assert {"model", "n"} <= set(columns)
    assert kind == SecondaryIndexType.LOCAL_INDEX
    message = client.describe_table("message")
    assert message.table_meta.schema_of_primary_key == MESSAGE_KEY
    assert indexes_of(client, "message") == {
        "message_secondary_index": (["session_id", "message_id", "create_time"], [], SecondaryIndexType.LOCAL_INDEX)
    }
    for table in (session, message):
        assert (table.table_options.time_to_live, table.table_options.max_version) == (-1, 1)


async def test_names_of_indexes_follow_the_tables(open_store, client):
    """Names of tables and indexes share one space per instance: fixed names would collide."""
    for prefix in ("one", "two"):
        store = open_store(session_table_name=f"{prefix}_sessions", message_table_name=f"{prefix}_messages")
        await store.init_table()
        await store.put_session(Session(prefix, "s1", 1))
        await store.put_message(Message("s1", "m1", 1, prefix))
    assert set(indexes_of(client, "two_sessions")) == {"two_sessions_secondary_index"}
    assert set(indexes_of(client, "one_messages")) == {"one_messages_secondary_index"}
    one = open_store(session_table_name="one_sessions", message_table_name="one_messages")
    assert [s.user_id for s in await one.list_all_sessions()] == ["one"]
    assert (await one.get_message("s1", "m1")).content == "one"


async def test_names_of_indexes_as_given(open_store, client):
    store = open_store(session_secondary_index_name="by_time", message_secondary_index_name="by_id")
    await store.init_table()
    assert set(indexes_of(client, "session")) == {"by_time"}
    assert set(indexes_of(client, "message")) == {"by_id"}


async def test_setting_up_again_changes_nothing(store, client, engine):
    await store.init_table()
    await store.put_session(Session("u1", "s1", 1))
    await store.put_message(Message("s1", "m1", 1))
    before = indexes_of(client, "session")
    engine.taken()
    await store.init_table()
    assert "CreateTable" not in engine.taken()
    assert indexes_of(client, "session") == before
    assert len(await store.list_all_sessions()) == len(await store.list_all_messages()) == 1


async def test_setting_up_is_no_pause(store, engine):
    """Where the tables are ready at once, nothing waits."""
    await store.init_table()
    assert len(engine.calls) <= 12


async def test_sixteen_threads_set_up_at_once(engine):
    def use(number):
        store = MemoryStore(engine.connection("sync"))
        store.init_table()
        store.put_session(Session("u1", f"s{number}", number))
        store.put_message(Message("c1", f"m{number}", number))
        return len(list(store.list_recent_sessions("u1")))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(use, range(16)))
    store = MemoryStore(engine.connection("sync"))
    assert len(list(store.list_recent_sessions("u1"))) == 16
    assert len(list(store.list_messages("c1"))) == 16


@pytest.mark.slow
def test_processes_set_up_at_once(tmp_path):
    program = """
import sys
from langchain_tablestore_memory import MemoryStore, Message, Session, connect
with connect("local:" + sys.argv[1]) as connection:
    store = MemoryStore(connection)
    store.init_table()
    store.put_session(Session("u1", sys.argv[2], 1))
    store.put_message(Message("c1", sys.argv[2], 1))
"""

    def run(session_id):
        command = [sys.executable, "-c", program, str(tmp_path), session_id]
        return subprocess.run(command, capture_output=True, timeout=60, check=False)

    with ThreadPoolExecutor() as pool:
        for done in pool.map(run, ("p0", "p1", "p2")):
            assert (done.returncode, done.stderr) == (0, b"")
    with connect(f"local:{tmp_path}") as connection:
        store = MemoryStore(connection)
        assert [s.session_id for s in store.list_recent_sessions("u1")] == ["p2", "p1", "p0"]
        assert [m.message_id for m in store.list_messages("c1")] == ["p2", "p1", "p0"]


async def test_a_table_that_appears_while_it_is_made_is_taken(store, engine, client):
    def create_first(api):
        if api == "CreateTable":
            engine.before = None
            create(
                client,
                "session",
                SESSION_KEY,
                [("update_time", "INTEGER")],
                [local_index("made_by_somebody", ["user_id", "update_time", "session_id"])],
            )

    engine.before = create_first
    await store.init_table()
    await store.put_session(Session("u1", "s1", 5))
    assert [s.update_time for s in await store.list_recent_sessions("u1")] == [5]


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("session", [("user_id", "STRING")]),
        ("session", [("session_id", "STRING"), ("user_id", "STRING")]),
        ("session", [("user_id", "STRING"), ("session_id", "INTEGER")]),
        ("message", [("id", "STRING")]),
        ("message", MESSAGE_KEY[:2]),
    ],
)
async def test_another_primary_key_is_refused(store, client, table, key):
    create(client, table, key)
    with pytest.raises(SchemaMismatchError, match=rf"{table}.*{key[0][0]}"):
        await store.init_table()


async def test_another_primary_key_is_found_out_by_the_first_recent_list(store, client):
    create(client, "session", [("user_id", "STRING")])
    with pytest.raises(SchemaMismatchError):
        await store.list_recent_sessions("u1")


async def test_a_message_table_with_another_time_to_live_is_refused(store, client, connection, mode):
    create(client, "message", MESSAGE_KEY, ttl=86_400, allow_update=False)
    with pytest.raises(SchemaMismatchError, match="time to live"):
        await store.init_table()
    await Face(MessageStore(connection, ttl=86_400), mode).setup()


async def test_existing_indexes_are_found_whatever_their_names(store, client):
    create(
        client,
        "session",
        SESSION_KEY,
        [("update_time", "INTEGER"), ("model", "STRING")],
        [local_index("recent", ["user_id", "update_time", "session_id"], ["model"])],
    )
    create(client, "message", MESSAGE_KEY, (), [local_index("ids", ["session_id", "message_id", "create_time"])])
    await store.init_table()
    assert set(indexes_of(client, "session")) == {"recent"}
    assert set(indexes_of(client, "message")) == {"ids"}
    await store.put_session(Session("u1", "s1", 1, {"model": "qwen", "other": 1}))
    assert [s.metadata for s in await store.list_recent_sessions("u1")] == [{"model": "qwen"}]
    await store.put_message(Message("s1", "m1", 7))
    assert (await store.get_message("s1", "m1")).create_time == 7


async def test_an_index_that_is_missing_is_made_over_the_rows_there_are(store, client):
    from tablestore import Row

    create(client, "session", SESSION_KEY, [("update_time", "INTEGER")])
    create(client, "message", MESSAGE_KEY)
    client.put_row("session", Row([("user_id", "u1"), ("session_id", "s1")], [("update_time", 4)]))
    client.put_row("message", Row([("session_id", "s1"), ("create_time", 7), ("message_id", "m1")], []))
    assert [s.update_time for s in await store.list_recent_sessions("u1")] == [4]
    assert (await store.get_message("s1", "m1")).create_time == 7


async def test_an_index_that_cannot_be_made_is_an_error_that_says_why(store, client):
    create(client, "session", SESSION_KEY)
    with pytest.raises(SchemaMismatchError, match="update_time is no defined column"):
        await store.list_recent_sessions("u1")


async def test_a_global_index_does_not_serve(store, client):
    """It lags behind the table, so what was just written would not be read."""
    create(
        client,
        "session",
        SESSION_KEY,
        [("update_time", "INTEGER")],
        [SecondaryIndexMeta("lagging", ["user_id", "update_time"], [], SecondaryIndexType.GLOBAL_INDEX)],
    )
    await store.init_table()
    assert indexes_of(client, "session")["session_secondary_index"][2] == SecondaryIndexType.LOCAL_INDEX


async def test_drop(store, client, registry, messages):
    await store.init_table()
    await store.put_session(Session("u1", "s1", 1))
    await store.delete_tables()
    assert list(client.list_table()) == []
    await store.delete_tables()
    assert await store.list_recent_sessions("u1") == []
    await registry.drop()
    await messages.drop()
    await messages.drop()
    assert list(client.list_table()) == []
    await registry.create("u1", "s1")
    await messages.put([Message("s1", "m1", 1)])
    assert set(client.list_table()) >= {"session", "message"}


def test_the_seeds_name_for_dropping(engine, client):
    store = MemoryStore(engine.connection("sync"))
    store.init_table()
    store._delete_table()
    assert list(client.list_table()) == []


async def test_setup_of_one_store_makes_its_own_table(registry, messages, client):
    await registry.setup()
    assert "message" not in client.list_table()
    await messages.setup()
    assert set(client.list_table()) >= {"session", "message"}


@pytest.mark.parametrize(
    "columns",
    [
        {"页码": MetaType.INTEGER},
        {"session_id": MetaType.STRING},
        {"lc_title": MetaType.STRING},
        {"a b": MetaType.STRING},
        {"a": "STRING"},
        {"a": None},
        {"a": int},
        {1: MetaType.STRING},
        {"": MetaType.STRING},
    ],
    ids=ascii,
)
def test_columns_that_no_index_can_carry(engine, columns):
    with pytest.raises(ConfigurationError):
        MemoryStore(engine.connection("sync"), session_secondary_index_meta=columns)
    with pytest.raises(ConfigurationError):
        SessionRegistry(engine.connection("sync"), metadata_columns=columns)
    assert engine.calls == []


def test_the_columns_given_are_not_changed(engine):
    """B-T22: the peer adds its own column to the caller's dict."""
    columns = {"a": MetaType.STRING}
    MemoryStore(engine.connection("sync"), session_secondary_index_meta=columns).init_table()
    assert columns == {"a": MetaType.STRING}


def test_update_time_may_be_among_the_columns_as_the_peer_has_it(engine, client):
    columns = {"a": MetaType.STRING, "update_time": MetaType.INTEGER}
    MemoryStore(engine.connection("sync"), session_secondary_index_meta=columns).init_table()
    assert "update_time" not in indexes_of(client, "session")["session_secondary_index"][1]


def test_ways_to_connect(engine, tmp_path):
    assert MemoryStore(ots_client(engine)).get_session("u1", "s1") is None
    assert MemoryStore(tablestore_client=ots_client(engine)).get_session("u1", "s1") is None
    assert MemoryStore(connection=engine.connection("sync")).get_session("u1", "s1") is None
    with MemoryStore(endpoint=f"local:{tmp_path}") as store:
        assert store.get_session("u1", "s1") is None
    with pytest.raises(ConfigurationError, match="closed"):
        store.get_session("u1", "s1")


async def test_a_store_closes_only_what_it_opened(engine, tmp_path):
    connection = engine.connection("sync")
    MemoryStore(connection).close()
    assert not connection.closed
    async with MemoryStore(endpoint=f"local:{tmp_path}") as store:
        assert await store.aget_session("u1", "s1") is None
    with pytest.raises(ConfigurationError, match="closed"):
        await store.aget_session("u1", "s1")


@pytest.mark.parametrize(
    "arguments",
    [
        {"endpoint": "https://example.com"},
        {"endpoint": "https://example.com", "instance_name": "i", "access_key_id": "k"},
        {"endpoint": "ftp://example.com", "instance_name": "i", "access_key_id": "k", "access_key_secret": "s"},
        {"endpoint": 5},
        {"connection": "local::memory:"},
        {"tablestore_client": {}},
        {"instance_name": "i"},
        {"endpoint": "local:"},
    ],
    ids=repr,
)
def test_settings_that_cannot_work(arguments):
    with pytest.raises(ConfigurationError):
        MemoryStore(**arguments)


def test_two_ways_to_connect_at_once(engine):
    client = ots_client(engine)
    for arguments in ({"tablestore_client": client}, {"endpoint": "local::memory:"}, {"access_key_id": "x"}):
        with pytest.raises(ConfigurationError, match="only one"):
            MemoryStore(client, **arguments)


def test_an_async_client_does_not_serve_sync_calls_and_says_so(engine):
    from langchain_tablestore_memory.local import async_ots_client

    with pytest.raises(ConfigurationError, match="async"):
        MemoryStore(async_ots_client(engine)).get_session("u1", "s1")


@pytest.mark.parametrize("name", ["my-table", "", "1st", "表", "t" * 256, None])
def test_a_name_that_no_table_can_have(connection, name):
    for make in (
        lambda: MessageStore(connection, table_name=name),
        lambda: TablestoreVectorStore(connection=connection, table_name=name),
    ):
        with pytest.raises(ConfigurationError, match="Give 1 to 255 letters"):
            make()
