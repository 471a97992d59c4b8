"""Programs and their two runners: what is asked, in which order, how often, and what becomes of failures."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from contextlib import contextmanager

import pytest
from tablestore.error import OTSClientError, OTSServiceError

from langchain_tablestore_memory import ConfigurationError, PermissionDeniedError, RetryPolicy, UnavailableError
from langchain_tablestore_memory.core import programs
from langchain_tablestore_memory.core.failures import Failure
from langchain_tablestore_memory.core.programs import TOGETHER_LIMIT, Call, Flow, Sleep, Together, arun, run
from langchain_tablestore_memory.errors import InvalidArgumentError, ServiceError
from langchain_tablestore_memory.local.clients import InProcessConnection

IMPATIENT = RetryPolicy(attempts=4, connect_attempts=2, first_delay=0, max_delay=0)
BUSY = OTSServiceError(503, "OTSServerBusy", "Server is busy.")
BROKEN = ConnectionResetError(104, "Connection reset by peer")
REFUSED = OTSServiceError(403, "OTSNoPermissionAccess", "You have no permission.")


class Client:
    """Answers calls of `get` by a script: answers, exceptions, or functions of the arguments."""

    def __init__(self, *script):
        self.script = list(script)
        self.calls = []

    def get(self, *args, **kwargs):
        self.calls.append((args, kwargs))
        outcome = self.script.pop(0) if self.script else "answer"
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome(*args) if callable(outcome) else outcome


class AsyncClient(Client):
    async def get(self, *args, **kwargs):
        await asyncio.sleep(0)
        outcome = super().get(*args, **kwargs)
        return await outcome if asyncio.iscoroutine(outcome) else outcome


@pytest.fixture(params=["sync", "async"])
def carry_out(request):
    """Runs a program over a client with a script; gives the result and the client."""

    def carry_out(program, *script, policy=IMPATIENT):
        if request.param == "sync":
            client = Client(*script)
            return run(program, client, policy), client
        client = AsyncClient(*script)
        return asyncio.run(arun(program, client, policy)), client

    carry_out.mode = request.param
    return carry_out


def ask(*args, repeatable=True, **kwargs):
    return (yield Call("get", *args, repeatable=repeatable, **kwargs))


def test_a_program_without_steps(carry_out):
    def nothing():
        return 7
        yield

    assert carry_out(nothing())[0] == 7


def test_steps_one_after_the_other(carry_out):
    def add():
        first = yield Call("get", 1, unit="a")
        second = yield Call("get", first)
        return first + second

    result, client = carry_out(add(), 3, 4)
    assert result == 7
    assert client.calls == [((1,), {"unit": "a"}), ((3,), {})]


def test_programs_in_programs(carry_out):
    def both():
        first = yield from ask(1)
        return [first, (yield from ask(2))]

    assert carry_out(both(), "a", "b")[0] == ["a", "b"]


def test_a_program_may_handle_a_failure(carry_out):
    def careful():
        try:
            yield Call("get", 1)
        except PermissionDeniedError as error:
            return [error.code, (yield Call("get", 2))]

    result, client = carry_out(careful(), REFUSED, "other")
    assert result == ["OTSNoPermissionAccess", "other"]
    assert len(client.calls) == 2


def test_a_program_may_clean_up_with_requests(carry_out):
    def tidy():
        try:
            yield Call("get", 1)
        finally:
            yield Call("get", "clean up")

    with pytest.raises(PermissionDeniedError):
        carry_out(tidy(), REFUSED)


def test_an_exception_of_the_program_itself(carry_out):
    def wrong():
        yield Call("get", 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        carry_out(wrong())


def test_bugs_are_not_dressed_up(carry_out):
    bug = AttributeError("a bug")
    with pytest.raises(AttributeError, match="a bug"):
        carry_out(ask(1), bug)


# Repeating


@pytest.mark.parametrize("failure", [BUSY, BROKEN, OTSClientError("HTTP status: 502, reason: Bad Gateway.", 502)])
def test_what_passes_is_asked_again(carry_out, failure):
    result, client = carry_out(ask("same", unit="a"), failure, failure, "answer")
    assert result == "answer"
    assert client.calls == [(("same",), {"unit": "a"})] * 3


def test_attempts_come_to_an_end(carry_out):
    with pytest.raises(UnavailableError, match=r"kept failing \(get\): OTSServerBusy: Server is busy") as caught:
        carry_out(ask(1), *[BUSY] * 9)
    assert caught.value.__cause__ is BUSY
    assert (caught.value.api, caught.value.code, caught.value.status) == ("get", "OTSServerBusy", 503)


@pytest.mark.parametrize("attempts", [1, 2, 7])
def test_attempts_are_counted(carry_out, attempts):
    policy = RetryPolicy(attempts=attempts, first_delay=0, max_delay=0)
    script = [*[BUSY] * (attempts - 1), "answer"]
    assert carry_out(ask(1), *script, policy=policy)[0] == "answer"
    with pytest.raises(UnavailableError):
        carry_out(ask(1), *[BUSY] * attempts, "answer", policy=policy)


def test_connecting_is_attempted_less_often(carry_out):
    import urllib3

    connection = urllib3.connection.HTTPConnection("somewhere")
    refused = urllib3.exceptions.NewConnectionError(connection, "refused")
    assert carry_out(ask(1), refused, "answer")[0] == "answer"
    with pytest.raises(UnavailableError, match="could not be reached"):
        carry_out(ask(1), refused, refused, "answer")


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (REFUSED, PermissionDeniedError),
        (OTSServiceError(400, "OTSParameterInvalid", "Invalid."), ServiceError),
        (OTSClientError("Invalid type."), InvalidArgumentError),
    ],
)
def test_what_lasts_is_not_asked_again(carry_out, failure, expected):
    asked = []

    def refuse(*args):
        asked.append(args)
        raise failure

    with pytest.raises(expected):
        carry_out(ask(1), refuse, refuse)
    assert len(asked) == 1


def test_what_must_not_be_repeated(carry_out):
    # It was turned away, so it was not carried out.
    assert carry_out(ask(1, repeatable=False), BUSY, "answer")[0] == "answer"
    with pytest.raises(UnavailableError, match="not known whether the request was carried out"):
        carry_out(ask(1, repeatable=False), BROKEN, "answer")


def test_a_doubt_is_not_forgotten(carry_out):
    """A first attempt that may have been carried out, and others that were turned away."""
    with pytest.raises(
        UnavailableError, match=r"OTSServerBusy: .* It is not known whether the request was carried out"
    ):
        carry_out(ask(1), BROKEN, BUSY, BUSY, BUSY)


# Waiting


def test_delays_grow_and_stay_within_bounds():
    policy = RetryPolicy(first_delay=0.1, max_delay=4)
    for attempt, longest in [(1, 0.1), (2, 0.2), (3, 0.4), (6, 3.2), (7, 4), (10, 4), (5000, 4), (10**9, 4)]:
        delays = [policy.delay(attempt) for _ in range(50)]
        assert longest / 2 <= min(delays) <= max(delays) <= longest
        assert len(set(delays)) > 1


def test_no_delay():
    assert RetryPolicy(first_delay=0, max_delay=0).delay(10) == 0


@pytest.mark.parametrize("name", ["attempts", "connect_attempts"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True, None])
def test_wrong_attempts(name, value):
    with pytest.raises(ConfigurationError, match=rf"{name} is .*\. Give an int, at least 1\."):
        RetryPolicy(**{name: value})


@pytest.mark.parametrize("name", ["first_delay", "max_delay", "deadline"])
@pytest.mark.parametrize("value", [-0.1, "3", True, None, float("nan"), float("inf")])
def test_wrong_delays(name, value):
    with pytest.raises(ConfigurationError, match=rf"{name} is .*\. Give seconds, at least 0\."):
        RetryPolicy(**{name: value})


def test_the_policy_decides_who_comes_back():
    policy = RetryPolicy(attempts=3, connect_attempts=2)
    passing = Failure("OTSServerBusy", "", transient=True)
    unconnected = Failure("", "", transient=True, unconnected=True)
    for failure, answers in [(passing, [True, True, False]), (unconnected, [True, False])]:
        retries = policy.begin()
        for answer in answers:
            assert retries.allow(failure) == answer
            retries.pause()
    assert not policy.begin().allow(Failure("OTSParameterInvalid", ""))


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class TestDeadline:
    @pytest.fixture
    def clock(self, monkeypatch):
        clock = Clock()
        monkeypatch.setattr(programs, "time", clock)
        return clock

    def test_a_service_that_never_answers(self, carry_out, clock):
        def hang(*_):
            clock.sleep(50)  # as long as the SDK waits by default
            raise TimeoutError

        begun = clock.now
        with pytest.raises(UnavailableError, match="TimeoutError"):
            carry_out(ask(1), *[hang] * 20, policy=RetryPolicy(first_delay=0, max_delay=0))
        assert clock.now - begun == 100

    @pytest.mark.parametrize(("deadline", "attempts"), [(0, 1), (4, 1), (6, 2), (11, 3), (1000, 4)])
    def test_no_attempt_begins_after_it(self, carry_out, clock, deadline, attempts):
        begins = []

        def hang(*_):
            begins.append(clock.now)
            clock.sleep(5)
            raise BROKEN

        policy = RetryPolicy(attempts=4, first_delay=0, max_delay=0, deadline=deadline)
        with pytest.raises(UnavailableError):
            carry_out(ask(1), *[hang] * 20, policy=policy)
        assert len(begins) == attempts

    def test_each_request_has_its_own(self, carry_out, clock):
        def slowly(*_):
            clock.sleep(5)
            raise BROKEN

        def several():
            for number in range(3):
                yield Call("get", number)

        _, client = carry_out(several(), *[slowly, "answer"] * 3, policy=RetryPolicy(first_delay=0, deadline=6))
        assert len(client.calls) == 6

    def test_quick_failures_have_all_their_attempts(self, carry_out, clock):
        with pytest.raises(UnavailableError):
            carry_out(ask(1), *[BUSY] * 20, policy=RetryPolicy(first_delay=0, max_delay=0))
        _, client = carry_out(ask(1), *[BUSY] * 9, policy=RetryPolicy(first_delay=0, max_delay=0))
        assert len(client.calls) == 10
        # Their pauses, at their longest, are over long before the deadline.
        policy = RetryPolicy()
        assert sum(policy.delay(attempt) for attempt in range(1, policy.attempts)) < policy.deadline / 2


def test_sleeping(carry_out):
    def rest():
        begun = time.monotonic()
        yield Sleep(0.05)
        return time.monotonic() - begun

    assert 0.05 <= carry_out(rest())[0] < 5


async def test_sleeping_leaves_the_loop_free():
    def rest():
        yield Sleep(0.2)

    task = asyncio.create_task(arun(rest(), AsyncClient(), IMPATIENT))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


# Together


def test_together(carry_out):
    def all_of_them():
        return (yield Together([ask(n) for n in range(20)]))

    result, client = carry_out(all_of_them(), *[lambda n: n * 10] * 20)
    assert result == [n * 10 for n in range(20)]
    assert sorted(args for args, _ in client.calls) == [(n,) for n in range(20)]


@pytest.mark.parametrize("count", [0, 1])
def test_together_with_few(carry_out, count):
    def all_of_them():
        return (yield Together([ask(n) for n in range(count)]))

    assert carry_out(all_of_them())[0] == ["answer"] * count


def test_together_in_together(carry_out):
    def pair(n):
        return (yield Together([ask(n), ask(n + 1)]))

    def pairs():
        return (yield Together([pair(n) for n in range(0, 20, 2)]))

    result, _ = carry_out(pairs(), *[lambda n: n] * 20)
    assert result == [[n, n + 1] for n in range(0, 20, 2)]


def test_together_goes_on_where_one_fails(carry_out):
    def all_of_them():
        return (yield Together([ask(n) for n in range(10)]))

    done = []

    def answer(n):
        if n in (3, 5):
            raise OTSServiceError(400, "OTSParameterInvalid", f"Refused: {n}.")
        done.append(n)

    # The first in order is told, whoever was first to fail.
    with pytest.raises(ServiceError, match=r"Refused: 3\."):
        carry_out(all_of_them(), *[answer] * 10)
    assert sorted(done) == [0, 1, 2, 4, 6, 7, 8, 9]


class Attendance:
    """Answers slowly, and counts how many calls are waiting: now, and at most so far."""

    def __init__(self, mode):
        self.now = self.most = 0
        self.answer = self._answer if mode == "sync" else self._answer_on_a_loop
        self._lock = threading.Lock()

    @contextmanager
    def _one_more(self):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        yield
        with self._lock:
            self.now -= 1

    def _answer(self, _):
        with self._one_more():
            time.sleep(0.005)

    async def _answer_on_a_loop(self, _):
        with self._one_more():
            await asyncio.sleep(0.005)


def test_together_keeps_to_its_limit(carry_out):
    def all_of_them():
        yield Together([ask(n) for n in range(40)])

    attendance = Attendance(carry_out.mode)
    carry_out(all_of_them(), *[attendance.answer] * 40)
    assert 1 < attendance.most <= TOGETHER_LIMIT


def test_together_in_one_process_takes_turns_and_goes_on_where_one_fails():
    client = Client(*[lambda n: threads.append((n, threading.get_ident())) or answer(n)] * 4)
    client.connection = InProcessConnection(None)
    threads = []

    def answer(n):
        if n in (1, 2):
            raise OTSServiceError(400, "OTSParameterInvalid", f"Refused: {n}.")

    def all_of_them():
        return (yield Together([ask(n) for n in range(4)]))

    with pytest.raises(ServiceError, match=r"Refused: 1\."):
        run(all_of_them(), client, IMPATIENT)
    assert threads == [(n, threading.get_ident()) for n in range(4)]


# Flow


def flow_of(programs, limit=3):
    waiting = list(programs)

    def flow():
        yield Flow(lambda: waiting.pop(0) if waiting else None, limit)
        return "over"

    return flow(), waiting


@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_flow(carry_out, count):
    program, _ = flow_of(ask(n) for n in range(count))
    result, client = carry_out(program)
    assert result == "over"
    assert sorted(args for args, _ in client.calls) == [(n,) for n in range(count)]


def test_flow_is_asked_again_when_one_has_ended(carry_out):
    # Each program makes the next one possible, as a write follows what was embedded.
    possible, begun = [0], []

    def step(n):
        yield Call("get", n)
        if n < 5:
            possible.append(n + 1)

    def find():
        if not possible:
            return None
        begun.append(possible.pop())
        return step(begun[-1])

    def flow():
        yield Flow(find, 3)

    carry_out(flow())
    assert begun == [0, 1, 2, 3, 4, 5]


def test_flow_goes_on_while_one_is_slow():
    others = threading.Semaphore(0)

    def answer(n):
        if n:
            others.release()
        else:
            for _ in range(9):
                assert others.acquire(timeout=10)

    program, _ = flow_of((ask(n) for n in range(10)), limit=2)
    assert run(program, Client(*[answer] * 10), IMPATIENT) == "over"


def test_flow_keeps_to_its_limit(carry_out):
    attendance = Attendance(carry_out.mode)
    program, _ = flow_of((ask(n) for n in range(20)), limit=3)
    carry_out(program, *[attendance.answer] * 20)
    assert 1 < attendance.most <= 3


def test_flow_that_fails_asks_for_no_more_and_lets_the_others_end(carry_out):
    ended = []

    def step(n):
        if n == 0:
            raise InvalidArgumentError("wrong")
        yield Call("get", n)
        yield Call("get", n)
        ended.append(n)

    program, waiting = flow_of((step(n) for n in range(9)), limit=3)
    with pytest.raises(InvalidArgumentError, match="wrong"):
        carry_out(program)
    assert ended == [1, 2]
    assert len(waiting) == 6


# Being interrupted


async def test_cancellation_reaches_the_program():
    seen = []

    def tidy():
        try:
            yield Call("get", 1)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("finally")

    async def forever(_):
        await asyncio.sleep(3600)

    task = asyncio.create_task(arun(tidy(), AsyncClient(forever), IMPATIENT))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled", "finally"]


async def test_cancellation_reaches_all_that_run_together():
    begun, ended = asyncio.Semaphore(0), []

    async def forever(n):
        begun.release()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(n)

    def all_of_them():
        yield Together([ask(n) for n in range(5)])

    task = asyncio.create_task(arun(all_of_them(), AsyncClient(*[forever] * 5), IMPATIENT))
    for _ in range(5):
        await begun.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert sorted(ended) == [0, 1, 2, 3, 4]


async def test_cancellation_reaches_all_of_a_flow():
    begun, ended = asyncio.Semaphore(0), []

    async def forever(n):
        begun.release()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(n)

    program, waiting = flow_of((ask(n) for n in range(5)), limit=3)
    task = asyncio.create_task(arun(program, AsyncClient(*[forever] * 5), IMPATIENT))
    for _ in range(3):
        await begun.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == [0, 1, 2]
    assert len(waiting) == 2


async def test_cancellation_while_waiting_to_try_again():
    task = asyncio.create_task(arun(ask(1), AsyncClient(BUSY), RetryPolicy(first_delay=1000, max_delay=1000)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_key_that_is_pressed_ends_the_program():
    seen = []

    def tidy():
        try:
            yield Call("get", 1)
        finally:
            seen.append("finally")

    # Held, as a console holds it for its user to look at.
    with pytest.raises(KeyboardInterrupt) as held:
        run(tidy(), Client(KeyboardInterrupt()), IMPATIENT)
    assert seen == ["finally"]
    assert held.tb is not None


@pytest.mark.parametrize("kind", ["together", "flow"])
def test_a_key_that_is_pressed_waits_for_nobody(kind):
    begun, answer = threading.Barrier(4), threading.Event()

    def slowly(n):
        begun.wait(timeout=10)
        if n == 0:
            # Once the main thread waits: of a signal in the instant before, CPython tells it when the wait is over.
            time.sleep(0.2)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        answer.wait(timeout=10)

    def all_of_them():
        numbers = iter(range(100))
        if kind == "together":
            yield Together([ask(n) for n in numbers])
        else:
            yield Flow(lambda: next((ask(n) for n in numbers), None), limit=4)

    client = Client(*[slowly] * 100)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(all_of_them(), client, IMPATIENT)
    assert time.monotonic() - started < 5
    answer.set()
    time.sleep(0.05)
    # What had begun goes on in its thread, the rest does not begin.
    assert len(client.calls) <= TOGETHER_LIMIT


def test_calls_know_nothing_of_clients():
    assert Call("get", 1, unit="a") == Call("get", 1, unit="a")
    assert Call("get", 1) != Call("get", 2)
    assert not hasattr(programs, "OTSClient")
