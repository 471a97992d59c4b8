"""What cannot be stored or asked for is refused with an error that says why, and nothing is written."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from core.support import WatchedTablestore
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langchain_tablestore_memory import (
    ConfigurationError,
    InvalidArgumentError,
    SchemaMismatchError,
    SessionRegistry,
    TablestoreMemoryError,
    connect,
)
from langchain_tablestore_memory.langgraph import TablestoreSaver

from .graphs import Running, steps
from .support import Thread, told

THREAD = Thread()


def step(**metadata: Any) -> Any:
    return Thread().step(None, {"n": 1}, **metadata)


CONFIGS = {
    "None": None,
    "a str": "t1",
    "empty": {},
    "without configurable": {"metadata": {"thread_id": "t1"}},
    "configurable is None": {"configurable": None},
    "configurable is a list": {"configurable": ["t1"]},
    "without thread": {"configurable": {"checkpoint_ns": ""}},
    "thread is None": {"configurable": {"thread_id": None, "checkpoint_ns": ""}},
    "thread is empty": {"configurable": {"thread_id": "", "checkpoint_ns": ""}},
    "thread is bytes": {"configurable": {"thread_id": b"t1", "checkpoint_ns": ""}},
    "thread is True": {"configurable": {"thread_id": True, "checkpoint_ns": ""}},
    "thread is a float": {"configurable": {"thread_id": 1.5, "checkpoint_ns": ""}},
    "thread is a list": {"configurable": {"thread_id": ["t1"], "checkpoint_ns": ""}},
    "thread is too long": {"configurable": {"thread_id": "x" * 1025, "checkpoint_ns": ""}},
    "thread is no Unicode": {"configurable": {"thread_id": "\ud800", "checkpoint_ns": ""}},
    "namespace is a number": {"configurable": {"thread_id": "t1", "checkpoint_ns": 1}},
    "namespace is a list": {"configurable": {"thread_id": "t1", "checkpoint_ns": []}},
    "namespace is too long": {"configurable": {"thread_id": "t1", "checkpoint_ns": "x" * 1025}},
    "checkpoint is a number": {"configurable": {"thread_id": "t1", "checkpoint_ns": "", "checkpoint_id": 1}},
    "checkpoint is too long": {"configurable": {"thread_id": "t1", "checkpoint_ns": "", "checkpoint_id": "x" * 1020}},
    "checkpoint with NUL": {"configurable": {"thread_id": "t1", "checkpoint_ns": "", "checkpoint_id": "a\x00b"}},
}


@pytest.fixture
def refused(engine: WatchedTablestore) -> Any:
    """Within it, an error of ours is raised and nothing is sent."""

    class Refused:
        def __call__(self, match: str | None = None, kind: type[Exception] = InvalidArgumentError) -> Any:
            self._raises = pytest.raises(kind, match=match)
            return self

        def __enter__(self) -> Any:
            engine.taken()
            return self._raises.__enter__()

        def __exit__(self, *error: object) -> Any:
            caught = self._raises.__exit__(*error)
            assert engine.calls == []
            return caught

    return Refused()


@pytest.mark.parametrize("name", CONFIGS)
async def test_configurations(saver, refused, name):
    config = CONFIGS[name]
    with refused():
        await saver.put(config, *step().arguments[1:])
    with refused():
        await saver.put_writes(config, [("n", 1)], "task")
    with refused():
        await saver.get_tuple(config)
    with refused():
        await saver.get_delta_channel_history(config=config, channels=["n"])
    if config is not None:
        with refused():
            await saver.list(config)


async def test_numbers_and_uuids_are_threads_by_their_text(saver):
    import uuid

    for thread_id in (7, uuid.UUID(int=7)):
        made = step()
        await saver.put({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}, *made.arguments[1:])
        for each in (thread_id, str(thread_id)):
            found = await saver.get_tuple({"configurable": {"thread_id": each}})
            assert found.checkpoint == made.checkpoint


UNSERIALISABLE = {"a lambda": lambda: None, "a lock": threading.Lock(), "a generator": (n for n in range(3))}


@pytest.mark.parametrize("name", UNSERIALISABLE)
@pytest.mark.parametrize("wrapped", [lambda value: value, lambda value: [1, value], lambda value: {"deep": [value]}])
async def test_values_that_cannot_be_serialised(saver, refused, name, wrapped):
    value = wrapped(UNSERIALISABLE[name])
    with refused("channel 'bad' cannot be serialized"):
        await saver.put(*Thread().step(None, {"good": 1, "bad": value}).arguments)
    with refused("channel 'bad' cannot be serialized"):
        await saver.put_writes(THREAD.config("c1"), [("good", 1), ("bad", value)], "task")
    with refused("metadata cannot be serialized"):
        await saver.put(*step(bad=value).arguments)


async def test_an_unserialisable_value_leaves_the_thread_as_it_was(saver, open_saver):
    first = step()
    await saver.put(*first.arguments)
    before = told(await saver.get_tuple(THREAD.config()))
    with pytest.raises(InvalidArgumentError):
        await saver.put(*THREAD.step(first.state, {"large": b"x" * 100_000, "bad": threading.Lock()}).arguments)
    assert told(await open_saver().get_tuple(THREAD.config())) == before
    assert len(await open_saver().list(None)) == 1


async def test_a_serialiser_that_cannot_hold_a_value_says_so_of_a_graph(connection, mode):
    saver = TablestoreSaver(connection, serde=JsonPlusSerializer())
    graph = Running(steps("a").compile(checkpointer=saver), mode)
    with pytest.raises(InvalidArgumentError, match="cannot be serialized"):
        await graph.invoke({"log": [threading.Lock()]}, {"configurable": {"thread_id": "t1"}})


@pytest.mark.parametrize("limit", [-1, 1.5, "3", True, False, float("nan"), [1]])
async def test_limits(saver, refused, limit):
    with refused("limit"):
        await saver.list(THREAD.config(), limit=limit)


@pytest.mark.parametrize("filter_", ["source", ["source"], 1, True, {"source"}])
async def test_filters(saver, refused, filter_):
    with refused("filter"):
        await saver.list(THREAD.config(), filter=filter_)


@pytest.mark.parametrize(
    "before", ["c1", {}, {"configurable": {"checkpoint_id": 1}}, {"configurable": {"checkpoint_id": "a\x00"}}]
)
async def test_before(saver, refused, before):
    with refused():
        await saver.list(THREAD.config(), before=before)


@pytest.mark.parametrize("thread_id", [None, "", b"t1", 1.5, True, ["t1"], "x" * 1025, "\ud800"])
async def test_threads(saver, refused, thread_id):
    for call in (
        lambda: saver.delete_thread(thread_id),
        lambda: saver.copy_thread(thread_id, "t2"),
        lambda: saver.copy_thread("t2", thread_id),
        lambda: saver.prune([thread_id]),
        lambda: saver.prune(["t1", thread_id], strategy="delete"),
    ):
        with refused():
            await call()


@pytest.mark.parametrize("run_id", [None, "", b"r", 1, "x" * 1025, "\ud800"])
async def test_runs(saver, refused, run_id):
    with refused("run_id"):
        await saver.delete_for_runs(["r1", run_id])


async def test_one_id_is_not_several(saver, refused):
    """Each character would be taken for an id."""
    with refused("run_ids"):
        await saver.delete_for_runs("r1")
    with refused("thread_ids"):
        await saver.prune("t1", strategy="delete")
    with refused("channels"):
        await saver.get_delta_channel_history(config=THREAD.config(), channels="log")


@pytest.mark.parametrize("ids", [None, 1, object()])
async def test_several_ids_that_are_none(saver, refused, ids):
    with refused():
        await saver.delete_for_runs(ids)
    with refused():
        await saver.prune(ids)


@pytest.mark.parametrize("strategy", ["", "keep", "DELETE", None, 1, ["delete"]])
async def test_strategies(saver, refused, strategy):
    with refused("strategy"):
        await saver.prune(["t1"], strategy=strategy)


@pytest.mark.parametrize("task_id", [None, "", 1, b"t", "x" * 1025, "x" * 1000, "\ud800"])
async def test_tasks(saver, refused, task_id):
    with refused("task_id"):
        await saver.put_writes(THREAD.config("1f000001-0000-6000-8000-000000000000"), [("n", 1)], task_id)


async def test_writes(saver, refused):
    config = THREAD.config("c1")
    with refused("checkpoint_id"):
        await saver.put_writes(THREAD.config(), [("n", 1)], "task")
    with refused("task_path"):
        await saver.put_writes(config, [("n", 1)], "task", None)
    for writes in (
        None,
        1,
        [1],
        ["ab", "cd"],
        [("n",)],
        [("n", 1, 2)],
        [(1, 1)],
        [(None, 1)],
        [(b"n", 1)],
        [("\ud800", 1)],
    ):
        with refused():
            await saver.put_writes(config, writes, "task")


@pytest.mark.parametrize("task_path", ["\ud800", 1, b"~"])
async def test_task_paths(saver, refused, task_path):
    with refused("task_path"):
        await saver.put_writes(THREAD.config("c1"), [("n", 1)], "task", task_path)


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": ""},
        {"id": 7},
        {"id": "a\x00"},
        {"id": "x" * 1020},
        {"id": "\ud800"},
        {"channel_values": None},
        {"channel_values": [("n", 1)]},
        {"channel_versions": None},
        {"channel_versions": ["n"]},
        {"channel_versions": {"n": ...}},
        {"channel_versions": {"n": "\ud800"}},
        {"channel_versions": {"\ud800": "1"}, "channel_values": {"\ud800": 1}},
        {"channel_versions": {1: "1"}, "channel_values": {1: 1}},
    ],
    ids=ascii,
)
async def test_checkpoints(saver, refused, change):
    made = step()
    made.checkpoint.update(change)
    with refused():
        await saver.put(*made.arguments)


@pytest.mark.parametrize("missing", ["id", "channel_values", "channel_versions"])
async def test_checkpoints_without(saver, refused, missing):
    made = step()
    del made.checkpoint[missing]
    with refused():
        await saver.put(*made.arguments)


async def test_what_is_no_checkpoint_at_all(saver, refused):
    config, checkpoint, metadata, new_versions = step().arguments
    for wrong in (None, "c1", [checkpoint]):
        with refused():
            await saver.put(config, wrong, metadata, new_versions)
        with refused():
            await saver.put(config, checkpoint, wrong, new_versions)
    for wrong in (None, "n", 1):
        with refused():
            await saver.put(config, checkpoint, metadata, wrong)


@pytest.mark.parametrize("run_id", ["x" * 1025, "\ud800"])
async def test_runs_that_cannot_be_found_again(saver, refused, run_id):
    with refused("run_id"):
        await saver.put(*step(run_id=run_id).arguments)


@pytest.mark.parametrize("ttl", [0, 60, 1.5, "1d", timedelta(0), timedelta(seconds=-1), True])
def test_ttls(engine, ttl):
    with pytest.raises(ConfigurationError, match="ttl"):
        TablestoreSaver(engine.connection("sync"), ttl=ttl)


@pytest.mark.parametrize("older_than", [0, 60, "1d", timedelta(0), timedelta(seconds=-1)])
async def test_ages(saver, refused, older_than):
    with refused("older_than"):
        await saver.delete_idle(older_than)


async def test_an_age_is_needed_where_there_is_no_ttl(saver, refused):
    with refused("older_than"):
        await saver.delete_idle()


def test_sessions(engine):
    connection = engine.connection("sync")
    with pytest.raises(ConfigurationError, match="sessions"):
        TablestoreSaver(connection, sessions="u1")
    with connect("local::memory:") as other, pytest.raises(ConfigurationError, match="another connection"):
        TablestoreSaver(connection, sessions=SessionRegistry(other))


@pytest.mark.parametrize("table_name", ["", "1checkpoint", "with space", "汉", "x" * 300, None, 7])
async def test_table_names(connection, mode, open_saver, table_name):
    with pytest.raises(TablestoreMemoryError):
        await open_saver(table_name=table_name).put(*step().arguments)


async def test_a_table_of_something_else(open_saver, connection, mode):
    from langchain_tablestore_memory import MessageStore

    store = MessageStore(connection)
    if mode == "sync":
        store.setup()
    else:
        await store.asetup()
    with pytest.raises(SchemaMismatchError, match="message"):
        await open_saver(table_name="message").setup()
    with pytest.raises(TablestoreMemoryError):
        await open_saver(table_name="message").put(*step().arguments)
