"""What the benchmarks share: taking turns, summing up, and the table at the end.

Machines are noisy, and their noise comes in stretches. So whatever is compared takes turns within one run, figures are
medians, and the fastest sample stands beside each of them: where the two are far apart, the machine was busy.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the table.

    Attributes:
        name: What was measured.
        ours: Our figure, with its unit.
        peer: The other's figure.
        ratio: How they compare.
        wanted: What the ratio should be; empty where the figure is only for reading.
        reached: Whether it is so; None where nothing was wanted.
    """

    name: str
    ours: str
    peer: str
    ratio: str
    wanted: str = ""
    reached: bool | None = None


def faster(
    name: str, ours: float, peer: float, *, show: Callable[[float], str], at_least: float | None = None
) -> Comparison:
    """Compare by how many times less ours needs than the peer."""
    ratio = peer / ours
    wanted, reached = ("", None) if at_least is None else (f"at least {at_least:g}x", ratio >= at_least)
    return Comparison(name, show(ours), show(peer), f"{ratio:.2f}x faster", wanted, reached)


def multiple(
    name: str, ours: float, peer: float, *, show: Callable[[float], str], at_most: float | None = None
) -> Comparison:
    """Compare by how many times the peer's need ours has."""
    ratio = ours / peer
    wanted, reached = ("", None) if at_most is None else (f"at most {at_most:g}x", ratio <= at_most)
    return Comparison(name, show(ours), show(peer), f"{ratio:.2f}x the peer", wanted, reached)


def within(
    name: str, ours: float, limit: float, *, show: Callable[[float], str], peer: float | None = None
) -> Comparison:
    """Compare with a limit; a peer's figure, where there is one, is only for reading."""
    beside, ratio = ("-", "-") if peer is None else (show(peer), f"{peer / ours:.2f}x faster")
    return Comparison(name, show(ours), beside, ratio, f"below {show(limit)}", ours < limit)


def microseconds(seconds: float) -> str:
    """Seconds in words, as microseconds."""
    return f"{seconds * 1e6:,.0f} us"


def milliseconds(seconds: float) -> str:
    """Seconds in words, as milliseconds."""
    return f"{seconds * 1e3:.2f} ms"


def seconds(duration: float) -> str:
    """Seconds in words."""
    return f"{duration:.2f} s"


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def take_turns(*actions: Callable[[], float], rounds: int, block: int = 1) -> list[list[float]]:
    """Let actions measure themselves in turn.

    In every other round they come in reverse order, so that none always follows the same one. Garbage is collected
    before each block, so that none pays for what another left.

    Args:
        *actions: Each does its work once and returns its figure.
        rounds: How many blocks each has.
        block: How often an action is called before it is another's turn. Several calls in a row are for actions
            that should meet their own caches, not another's.

    Returns:
        The figures of each action, in order.
    """
    figures: list[list[float]] = [[] for _ in actions]
    for number in range(rounds):
        order = range(len(actions)) if number % 2 == 0 else reversed(range(len(actions)))
        for position in order:
            gc.collect()
            figures[position] += [actions[position]() for _ in range(block)]
    return figures


def describe(label: str, samples: Sequence[float], show: Callable[[float], str]) -> None:
    """Print the median and the extremes of some samples."""
    print(
        f"  {label:<44} median {show(statistics.median(samples)):>12}   "
        f"fastest {show(min(samples)):>12}   slowest {show(max(samples)):>12}   ({len(samples)} samples)"
    )


def print_table(comparisons: Sequence[Comparison]) -> None:
    """Print all comparisons as one table."""
    words = {True: "yes", False: "no", None: "-"}
    print_rows(
        [
            ["benchmark", "ours", "peer", "ratio", "wanted", "reached"],
            *(
                [each.name, each.ours, each.peer, each.ratio, each.wanted or "-", words[each.reached]]
                for each in comparisons
            ),
        ]
    )


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of one length below each other, the first as their head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
