"""Retrieval from an embedded store, against langchain-chroma and LangChain's InMemoryVectorStore.

Documents of 512 dimensions, Chinese and English in turn (`benchmarks.corpus`), in stores of 1,000, 10,000 and 100,000:
`TablestoreVectorStore` on the embedded engine, each write durable, against `Chroma` in a folder, and against
`InMemoryVectorStore` up to the size that it can bear. Vectors are given, so no embedding model is measured, and ten
documents are asked for. Chroma and ours search by cosine; Chroma's index is approximate, ours is exact.

Each side fills and is asked in processes of its own, size by size, and the sides take turns. What is there is opened
anew for each size: the time to open includes the first search. The engine's searches are those of users: through
LangChain's class, the SDK and its protocol. A single change waits for the disk, as it does by default; beside it stand
what an fsync of that disk takes alone, and a change that does not wait for it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import Comparison, faster, milliseconds, multiple, print_rows, seconds, within

Figures = Mapping[str, Any]

_SIDES = {"ours": "ours", "chroma": "langchain-chroma", "in_memory": "InMemoryVectorStore"}
_BEARABLE = {"in_memory": 10_000}
"""Beyond this, one search of it takes seconds."""


def run(*, quick: bool) -> list[Comparison]:
    sizes = (1_000, 5_000) if quick else (1_000, 10_000, 100_000)
    print(f"Retrieval, embedded: {', '.join(f'{size:,}' for size in sizes)} documents of 512 dimensions")
    measured: dict[int, dict[str, Figures]] = {}
    with tempfile.TemporaryDirectory() as folder:
        before = 0
        for size in sizes:
            measured[size] = {
                side: _measure(side, Path(folder) / side, before, size)
                for side in _SIDES
                if size <= _BEARABLE.get(side, size)
            }
            before = size
    for side, name in _SIDES.items():
        print()
        print_rows(_growth(name, {size: figures[side] for size, figures in measured.items() if side in figures}))
    return _comparisons(sizes[-1], measured)


def _measure(side: str, folder: Path, before: int, size: int) -> Figures:
    """Fill up to a size, then open and ask."""
    folder.mkdir(exist_ok=True)
    load = os.getloadavg()[0]
    figures = {**_process(side, "fill", folder, before, size), **_process(side, "ask", folder, 0, size)}
    print(
        f"  {_SIDES[side]:<22} {size:>7,}   {figures['rate']:>6,.0f} documents a second   opened in"
        f" {seconds(figures['open'])}   load of the machine {load:.1f} to {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return figures


def _process(side: str, job: str, folder: Path, start: int, stop: int) -> Figures:
    command = [sys.executable, "-m", "benchmarks.retrieval_side", side, job, str(folder), str(start), str(stop)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


# How each grows

_NONE = "-"

_ROWS: dict[str, tuple[str, Callable[[float], str]]] = {
    "vector": ("vector search", milliseconds),
    "filtered": ("vector search, 1 % filter", milliseconds),
    "rare": ("full text, rare word", milliseconds),
    "middling": ("full text, mid-frequency words", milliseconds),
    "common": ("full text, very common words", milliseconds),
    "hybrid": ("hybrid search", milliseconds),
    "upsert": ("upsert until visible", milliseconds),
    "upsert_relaxed": ("upsert, not waiting for the disk", milliseconds),
    "fsync": ("an fsync of the disk alone", milliseconds),
    "after_upsert": ("vector search after an upsert", milliseconds),
    "rate": ("ingest, documents a second", "{:,.0f}".format),
    "open": ("opening, with a first search", seconds),
    "size": ("files", lambda size: f"{size / 1e6:,.0f} MB"),
    "memory": ("memory after searching", lambda size: f"{size / 1e6:,.0f} MB"),
    "fill_memory": ("most memory while ingesting", lambda size: f"{size / 1e6:,.0f} MB"),
}


def _growth(name: str, measured: Mapping[int, Figures]) -> list[list[str]]:
    """A table of one side."""
    rows = [[f"{name} (fastest / p50 / p99)", *(f"{size:,}" for size in measured)]]
    for key, (what, show) in _ROWS.items():
        cells = [_cell(figures.get(key), show) for figures in measured.values()]
        if set(cells) != {_NONE}:
            rows.append([what, *cells])
    return rows


def _cell(figure: Any, show: Callable[[float], str]) -> str:
    if figure is None:
        return _NONE
    if isinstance(figure, list):
        return " / ".join(map(show, (min(figure), statistics.median(figure), _p99(figure))))
    return show(figure)


def _p99(figures: list[float]) -> float:
    return sorted(figures)[min(len(figures) - 1, len(figures) * 99 // 100)]


# What is wanted


def _comparisons(size: int, measured: Mapping[int, Mapping[str, Figures]]) -> list[Comparison]:
    ours, chroma = measured[size]["ours"], measured[size]["chroma"]
    common = max(each for each in measured if "in_memory" in measured[each])

    def median(figures: Figures, name: str) -> float:
        return statistics.median(figures[name])

    limits = {"vector": 0.015, "middling": 0.003, "hybrid": 0.025, "upsert": 0.002, "upsert_relaxed": 0.002}
    return [
        *(
            within(
                f"{_ROWS[name][0]}, {size:,}",
                median(ours, name),
                limit,
                peer=median(chroma, name) if name in chroma else None,
                show=milliseconds,
            )
            for name, limit in limits.items()
        ),
        within(f"opening, {size:,}", ours["open"], 2.0, peer=chroma["open"], show=seconds),
        faster(
            f"vector search, 1 % filter, {size:,}",
            median(ours, "filtered"),
            median(chroma, "filtered"),
            show=milliseconds,
            at_least=1.0,
        ),
        faster(
            f"ingest of a document, to {size:,}", 1 / ours["rate"], 1 / chroma["rate"], show=milliseconds, at_least=1.0
        ),
        multiple(f"files, {size:,}", ours["size"], chroma["size"], show=_ROWS["size"][1]),
        multiple(f"memory after searching, {size:,}", ours["memory"], chroma["memory"], show=_ROWS["memory"][1]),
        faster(
            f"vector search, {common:,}, InMemoryVectorStore",
            median(measured[common]["ours"], "vector"),
            median(measured[common]["in_memory"], "vector"),
            show=milliseconds,
        ),
    ]
