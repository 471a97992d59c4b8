"""Requests as data, programs made of them, and the two runners that carry programs out.

A *program* is a generator that yields steps and is sent their answers. It does no I/O itself, so every operation of
this package is written once and runs both over `tablestore.OTSClient` and over `tablestore.AsyncOTSClient`:

```python
def read_title(user_id: str, session_id: str) -> Program[str | None]:
    key = [("user_id", user_id), ("session_id", session_id)]
    _, row, _ = yield Call("get_row", "session", key, max_version=1)
    return None if row is None else dict(c[:2] for c in row.attribute_columns).get("title")


run(read_title("u1", "s1"), client, RetryPolicy())
await arun(read_title("u1", "s1"), async_client, RetryPolicy())
```

The steps are `Call` and `WriteRows` (requests), `Together` (programs to run at the same time), `Flow` (the same, found
as they go), `Sleep`, and `Outside` (calls of something else, such as an embedding model). How often a request is
attempted again, and what its failure becomes, is decided here as well: the SDK's own retry policies repeat neither
`UpdateRow` nor `Search` nor anything after a network failure.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from langchain_tablestore_memory.core.failures import Failure
from langchain_tablestore_memory.errors import ConfigurationError

if TYPE_CHECKING:
    import tablestore

T = TypeVar("T")
Program = Generator["Step", Any, T]
"""A generator that yields steps, is sent their answers, and returns a `T`."""

_DOUBLINGS = 64
"""More of them would leave the range of floats; any delay has reached its longest by then."""

TOGETHER_LIMIT = 8
"""How many programs of one `Together` are under way at once."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed request is attempted again, and how long to wait before.

    Attributes:
        attempts: Attempts in all, the first included, for answers that ask to come back later.
        connect_attempts: Attempts in all where no connection could be made. Few, because the usual cause is a
            wrong address, and somebody is waiting to read so.
        first_delay: The longest wait before the second attempt, in seconds. It doubles with each further attempt.
        max_delay: The longest wait before any attempt, in seconds.
        deadline: Seconds after the first attempt from which on no further one begins. It counts where attempts are
            slow to fail: one that is never answered takes the client's `socket_timeout`, 50 s by default. So a request
            fails at the latest after both together, 110 s by default.

    Raises:
        ConfigurationError: A number is out of range.

    Example:
        ```python
        connect("https://...", retry=RetryPolicy(deadline=10), socket_timeout=5)  # fails within 15 s
        ```
    """

    attempts: int = 10
    connect_attempts: int = 4
    first_delay: float = 0.1
    max_delay: float = 4.0
    deadline: float = 60.0

    def __post_init__(self) -> None:
        for name in ("attempts", "connect_attempts"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{name} is {value!r}. Give an int, at least 1.")
        for name in ("first_delay", "max_delay", "deadline"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ConfigurationError(f"{name} is {value!r}. Give seconds, at least 0.")

    def delay(self, attempt: int) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1): exponential, with jitter.

        Half of the wait is random, so that clients that failed together do not come back together.
        """
        longest: float = min(self.max_delay, self.first_delay * 2 ** min(attempt - 1, _DOUBLINGS))
        return longest * (0.5 + random.random() / 2)  # noqa: S311 - spreading load, not keeping a secret

    def begin(self) -> Retries:
        """Begin to count the attempts of one request, the first of which goes out now."""
        return Retries(self)


@dataclass(slots=True)
class Retries:
    """The attempts of one request, counted and timed."""

    policy: RetryPolicy
    _attempt: int = 1
    _begun: float = field(default_factory=lambda: time.monotonic())  # noqa: PLW0108 - looked up when it is called

    def allow(self, failure: Failure) -> bool:
        """Whether to attempt again after `failure` of the latest attempt."""
        limit = self.policy.connect_attempts if failure.unconnected else self.policy.attempts
        in_time = time.monotonic() - self._begun < self.policy.deadline
        return failure.transient and self._attempt < limit and in_time

    def pause(self) -> Sleep:
        """The wait before the next attempt, which is then the latest."""
        self._attempt += 1
        return Sleep(self.policy.delay(self._attempt - 1))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of an SDK method, as it goes out. Programs yield `Call` or `WriteRows` instead."""

    api: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Outside:
    """A call of something that is not Tablestore, such as an embedding model. Answers with what it returns.

    Attributes:
        blocking: The call.
        awaiting: Its async twin.
    """

    blocking: Callable[[], Any]
    awaiting: Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Together:
    """Programs to run at the same time, where that saves time. Answers with their results, in order.

    All run to their end, also where one fails; then the first failure, in order, is raised.
    """

    programs: Sequence[Program[Any]]


@dataclass(frozen=True, slots=True)
class Flow:
    """Programs of which several are under way at any time, found one by one.

    Where `Together` waits for all before anything follows, here one starts as soon as another has ended. It is over
    when there is no next program and none is under way. After a failure no more are asked for; those under way run to
    their end, then it is raised.

    Attributes:
        next: Gives the program to start next, or None where there is none as long as none of those under way ends. Not
            called while it runs.
        limit: How many are under way at the most.
    """

    next: Callable[[], Program[Any] | None]
    limit: int


class Request(Protocol):
    """What a program may ask of the service: it knows how it is attempted."""

    def attempts(self, policy: RetryPolicy) -> Generator[Attempt | Sleep, Any, Any]:
        """Yield attempts and pauses; return the answer or raise one of `langchain_tablestore_memory.errors`."""
        ...


Step = Request | Together | Flow | Sleep | Outside


@dataclass(frozen=True, slots=True, init=False)
class Call:
    """A call of one SDK method.

    Args:
        api: The method's name, such as ``get_row``.
        *args: Its positional arguments.
        repeatable: Whether carrying it out twice is harmless. If not, it is attempted again only where the service
            said that it was not carried out.
        **kwargs: Its keyword arguments.
    """

    api: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    repeatable: bool

    def __init__(self, api: str, *args: Any, repeatable: bool = True, **kwargs: Any) -> None:
        object.__setattr__(self, "api", api)
        object.__setattr__(self, "args", args)
        object.__setattr__(self, "kwargs", kwargs)
        object.__setattr__(self, "repeatable", repeatable)

    def attempts(self, policy: RetryPolicy) -> Generator[Attempt | Sleep, Any, Any]:
        """Attempt until answered, refused, or out of attempts."""
        retries, in_doubt = policy.begin(), False
        while True:
            try:
                return (yield Attempt(self.api, self.args, self.kwargs))
            except Exception as error:
                failure = Failure.of(error)
                if failure is None:
                    raise
                # What one attempt may have done, a later one that was turned away does not undo.
                in_doubt = in_doubt or failure.ambiguous
                repeatable = self.repeatable or not failure.ambiguous
                if not (repeatable and retries.allow(failure)):
                    raise replace(failure, ambiguous=in_doubt).to_error(self.api) from error
            yield retries.pause()


@dataclass(slots=True)
class _Drive:
    """Drives one program: remembers what to send or throw into it next."""

    program: Generator[Any, Any, Any]
    answer: Any = None
    error: BaseException | None = None
    result: Any = field(default=None, init=False)

    def step(self) -> Any:
        """The program's next step, or None when it has returned (`result` is set)."""
        try:
            if self.error is not None:
                error, self.error = self.error, None
                return self.program.throw(error)
            answer, self.answer = self.answer, None
            return self.program.send(answer)
        except StopIteration as stop:
            self.result = stop.value
            return None


def run(program: Program[T], client: tablestore.OTSClient, policy: RetryPolicy) -> T:
    """Carry a program out over the sync client."""
    drive = _Drive(program)
    while (step := drive.step()) is not None:
        try:
            drive.answer = _perform(step, client, policy)
        except BaseException as error:  # noqa: BLE001 - whatever happened is the program's to handle, Ctrl-C too
            drive.error = error
    return drive.result  # type: ignore[no-any-return]


def _perform(step: Any, client: tablestore.OTSClient, policy: RetryPolicy) -> Any:
    if isinstance(step, Attempt):
        return getattr(client, step.api)(*step.args, **step.kwargs)
    if isinstance(step, Sleep):
        return time.sleep(step.seconds)
    if isinstance(step, Outside):
        return step.blocking()
    if isinstance(step, Together):
        if len(step.programs) == 1 or _is_in_process(client):
            return _run_in_turn(step.programs, client, policy)
        with _threads(min(TOGETHER_LIMIT, len(step.programs) or 1)) as pool:
            futures = [pool.submit(run, program, client, policy) for program in step.programs]
            wait(futures)
        return [future.result() for future in futures]
    if isinstance(step, Flow):
        return _run_flow(step, client, policy)
    return run(step.attempts(policy), client, policy)


@contextmanager
def _threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """Threads whose work is waited for, except by whoever pressed a key: then what has not begun does not begin."""
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    except Exception:
        pool.shutdown()
        raise
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _is_in_process(client: tablestore.OTSClient) -> bool:
    """Whether requests are answered by the thread that sends them.

    Then nothing is waited for that others could use, and threads would only take the interpreter from each other.
    """
    return getattr(getattr(client, "connection", None), "in_process", False) is True


def _run_in_turn(programs: Sequence[Program[Any]], client: tablestore.OTSClient, policy: RetryPolicy) -> list[Any]:
    results: list[Any] = []
    failures: list[Exception] = []
    for program in programs:
        try:
            results.append(run(program, client, policy))
        except Exception as error:  # noqa: BLE001 - raised when all have run
            failures.append(error)
    if failures:
        raise failures[0]
    return results


def _run_flow(flow: Flow, client: tablestore.OTSClient, policy: RetryPolicy) -> None:
    running: set[Future[Any]] = set()
    failures: list[BaseException] = []
    with _threads(flow.limit) as pool:
        while True:
            if not failures:
                found = _found(flow, len(running))
                if len(found) == 1 and not running:
                    # Alone, it needs no thread.
                    run(found[0], client, policy)
                    continue
                running.update(pool.submit(run, program, client, policy) for program in found)
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            failures += [error for future in done if (error := future.exception()) is not None]
    if failures:
        raise failures[0]


def _found(flow: Flow, running: int) -> list[Program[Any]]:
    """The programs that there is room for."""
    found: list[Program[Any]] = []
    while running + len(found) < flow.limit and (program := flow.next()) is not None:
        found.append(program)
    return found


async def arun(program: Program[T], client: tablestore.AsyncOTSClient, policy: RetryPolicy) -> T:
    """Carry a program out over the async client."""
    drive = _Drive(program)
    while (step := drive.step()) is not None:
        try:
            drive.answer = await _aperform(step, client, policy)
        except BaseException as error:  # noqa: BLE001 - whatever happened is the program's to handle, cancelling too
            drive.error = error
    return drive.result  # type: ignore[no-any-return]


async def _aperform(step: Any, client: tablestore.AsyncOTSClient, policy: RetryPolicy) -> Any:
    if isinstance(step, Attempt):
        return await getattr(client, step.api)(*step.args, **step.kwargs)
    if isinstance(step, Sleep):
        return await asyncio.sleep(step.seconds)
    if isinstance(step, Outside):
        return await step.awaiting()
    if isinstance(step, Together):
        limit = asyncio.Semaphore(TOGETHER_LIMIT)

        async def limited(program: Program[Any]) -> Any:
            async with limit:
                return await arun(program, client, policy)

        outcomes = await asyncio.gather(*map(limited, step.programs), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes
    if isinstance(step, Flow):
        return await _arun_flow(step, client, policy)
    return await arun(step.attempts(policy), client, policy)


async def _arun_flow(flow: Flow, client: tablestore.AsyncOTSClient, policy: RetryPolicy) -> None:
    running: set[asyncio.Task[Any]] = set()
    failures: list[BaseException] = []
    try:
        while True:
            if not failures:
                running.update(
                    asyncio.create_task(arun(program, client, policy)) for program in _found(flow, len(running))
                )
            if not running:
                break
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            failures += [error for task in done if (error := task.exception()) is not None]
    finally:
        # Where this is cancelled, or `next` fails, nothing stays under way.
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if failures:
        raise failures[0]
