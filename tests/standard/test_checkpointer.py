"""LangGraph's suite for checkpointers, run on `TablestoreSaver`, and what it leaves out: sync calls, delta channels."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability
from langgraph.checkpoint.conformance.initializer import RegisteredCheckpointer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from langchain_tablestore_memory import Connection
from langchain_tablestore_memory.langgraph import TablestoreSaver


class SyncCalls:
    """Answers async calls of a saver by its sync methods, so that a suite for the one shows the other.

    The suite looks on the class for what a saver can do.
    """

    def __init__(self, saver: TablestoreSaver) -> None:
        self._saver = saver

    async def aput(self, *args: Any) -> Any:
        return self._saver.put(*args)

    async def aput_writes(self, *args: Any, **kwargs: Any) -> None:
        self._saver.put_writes(*args, **kwargs)

    async def aget_tuple(self, config: Any) -> Any:
        return self._saver.get_tuple(config)

    async def alist(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        for found in self._saver.list(*args, **kwargs):
            yield found

    async def adelete_thread(self, thread_id: str) -> None:
        self._saver.delete_thread(thread_id)

    async def adelete_for_runs(self, run_ids: Any) -> None:
        self._saver.delete_for_runs(run_ids)

    async def acopy_thread(self, *args: Any) -> None:
        self._saver.copy_thread(*args)

    async def aprune(self, *args: Any, **kwargs: Any) -> None:
        self._saver.prune(*args, **kwargs)


@pytest.fixture(params=["async", "sync"])
def registered(request: pytest.FixtureRequest, connection: Connection) -> RegisteredCheckpointer:
    """The suite has each capability tried on a saver of its own."""

    @checkpointer_test(name="TablestoreSaver")
    async def factory() -> AsyncIterator[Any]:
        saver = TablestoreSaver(connection)
        yield saver if request.param == "async" else SyncCalls(saver)
        await saver.adrop()

    return factory


async def test_all_that_the_suite_has(registered):
    report = await validate(registered)
    assert {name: result.failures for name, result in report.results.items() if result.failures} == {}
    assert report.conformance_level() == "FULL"
    results = report.results.values()
    assert len(results) == len(Capability) == 8
    assert (
        sum(result.tests_passed for result in results),
        sum(result.tests_failed for result in results),
        sum(result.tests_skipped for result in results),
    ) == (81, 0, 0)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, member in vars(BaseCheckpointSaver).items()
        # The base class's `get` calls `get_tuple`, which is all that there is to do.
        if inspect.isfunction(member) and f"a{name}" in vars(BaseCheckpointSaver) and name != "get"
    ],
)
def test_no_method_is_the_base_class_s(name):
    for each in (name, f"a{name}"):
        assert getattr(TablestoreSaver, each) is not getattr(BaseCheckpointSaver, each)


# Delta channels: newer versions of the suite have these, and the installed one does not.


class Chain:
    """A chain of checkpoints with writes, put on a saver one after the other.

    Args:
        saver: Any saver.
        thread_id: The thread.
        namespace: The namespace.
    """

    def __init__(self, saver: BaseCheckpointSaver, thread_id: str = "t1", namespace: str = "") -> None:
        self._saver = saver
        self._configurable = {"thread_id": thread_id, "checkpoint_ns": namespace}
        self._versions: dict[str, str] = {}

    def put(self, number: int, parent: int | None, values: dict[str, Any], versions: dict[str, str]) -> None:
        """Checkpoint number `number`: the values that are new with it, and the versions of all channels."""
        checkpoint = {
            "v": 4,
            "id": self.id(number),
            "ts": f"2026-01-01T00:00:{number:02}+00:00",
            "channel_values": values,
            "channel_versions": versions,
            "versions_seen": {},
            "updated_channels": sorted(values),
        }
        config = self.config(parent)
        self._saver.put(config, checkpoint, {"source": "loop", "step": number, "parents": {}}, versions)

    def write(self, number: int, *writes: tuple[str, Any], task: str = "task", path: str = "~") -> None:
        self._saver.put_writes(self.config(number), list(writes), task, path)

    def config(self, number: int | None = None) -> Any:
        return {
            "configurable": {**self._configurable, **({} if number is None else {"checkpoint_id": self.id(number)})}
        }

    @staticmethod
    def id(number: int) -> str:
        return f"1f0{number:05}-0000-6000-8000-000000000000"


@pytest.fixture(params=["TablestoreSaver", "InMemorySaver"])
def saver(request: pytest.FixtureRequest, connection: Connection) -> BaseCheckpointSaver:
    """InMemorySaver shows that the tests are right."""
    return TablestoreSaver(connection) if request.param == "TablestoreSaver" else InMemorySaver()


@pytest.fixture
def chain(saver: BaseCheckpointSaver) -> Chain:
    return Chain(saver)


Ask = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def history(request: pytest.FixtureRequest, saver: BaseCheckpointSaver) -> Ask:
    """Asks for the history of some channels, by default of one."""

    async def ask(config: Any, *channels: str) -> Any:
        channels = channels or ("log",)
        if request.param == "sync":
            found = saver.get_delta_channel_history(config=config, channels=channels)
        else:
            found = await saver.aget_delta_channel_history(config=config, channels=channels)
        assert list(found) == list(channels)
        return found["log"] if channels == ("log",) else found

    return ask


def values_of(history: Any) -> list[Any]:
    return [value for _, _, value in history["writes"]]


async def test_writes_are_given_oldest_first_without_those_of_the_target(chain, history):
    chain.put(1, None, {}, {"log": "1"})
    chain.write(1, ("log", "a"), ("other", "x"), ("log", "b"))
    chain.put(2, 1, {}, {"log": "2"})
    chain.write(2, ("log", "c"))
    chain.put(3, 2, {}, {"log": "3"})
    chain.write(3, ("log", "pending"))
    found = await history(chain.config(3))
    assert found == {"writes": [("task", "log", value) for value in "abc"]}
    assert await history(chain.config()) == found
    assert values_of(await history(chain.config(2))) == ["a", "b"]
    assert await history(chain.config(1)) == {"writes": []}


async def test_the_walk_goes_on_to_the_root(chain, history):
    chain.put(0, None, {}, {"log": "000"})
    for number in range(1, 60):
        chain.write(number - 1, ("log", number))
        chain.put(number, number - 1, {}, {"log": f"{number:03}"})
    found = await history(chain.config())
    assert "seed" not in found
    assert values_of(found) == list(range(1, 60))


async def test_the_seed_is_the_nearest_snapshot(chain, history):
    chain.put(1, None, {"log": _DeltaSnapshot(["old"])}, {"log": "1"})
    chain.write(1, ("log", "never"))
    chain.put(2, 1, {"log": _DeltaSnapshot(["a", "b"])}, {"log": "2"})
    chain.write(2, ("log", "c"))
    chain.put(3, 2, {}, {"log": "3"})
    chain.write(3, ("log", "d"))
    chain.put(4, 3, {}, {"log": "4"})
    found = await history(chain.config(4))
    assert found["seed"] == _DeltaSnapshot(["a", "b"])
    assert values_of(found) == ["c", "d"]


@pytest.mark.parametrize(
    "seed",
    [["plain"], [], None, "text", [{"role": "user", "n": n} for n in range(1000)]],
    ids=["list", "empty", "None", "text", "long list"],
)
async def test_a_plain_value_is_a_seed(chain, history, seed):
    """Of a thread that was begun before the channel became one of deltas."""
    chain.put(1, None, {"log": seed}, {"log": "1"})
    chain.write(1, ("log", "a"))
    chain.put(2, 1, {}, {"log": "2"})
    found = await history(chain.config(2))
    assert found["seed"] == seed
    assert values_of(found) == ["a"]


async def test_a_snapshot_of_the_target_itself_is_no_seed(chain, history):
    chain.put(1, None, {}, {"log": "1"})
    chain.write(1, ("log", "a"))
    chain.put(2, 1, {"log": _DeltaSnapshot(["a"])}, {"log": "2"})
    assert await history(chain.config(2)) == {"writes": [("task", "log", "a")]}


async def test_each_channel_ends_at_its_own_seed(chain, history):
    chain.put(1, None, {"log": _DeltaSnapshot([1]), "sum": _DeltaSnapshot(1)}, {"log": "1", "sum": "1"})
    chain.write(1, ("log", 2), ("sum", 2))
    chain.put(2, 1, {"sum": _DeltaSnapshot(3)}, {"log": "2", "sum": "2"})
    chain.write(2, ("log", 3), ("sum", 3))
    chain.put(3, 2, {}, {"log": "3", "sum": "3"})
    found = await history(chain.config(), "sum", "log", "absent")
    assert found == {
        "sum": {"writes": [("task", "sum", 3)], "seed": _DeltaSnapshot(3)},
        "log": {"writes": [("task", "log", 2), ("task", "log", 3)], "seed": _DeltaSnapshot([1])},
        "absent": {"writes": []},
    }


async def test_only_what_is_on_the_way_to_the_target_counts(chain, history):
    chain.put(1, None, {}, {"log": "1"})
    chain.write(1, ("log", "root"))
    chain.put(2, 1, {}, {"log": "2"})
    chain.write(2, ("log", "abandoned"))
    chain.put(3, 2, {}, {"log": "3"})
    chain.put(4, 1, {}, {"log": "2b"})
    chain.write(4, ("log", "taken"))
    chain.put(5, 4, {}, {"log": "3b"})
    assert values_of(await history(chain.config(5))) == ["root", "taken"]
    assert values_of(await history(chain.config(3))) == ["root", "abandoned"]


async def test_parents_are_followed_whatever_their_ids(chain, history):
    """Ids are made of the time, and two machines may not agree about that."""
    chain.put(5, None, {"log": _DeltaSnapshot([0])}, {"log": "1"})
    chain.write(5, ("log", 1))
    chain.put(3, 5, {}, {"log": "2"})
    chain.write(3, ("log", 2))
    chain.put(4, 3, {}, {"log": "3"})
    chain.write(4, ("log", 3))
    chain.put(2, 4, {}, {"log": "4"})
    found = await history(chain.config(2))
    assert values_of(found) == [1, 2, 3]
    assert found["seed"] == _DeltaSnapshot([0])


async def test_writes_of_a_step_are_ordered_by_path_then_task_then_number(chain, history):
    chain.put(1, None, {}, {"log": "1"})
    chain.write(1, ("log", "4"), ("log", "5"), task="a", path="~2")
    chain.write(1, ("log", "3"), task="c", path="~1")
    chain.write(1, ("log", "2"), task="b", path="~1")
    chain.write(1, ("log", "1"), task="z", path="")
    chain.put(2, 1, {}, {"log": "2"})
    assert values_of(await history(chain.config())) == ["1", "2", "3", "4", "5"]


async def test_namespaces_and_threads_have_histories_of_their_own(saver, history):
    chains = [Chain(saver, thread, namespace) for thread in ("t", "t2") for namespace in ("", "sub:1", "sub:1|x:2")]
    for number, each in enumerate(chains):
        each.put(1, None, {"log": _DeltaSnapshot([number])}, {"log": "1"})
        each.write(1, ("log", number))
        each.put(2, 1, {}, {"log": "2"})
    for number, each in enumerate(chains):
        assert await history(each.config()) == {"writes": [("task", "log", number)], "seed": _DeltaSnapshot([number])}


async def test_what_is_not_there_has_no_history(chain, history, saver):
    assert await history(chain.config()) == {"writes": []}
    assert await history(chain.config(7)) == {"writes": []}
    assert saver.get_delta_channel_history(config=chain.config(), channels=[]) == {}


async def test_pruning_keeps_what_delta_channels_are_put_together_from(connection):
    saver = TablestoreSaver(connection)
    chain = Chain(saver)
    chain.put(1, None, {"log": _DeltaSnapshot(["a"])}, {"log": "1"})
    chain.write(1, ("log", "old"))
    chain.put(2, 1, {"log": _DeltaSnapshot(["a", "b"])}, {"log": "2"})
    for number in (3, 4, 5):
        chain.write(number - 1, ("log", f"w{number}"))
        checkpoint = {
            "v": 4,
            "id": chain.id(number),
            "ts": "",
            "channel_values": {},
            "channel_versions": {"log": str(number)},
            "versions_seen": {},
            "updated_channels": None,
        }
        metadata = {"step": number, "counters_since_delta_snapshot": {"log": (number - 2, number - 2)}}
        await saver.aput(chain.config(number - 1), checkpoint, metadata, {"log": str(number)})
    before = saver.get_delta_channel_history(config=chain.config(), channels=["log"])
    await saver.aprune(["t1"])
    assert saver.get_delta_channel_history(config=chain.config(), channels=["log"]) == before
    assert before["log"]["seed"] == _DeltaSnapshot(["a", "b"])
    assert saver.get_tuple(chain.config(1)) is None
