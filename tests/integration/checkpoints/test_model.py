"""Random sequences of operations, held against LangGraph's saver in memory."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest
from core.support import Face
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from langchain_tablestore_memory.langgraph import TablestoreSaver
from langchain_tablestore_memory.langgraph.checkpoints import rows, values, writing

from .support import NEVER, MeasuredTablestore, ModelSaver, State, Thread, by_line, told

THREADS = ["t", "t1", "t\x00x", "线程"]
NAMESPACES = ["", "sub", "sub:1", "sub:1|deep:2"]
RUNS = ["run-1", "run-2", None]
TASKS = ["task-a", "task-b", "任务 \x00/|"]
PATHS = ["", "~a", "~b"]
CHANNELS = ["messages", "log", "n"]
SPECIAL = ["__error__", "__interrupt__", "__resume__", "__scheduled__"]

sizes = st.sampled_from([0, 1, 30, 700, 3000, 30_000])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.binary(max_size=5),
)
texts = st.builds(lambda letter, size: f"{letter}{'.' * size}", st.sampled_from("abc"), sizes)
entries = st.one_of(
    texts, texts, scalars, st.lists(scalars, max_size=2), st.dictionaries(st.text(max_size=3), scalars, max_size=2)
)
lists = st.lists(entries, max_size=12)
others = st.one_of(
    scalars,
    entries,
    st.tuples(scalars, texts),
    st.binary(max_size=3).map(bytearray),
    st.sets(st.integers(0, 99), max_size=3),
)
positions = st.integers(0, 12)

edits = st.one_of(
    st.tuples(st.just("grow"), lists),
    st.tuples(st.just("grow"), lists),
    st.tuples(st.just("repeat"), st.integers(1, 3)),
    st.tuples(st.just("shrink"), positions),
    st.tuples(st.just("drop first"), positions),
    st.tuples(st.just("change"), st.tuples(positions, entries)),
    st.tuples(st.just("insert"), st.tuples(positions, entries)),
    st.tuples(st.just("reverse"), st.none()),
    st.tuples(st.just("replace"), lists),
    st.tuples(st.just("set"), others),
    st.tuples(st.just("never"), st.none()),
)


def edited(before: Any, edit: tuple[str, Any]) -> Any:
    """The value of a channel after an edit."""
    kind, how = edit
    if kind in {"replace", "set"}:
        return how
    if kind == "never":
        return NEVER
    value = list(before) if isinstance(before, list) else []
    match kind:
        case "grow":
            return value + how
        case "repeat":
            return value * how if len(value) < 40 else value
        case "shrink":
            return value[:how]
        case "drop first":
            return value[how:]
        case "change":
            return [*value[: how[0]], how[1], *value[how[0] + 1 :]]
        case "insert":
            return [*value[: how[0]], how[1], *value[how[0] :]]
        case "reverse":
            return value[::-1]
    raise AssertionError(kind)


changes = st.dictionaries(st.sampled_from(CHANNELS), edits, max_size=3)
writes = st.lists(st.tuples(st.sampled_from([*CHANNELS, *SPECIAL]), others), min_size=1, max_size=4)


class Savers(RuleBasedStateMachine):
    """Two savers on one table, as two processes have them, and the model."""

    mode = "sync"

    def __init__(self) -> None:
        super().__init__()
        self.engine = MeasuredTablestore()
        self.connection = self.engine.connection(self.mode)
        self.model = ModelSaver()
        self.numbers = count(1)
        self.states: list[State] = []
        self.runner = asyncio.Runner()

    @initialize()
    def open(self) -> None:
        self.savers = [self.another(), self.another()]

    def another(self) -> Face:
        return Face(TablestoreSaver(self.connection), self.mode)

    def ask(self, which: int, method: str, *args: Any, **kwargs: Any) -> Any:
        return self.runner.run(getattr(self.savers[which], method)(*args, **kwargs))

    def both(self, which: int, method: str, *args: Any, **kwargs: Any) -> None:
        self.ask(which, method, *args, **kwargs)
        getattr(self.model, method)(*args, **kwargs)

    def existing(self, choose: float) -> State:
        there = {tuple(found.config["configurable"].values()) for found in self.model.list(None)}
        self.states = [each for each in self.states if tuple(each.config["configurable"].values()) in there]
        assume(self.states)
        # Mostly late ones: that is where threads go on.
        return self.states[int(len(self.states) * choose)]

    def put(self, which: int, step: Any) -> None:
        self.both(which, "put", *step.arguments)
        self.states.append(step.state)
        config = step.state.config
        assert told(self.ask(which, "get_tuple", config)) == told(self.model.get_tuple(config))

    either = st.integers(0, 1)
    mostly_late = st.floats(0, 0.999).map(lambda x: x**0.3)

    @rule(which=either, thread=st.sampled_from(THREADS), namespace=st.sampled_from(NAMESPACES), changes=changes)
    def begin(self, which: int, thread: str, namespace: str, changes: dict[str, Any]) -> None:
        made = {channel: edited(None, edit) for channel, edit in changes.items()}
        self.put(which, Thread(thread, namespace, self.numbers).step(None, made))

    @rule(
        which=either,
        choose=mostly_late,
        changes=st.lists(changes, min_size=1, max_size=4),
        run_id=st.sampled_from(RUNS),
    )
    def go_on(self, which: int, choose: float, changes: list[dict[str, Any]], run_id: str | None) -> None:
        state = self.existing(choose)
        thread_id, namespace, _ = state.config["configurable"].values()
        for each in changes:
            made = {channel: edited(state.values.get(channel), edit) for channel, edit in each.items()}
            step = Thread(thread_id, namespace, self.numbers).step(
                state, made, **({"run_id": run_id} if run_id else {})
            )
            self.put(which, step)
            state = step.state

    @rule(which=either, choose=mostly_late)
    def put_again(self, which: int, choose: float) -> None:
        """As after an answer that was lost."""
        state = self.existing(choose)
        thread_id, namespace, _ = state.config["configurable"].values()
        step = Thread(thread_id, namespace, self.numbers).step(state, {"n": 1, "log": ["x" * 5000] * 3})
        self.put(which, step)
        self.put(which, step)

    @rule(which=either, choose=mostly_late)
    def copy_checkpoint(self, which: int, choose: float) -> None:
        state = self.existing(choose)
        # Only where its parent is there can LangGraph have read it.
        assume(state.parent is None or self.model.get_tuple(state.parent))
        thread_id, namespace, _ = state.config["configurable"].values()
        self.put(which, Thread(thread_id, namespace, self.numbers).copy(state))

    @rule(which=either, choose=mostly_late, task=st.sampled_from(TASKS), path=st.sampled_from(PATHS), writes=writes)
    def put_writes(self, which: int, choose: float, task: str, path: str, writes: list[tuple[str, Any]]) -> None:
        config = self.existing(choose).config
        self.both(which, "put_writes", config, writes, task, path)
        assert told(self.ask(which, "get_tuple", config)) == told(self.model.get_tuple(config))

    @rule(which=either, thread=st.sampled_from(THREADS))
    def delete_thread(self, which: int, thread: str) -> None:
        self.both(which, "delete_thread", thread)
        assert self.ask(which, "list", {"configurable": {"thread_id": thread}}) == []

    @rule(which=either, source=st.sampled_from(THREADS), number=st.integers(0, 2))
    def copy_thread(self, which: int, source: str, number: int) -> None:
        target = f"{source} copy {number}"
        self.both(which, "delete_thread", target)
        self.both(which, "copy_thread", source, target)
        self.states += [
            State({"configurable": {**each.config["configurable"], "thread_id": target}}, None, each.checkpoint)
            for each in self.states
            if each.config["configurable"]["thread_id"] == source
        ]

    @rule(
        which=either,
        threads=st.lists(st.sampled_from(THREADS), max_size=2),
        strategy=st.sampled_from(["keep_latest", "delete"]),
    )
    def prune(self, which: int, threads: list[str], strategy: str) -> None:
        self.both(which, "prune", threads, strategy=strategy)

    @rule(which=either, runs=st.lists(st.sampled_from(["run-1", "run-2", "absent"]), max_size=2))
    def delete_for_runs(self, which: int, runs: list[str]) -> None:
        self.both(which, "delete_for_runs", runs)

    @rule(which=either)
    def open_another(self, which: int) -> None:
        self.savers[which] = self.another()

    @rule(
        which=either,
        thread=st.sampled_from(THREADS),
        namespace=st.sampled_from(NAMESPACES),
        limit=st.none() | st.integers(0, 5),
        step=st.none() | st.integers(0, 20),
        run_id=st.sampled_from([*RUNS, "absent"]),
    )
    def list_some(
        self, which: int, thread: str, namespace: str, limit: int | None, step: int | None, run_id: str | None
    ) -> None:
        config = Thread(thread, namespace).config()
        asked = {
            "filter": {"run_id": run_id} if run_id else None,
            "before": None if step is None else Thread(thread, namespace).config(Thread.checkpoint(step, {}, {})["id"]),
            "limit": limit,
        }
        expected = [told(found) for found in self.model.list(config, **asked)]
        assert [told(found) for found in self.ask(which, "list", config, **asked)] == expected

    @rule(which=either, choose=mostly_late)
    def list_one(self, which: int, choose: float) -> None:
        config = self.existing(choose).config
        [found] = self.ask(which, "list", config)
        assert told(found) == told(self.model.get_tuple(config))

    @rule(which=either)
    def list_everything(self, which: int) -> None:
        expected = by_line(self.model.list(None))
        assert by_line(self.ask(which, "list", None)) == expected
        for thread in THREADS:
            wanted = {line: found for line, found in expected.items() if line[0] == thread}
            assert by_line(self.ask(which, "list", {"configurable": {"thread_id": thread}})) == wanted

    def teardown(self) -> None:
        with self.engine, self.runner:
            if hasattr(self, "savers"):
                self.list_everything(0)
                for found in list(self.model.list(None)):
                    assert told(self.ask(1, "get_tuple", found.config)) == told(found)


def machine(mode: str) -> type[Savers]:
    return type(f"{mode.title()}Savers", (Savers,), {"mode": mode})


def run(mode: str, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine(mode),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits so low that values of a few entries are in several runs and in pieces."""
    for module, limits in (
        (values, {"MAX_REWRITTEN": 8, "MAX_CARRIED": 3}),
        (rows, {"MAX_IN_ROW": 400, "PIECE_BYTES": 150}),
        (writing, {"MAX_INLINE": 64, "MAX_IN_ROW": 400, "PIECE_BYTES": 150}),
    ):
        for name, limit in limits.items():
            monkeypatch.setattr(module, name, limit)


def test_the_same_answers(mode):
    run(mode, 10, 15)


def test_the_same_answers_with_small_limits(mode, small_limits):
    run(mode, 10, 15)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_same_answers_for_long(mode):
    run(mode, 60, 30)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_same_answers_for_long_with_small_limits(mode, small_limits):
    run(mode, 80, 30)
