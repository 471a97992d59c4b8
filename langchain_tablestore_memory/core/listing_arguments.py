"""Arguments of listings in the manner of tablestore-for-agent-memory, where times are given in reading order."""

from __future__ import annotations

from langchain_tablestore_memory.core.checks import check_optional_time, check_order
from langchain_tablestore_memory.core.message_rows import TimeRange
from langchain_tablestore_memory.core.records import Order
from langchain_tablestore_memory.errors import InvalidArgumentError


def check_order_with_times(order: Order | None, *times: int | None) -> Order:
    """The order of a listing, descending by default; with times it has to be given.

    Raises:
        InvalidArgumentError: It is missing, or none.
    """
    if order is None and any(time is not None for time in times):
        raise InvalidArgumentError("order is required with a create_time: it says at which end to begin. Give one.")
    return Order.DESC if order is None else check_order(order)


def recent_times(start: int | None, end: int | None) -> tuple[int | None, int | None]:
    """The earliest and the latest time of sessions that are listed from the latest on.

    Raises:
        InvalidArgumentError: They are no times, or the wrong way round.
    """
    latest = check_optional_time(start, "inclusive_start_update_time")
    earliest = check_optional_time(end, "inclusive_end_update_time")
    if latest is not None and earliest is not None and earliest > latest:
        raise InvalidArgumentError(
            f"inclusive_start_update_time ({latest}) is earlier than inclusive_end_update_time ({earliest}). The "
            "latest session is the first one: swap them."
        )
    return earliest, latest


def times_between(start: int | None, end: int | None, order: Order) -> TimeRange:
    """The times of messages that are listed from `start` to `end`, whichever is the later one.

    Raises:
        InvalidArgumentError: They are no times.
    """
    start = check_optional_time(start, "inclusive_start_create_time")
    end = check_optional_time(end, "inclusive_end_create_time")
    return TimeRange(start, end) if order is Order.ASC else TimeRange(end, start)
