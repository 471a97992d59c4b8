"""The caller goes away in the middle: a cancelled task, a key pressed. What follows goes on as after a failure."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from langchain_core.messages import HumanMessage

from langchain_tablestore_memory import MessageStore, ServiceError, TablestoreChatMessageHistory

from .checks import check_kept, check_repeated
from .operations import each_operation, spoken
from .reporting import told_in_failures
from .wire import PASSING_FAULTS, WRITES, Fault
from .worlds import opened

# What only reads has no effect that it could be interrupted after.
WHEN = {"before": frozenset(), "after": WRITES}


@each_operation
@pytest.mark.parametrize("when", WHEN)
def test_a_key_is_pressed(operation, when, enter, undisturbed):
    def effect(request, forward):
        if when == "after":
            forward(request)
        raise KeyboardInterrupt

    expected = undisturbed(operation)
    for position in range(100):
        with told_in_failures(f"at request {position}"), enter(operation) as world:
            subject = operation.of(world)
            with world.faults.at(position, Fault("interrupted", effect, apis=WHEN[when])):
                try:
                    operation.run(subject)
                except KeyboardInterrupt:
                    assert world.faults.met
                if not world.faults.met:
                    break
            check_kept(operation, expected, world, None)
            check_repeated(operation, expected, world, lambda operation, subject: operation.run(subject), subject)
    assert position > 0 or not expected.writes


@each_operation
@pytest.mark.parametrize("when", [pytest.param("before", marks=pytest.mark.slow), "after"])
def test_a_task_is_cancelled(operation, when, enter, undisturbed):
    expected = undisturbed(operation)

    async def cancelled_at(position, world, subject):
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(operation.arun(subject))

        def cancel(delivered):
            task.cancel()
            loop.call_soon(delivered.set)

        def effect(request, forward):
            # In a worker thread, while the task waits for the answer.
            answer = forward(request) if when == "after" else None
            delivered = threading.Event()
            loop.call_soon_threadsafe(cancel, delivered)
            assert delivered.wait(10)
            return answer

        with (
            world.faults.at(position, Fault("cancelled", effect, apis=WHEN[when])),
            contextlib.suppress(asyncio.CancelledError),
        ):
            await task
        assert task.cancelled() == bool(world.faults.met)

    async def perform(subject):
        await operation.arun(subject)

    for position in range(100):
        with told_in_failures(f"at request {position}"), enter(operation) as world:
            subject = operation.of(world)
            # Its end waits for the requests that were under way beside the cancelled one.
            asyncio.run(cancelled_at(position, world, subject))
            if not world.faults.met:
                break
            check_kept(operation, expected, world, None)
            check_repeated(operation, expected, world, lambda _, subject: asyncio.run(perform(subject)), subject)
    assert position > 0 or not expected.writes


@pytest.mark.parametrize("again", [False, True], ids=["others", "the same"])
def test_a_count_that_is_in_doubt_is_set_right_with_the_next_messages(furnished, again):
    [lost] = [fault for fault in PASSING_FAULTS if str(fault) == "silent before"]
    [unanswered] = [fault for fault in PASSING_FAULTS if str(fault) == "dropped after"]
    with opened(furnished) as world:
        history = world.history()
        assert len(history.messages) == 4
        with (
            # First lookups of the ids, then one write that is lost and two that nobody hears of.
            world.faults.deciding(
                lambda _number, request: (
                    None if request.api != "BatchWriteRow" else (lost if not world.faults.met else unanswered)
                )
            ),
            pytest.raises(ServiceError),
        ):
            history.add_messages(spoken("m5", "m6"))
        history.add_messages(spoken("m5", "m6") if again else [HumanMessage("more", id="m7")])
        contents = world.contents()
        assert contents.ids(history.conversation) == ["m1", "m2", "m3", "m4", "m5", "m6", *([] if again else ["m7"])]
        assert contents.miscounted() == []


def test_messages_that_are_stored_but_not_counted_are_named(furnished):
    [unanswered] = [fault for fault in PASSING_FAULTS if str(fault) == "dropped after"]
    [busy] = [fault for fault in PASSING_FAULTS if str(fault) == "busy"]
    with opened(furnished) as world:
        history = TablestoreChatMessageHistory("s1", user_id="u1", connection=world.connection)
        writes = iter([unanswered, None])
        with (
            world.faults.deciding(
                lambda _number, request: (
                    next(writes) if request.api == "BatchWriteRow" else busy if world.faults.met else None
                )
            ),
            pytest.raises(ServiceError, match="The messages are stored, but session 's1'") as caught,
        ):
            history.add_messages(spoken("m5", "m6"))
        assert caught.value.failed == ("session 's1'",)
        assert caught.value.stored == ("message 'm5'", "message 'm6'")
        assert world.contents().ids(history.conversation)[-2:] == ["m5", "m6"]
        history.add_messages(spoken("m5", "m6"))
        assert world.contents().ids(history.conversation)[-2:] == ["m5", "m6"]
        assert world.contents().miscounted() == []


def test_a_table_that_vanishes_between_two_requests_counts_nothing_twice(furnished):
    with opened(furnished) as world:
        history = world.history("fresh")
        assert history.messages == []
        MessageStore(world.connection).drop()
        # 200 messages fill one request, which finds no table; their session goes out in another, which succeeds.
        history.add_messages([HumanMessage(f"text {n}") for n in range(200)])
        contents = world.contents()
        assert [columns["content"] for _, columns in contents.messages[history.conversation]] == [
            f"text {n}" for n in range(200)
        ]
        session_id, columns = contents.sessions["u1"][0]
        assert (session_id, columns["lc_message_count"]) == ("fresh", 200)
