"""Random sequences of changes under random faults, held against a list."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from langchain_tablestore_memory import MessageNotFoundError, ServiceError, UnavailableError, WriteError

from .reporting import told_in_failures
from .wire import FORBIDDEN_FAULT, LASTING_ROW_FAULTS, PASSING_FAULTS, PASSING_ROW_FAULTS
from .worlds import World, opened

PASSING = [*PASSING_FAULTS, *PASSING_ROW_FAULTS]
LASTING = [FORBIDDEN_FAULT, *LASTING_ROW_FAULTS]
USERS = ("u1", "u2")
IDS = [f"m{n}" for n in range(8)]

step = st.one_of(
    st.tuples(st.just("add"), st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True)),
    st.tuples(st.just("edit"), st.sampled_from(IDS)),
    st.tuples(st.just("delete"), st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True)),
    st.tuples(st.just("clear"), st.none()),
    st.tuples(st.just("read"), st.none()),
    # Another object, as another process would have it.
    st.tuples(st.just("reopen"), st.none()),
)


@dataclass
class Model:
    """What a conversation should hold: texts by id, in order."""

    texts: dict[str, str] = field(default_factory=dict)

    def apply(self, action: str, what: Any, text: str) -> None:
        match action:
            case "add":
                self.texts.update(dict.fromkeys(what, text))
            case "edit":
                if what in self.texts:
                    self.texts[what] = text
            case "delete":
                self.texts = {i: t for i, t in self.texts.items() if i not in what}
            case "clear":
                self.texts = {}


def carry_out(run: Callable[[Any, str], Any], history: Any, action: str, what: Any, text: str) -> list[str] | None:
    """One step; the texts that were read, where it reads."""
    match action:
        case "add":
            run(history, "add_messages")([HumanMessage(text, id=message_id) for message_id in what])
        case "edit":
            with contextlib.suppress(MessageNotFoundError):
                run(history, "edit")(what, HumanMessage(text))
        case "delete":
            run(history, "delete")(*what)
        case "clear":
            run(history, "clear")()
        case "read":
            history.refresh()
            return [entry.message.content for entry in run(history, "page")(limit=50).entries]
    return None


@pytest.mark.parametrize("mode", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_conversations_under_faults(furnished, mode):
    with asyncio.Runner() as runner:

        def run(history: Any, method: str) -> Any:
            if mode == "sync":
                return getattr(history, method)
            return lambda *args, **kwargs: runner.run(getattr(history, f"a{method}")(*args, **kwargs))

        @settings(
            max_examples=2 * settings.default.max_examples // 5,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(st.lists(st.tuples(st.sampled_from(USERS), step), min_size=1, max_size=12), st.integers(0, 2**32))
        def check(steps, seed):
            with opened(furnished) as world:
                live_through(world, run, steps, random.Random(seed))

        check()


def live_through(world: World, run: Any, steps: list[Any], chance: random.Random) -> None:
    histories = {user: world.history("chat", user) for user in USERS}
    models = {user: Model() for user in USERS}

    def decide(_number: int, request: Any) -> Any:
        if chance.random() > 0.35:
            return None
        fault = chance.choice(LASTING if chance.random() < 0.1 else PASSING)
        return fault if fault.concerns(request) else None

    for number, (user, (action, what)) in enumerate(steps):
        text = f"{user} {number}"
        if action == "reopen":
            histories[user] = world.history("chat", user)
            continue
        with told_in_failures(f"step {number}: {user} {action} {what}"):
            read, error = attempt(world, decide, partial(carry_out, run, histories[user], action, what, text))
            if error is not None:
                assert world.faults.met
                assert isinstance(error, UnavailableError) or error.code in str(error)
                assert not isinstance(error, WriteError) or error.failed
                # Whoever was told of a failure does it again.
                read = carry_out(run, histories[user], action, what, text)
            models[user].apply(action, what, text)
            if read is not None:
                assert read == list(models[user].texts.values())
            check_contents(world, models)


def attempt(world: World, decide: Any, act: Callable[[], Any]) -> tuple[Any, ServiceError | None]:
    with world.faults.deciding(decide):
        try:
            return act(), None
        except ServiceError as error:
            return None, error


def check_contents(world: World, models: dict[str, Model]) -> None:
    contents = world.contents()
    assert contents.faults == ()
    assert contents.miscounted() == []
    for user, model in models.items():
        stored = contents.messages.get(f"user:2:{user}/chat", [])
        assert [(message_id, columns["content"]) for message_id, columns in stored] == list(model.texts.items())
