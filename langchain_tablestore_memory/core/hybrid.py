"""Fusion: one ranking made of a vector search's and a full-text search's."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from langchain_tablestore_memory.core.checks import check_count
from langchain_tablestore_memory.errors import InvalidArgumentError

K = TypeVar("K", bound=Hashable)

Fusion = Literal["rrf", "weighted"]

MAX_FETCH = 1000
"""How many hits one leg takes at the most: the service's limit on the top k of a vector search."""

_FETCH_FACTOR = 4
_LEAST_FETCH = 20


@dataclass(frozen=True, slots=True)
class HybridSettings:
    """How a hybrid search combines its two legs.

    Attributes:
        fusion: ``"rrf"`` adds up `weight / (rank_constant + rank)`: only ranks count, so scores of different scales
            need no tuning. ``"weighted"`` adds up `weight * score`, each leg's scores stretched to 0...1 beforehand.
        vector_weight: The weight of the vector search; with 0 it is not made at all.
        text_weight: The weight of the full-text search, the same.
        rank_constant: With ``"rrf"``: how little the first ranks count more than the next. 60 is the value of the paper
            that introduced it (Cormack, Clarke, Büttcher: "Reciprocal Rank Fusion", SIGIR 2009).
        vector_fetch_k: Hits taken from the vector search, 1 to 1000; by default four times the hits that are asked for,
            at least 20.
        text_fetch_k: Hits taken from the full-text search, the same.

    Raises:
        InvalidArgumentError: A setting is out of range; says what is allowed.

    Example:
        ```python
        HybridSettings(vector_weight=0.7, text_weight=0.3)
        HybridSettings(fusion="weighted", vector_fetch_k=100, text_fetch_k=100)
        ```
    """

    fusion: Fusion = "rrf"
    vector_weight: float = 1.0
    text_weight: float = 1.0
    rank_constant: int = 60
    vector_fetch_k: int | None = None
    text_fetch_k: int | None = None

    def __post_init__(self) -> None:
        if self.fusion not in get_args(Fusion):
            raise InvalidArgumentError(
                f"fusion is {self.fusion!r}. Give one of {', '.join(map(repr, get_args(Fusion)))}."
            )
        _check_weight(self.vector_weight, "vector_weight")
        _check_weight(self.text_weight, "text_weight")
        if not self.vector_weight and not self.text_weight:
            raise InvalidArgumentError("vector_weight and text_weight are both 0. Give at least one of them a weight.")
        check_count(self.rank_constant, "rank_constant")
        for name in ("vector_fetch_k", "text_fetch_k"):
            if getattr(self, name) is not None:
                check_count(getattr(self, name), name, at_most=MAX_FETCH)

    def fetches(self, limit: int) -> tuple[int, int]:
        """How many hits the vector search and the full-text search fetch, for `limit` in the end."""
        default = min(MAX_FETCH, max(_LEAST_FETCH, _FETCH_FACTOR * limit))
        return self.vector_fetch_k or default, self.text_fetch_k or default


def fuse(
    settings: HybridSettings, vector_leg: Mapping[K, float], text_leg: Mapping[K, float]
) -> Sequence[tuple[K, float]]:
    """Rank what the two legs found.

    Args:
        settings: How.
        vector_leg: What the vector search found, best first, with its scores.
        text_leg: What the full-text search found.

    Returns:
        Everything that was found, best first, with its fused score. Equal scores keep the order of the vector leg, then
        of the text leg.
    """
    points = _reciprocal_ranks if settings.fusion == "rrf" else _normalised
    total: dict[K, float] = {}
    for leg, weight in ((vector_leg, settings.vector_weight), (text_leg, settings.text_weight)):
        for key, value in points(leg, settings):
            total[key] = total.get(key, 0.0) + weight * value
    return sorted(total.items(), key=lambda item: -item[1])


def _reciprocal_ranks(leg: Mapping[K, float], settings: HybridSettings) -> Iterable[tuple[K, float]]:
    for rank, key in enumerate(leg, start=1):
        yield key, 1 / (settings.rank_constant + rank)


def _normalised(leg: Mapping[K, float], _: HybridSettings) -> Iterable[tuple[K, float]]:
    """Scores stretched so that the best is 1 and the worst is 0; where all are equal, all are the best."""
    if not leg:
        return
    least, most = min(leg.values()), max(leg.values())
    for key, score in leg.items():
        yield key, (score - least) / (most - least) if most > least else 1.0


def _check_weight(value: Any, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InvalidArgumentError(f"{name} is {value!r}. Give a finite number of 0 or more.")
