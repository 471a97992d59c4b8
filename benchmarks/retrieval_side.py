"""One side of the retrieval benchmark, in a process of its own, so that its memory and its opening are its own.

`python -m benchmarks.retrieval_side SIDE fill FOLDER START STOP` adds documents, `... SIDE ask FOLDER 0 STOP` opens
what is there and measures searches. Each prints its figures as one line of JSON.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from langchain_core.documents import Document
from typing_extensions import override

from benchmarks import corpus

DIMENSION = 512
_BATCH = 1000
"""Documents in one call that adds."""

_QUERIES = 200
_PATIENT_QUERIES = 10
"""Searches of each kind; few where one takes a second."""

_UPSERTS = 50
_UPSERT_TIMEOUT = 10.0
_FRESH = 10**7
"""Vectors from this number on are no documents'."""

_K = 10

Found = list[Document]


class Side(ABC):
    """What is measured. What a side cannot do raises NotImplementedError.

    Attributes:
        embedding: Knows the vectors of what is added or asked.
        queries: Searches of each kind.
    """

    embedding: corpus.Given
    queries = _QUERIES

    @abstractmethod
    def __init__(self, folder: Path) -> None: ...

    @abstractmethod
    def add(self, texts: list[str], metadatas: list[dict[str, Any]], ids: list[str]) -> object:
        """Add documents whose vectors the embedding was given, or replace those that have the same ids."""

    @abstractmethod
    def by_vector(self, vector: list[float], group: int | None = None) -> Found:
        """The nearest documents, of one group if one is given."""

    def by_words(self, query: str) -> Found:
        """The documents whose text answers best."""
        raise NotImplementedError

    def by_both(self, query: str) -> Found:
        """Both in one ranking; the embedding knows the query's vector."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027 - not all have something to let go of
        """Let go of what is open."""


class Ours(Side):
    """`TablestoreVectorStore` on the embedded engine, by default as durable as it is by default."""

    def __init__(self, folder: Path, durability: Literal["full", "normal"] = "full") -> None:
        from langchain_tablestore_memory import TablestoreVectorStore, connect

        self.embedding = corpus.Given()
        self._connection = connect(f"local:{folder}", durability=durability)
        self._store = TablestoreVectorStore(
            self.embedding,
            connection=self._connection,
            dimension=DIMENSION,
            filterable={"group": int, "year": int, "source": str},
        )

    @override
    def add(self, texts: list[str], metadatas: list[dict[str, Any]], ids: list[str]) -> object:
        return self._store.add_texts(texts, metadatas, ids=ids)

    @override
    def by_vector(self, vector: list[float], group: int | None = None) -> Found:
        return self._store.similarity_search_by_vector(vector, k=_K, filter=None if group is None else {"group": group})

    @override
    def by_words(self, query: str) -> Found:
        return self._store.full_text_search(query, k=_K)

    @override
    def by_both(self, query: str) -> Found:
        return self._store.hybrid_search(query, k=_K)

    @override
    def close(self) -> None:
        self._connection.close()


class Chroma(Side):
    """`langchain_chroma.Chroma` in a folder, by cosine as ours; otherwise as it comes."""

    def __init__(self, folder: Path) -> None:
        from chromadb.config import Settings
        from langchain_chroma import Chroma

        self.embedding = corpus.Given()
        self._store = Chroma(
            "documents",
            self.embedding,
            persist_directory=str(folder),
            client_settings=Settings(anonymized_telemetry=False, is_persistent=True, persist_directory=str(folder)),
            collection_configuration={"hnsw": {"space": "cosine"}},
        )

    @override
    def add(self, texts: list[str], metadatas: list[dict[str, Any]], ids: list[str]) -> object:
        return self._store.add_texts(texts, metadatas, ids=ids)

    @override
    def by_vector(self, vector: list[float], group: int | None = None) -> Found:
        found: Found = self._store.similarity_search_by_vector(
            vector, k=_K, filter=None if group is None else {"group": group}
        )
        return found


class InMemory(Side):
    """`langchain_core.vectorstores.InMemoryVectorStore`, loaded from and saved to a file."""

    queries = _PATIENT_QUERIES

    def __init__(self, folder: Path) -> None:
        from langchain_core.vectorstores import InMemoryVectorStore

        self.embedding = corpus.Given()
        self._file = folder / "store.json"
        self._store = (
            InMemoryVectorStore.load(str(self._file), self.embedding)
            if self._file.exists()
            else InMemoryVectorStore(self.embedding)
        )

    @override
    def add(self, texts: list[str], metadatas: list[dict[str, Any]], ids: list[str]) -> object:
        return self._store.add_texts(texts, metadatas, ids=ids)

    @override
    def by_vector(self, vector: list[float], group: int | None = None) -> Found:
        keep = None if group is None else (lambda document: document.metadata["group"] == group)
        return self._store.similarity_search_by_vector(vector, k=_K, filter=keep)

    @override
    def close(self) -> None:
        self._store.dump(str(self._file))


SIDES: dict[str, type[Side]] = {"ours": Ours, "chroma": Chroma, "in_memory": InMemory}


def fill(side: str, folder: Path, start: int, stop: int) -> dict[str, Any]:
    """Add documents in calls of 1,000. Making them is not measured, writing what is to stay is."""
    opened = SIDES[side](folder)
    duration = 0.0
    for first in range(start, stop, _BATCH):
        numbers = range(first, min(first + _BATCH, stop))
        texts = corpus.texts(numbers.start, numbers.stop)
        opened.embedding.give(texts, corpus.vectors(numbers.start, numbers.stop, DIMENSION))
        metadatas, ids = [corpus.metadata(number) for number in numbers], [f"d{number}" for number in numbers]
        began = time.perf_counter()
        opened.add(texts, metadatas, ids)
        duration += time.perf_counter() - began
    began = time.perf_counter()
    opened.close()
    duration += time.perf_counter() - began
    return {"rate": (stop - start) / duration, "fill_memory": _memory("VmHWM")}


def ask(side: str, folder: Path, count: int) -> dict[str, Any]:
    """Open what is there and search it."""
    asked = corpus.queries(_QUERIES, DIMENSION)
    _import(side)
    began = time.perf_counter()
    opened = SIDES[side](folder)
    assert len(opened.by_vector(asked.vectors[0])) == _K
    figures: dict[str, Any] = {"open": time.perf_counter() - began}
    searches: dict[str, tuple[Callable[..., Found], Sequence[Any]]] = {
        "vector": (opened.by_vector, asked.vectors),
        "filtered": (lambda vector: opened.by_vector(vector, _group(vector)), asked.vectors),
        "rare": (opened.by_words, asked.rare),
        "middling": (opened.by_words, asked.middling),
        "common": (opened.by_words, asked.common),
        "hybrid": (opened.by_both, asked.mixed),
    }
    opened.embedding.give(asked.mixed, asked.vectors)
    for name, (search, given) in searches.items():
        try:
            search(given[0])
        except NotImplementedError:
            continue
        figures[name] = _durations(search, given[: opened.queries])
    figures["memory"] = _memory("VmRSS")
    figures["upsert"], figures["after_upsert"] = _upserts(opened, _FRESH + count, count)
    figures["fsync"] = _fsyncs(folder)
    opened.close()
    figures["size"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if side == "ours":
        relaxed = Ours(folder, durability="normal")
        figures["upsert_relaxed"], _ = _upserts(relaxed, _FRESH + count + _UPSERTS, count)
        relaxed.close()
    return figures


def _import(side: str) -> None:
    """Import what a side needs: opening is measured without it."""
    if side == "ours":
        from langchain_tablestore_memory import TablestoreVectorStore  # noqa: F401
    elif side == "chroma":
        import langchain_chroma  # noqa: F401
    else:
        import langchain_core.vectorstores.in_memory  # noqa: F401


def _group(vector: list[float]) -> int:
    """Some group, another one for each query."""
    return int(abs(vector[0]) * 1e6) % corpus.GROUPS


def _durations(search: Callable[..., Found], given: Sequence[Any]) -> list[float]:
    gc.collect()
    durations = []
    for each in given:
        began = time.perf_counter()
        search(each)
        durations.append(time.perf_counter() - began)
    return durations


def _upserts(opened: Side, fresh: int, count: int) -> tuple[list[float], list[float]]:
    """Replace single documents, each by one with a vector that no other has or had.

    Args:
        opened: The store.
        fresh: The number of the first vector.
        count: How many documents there are.

    Returns:
        Seconds until a search that begins then sees it, and seconds of that search.
    """
    visible, searching = [], []
    upserts = min(_UPSERTS, opened.queries)
    # Made beforehand, so that the processor's caches are the store's.
    vectors = corpus.vectors(fresh, fresh + upserts, DIMENSION)
    opened.by_vector(vectors[0])
    for position, vector in enumerate(vectors):
        number = position * 7_919 % count
        text = f"Changed: {number}"
        opened.embedding.give([text], [vector])
        began = time.perf_counter()
        opened.add([text], [corpus.metadata(number)], [f"d{number}"])
        while True:
            asked = time.perf_counter()
            found = opened.by_vector(vector)
            if found[0].id == f"d{number}" and found[0].page_content == text:
                break
            assert asked - began < _UPSERT_TIMEOUT, f"d{number} is not found"
        searching.append(time.perf_counter() - asked)
        visible.append(asked - began)
    return visible, searching


def _fsyncs(folder: Path) -> list[float]:
    """Seconds that the disk takes to keep a little: what every durable write waits for."""
    durations = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(_UPSERTS):
            file.write(bytes(8192))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            durations.append(time.perf_counter() - began)
    (folder / "fsync").unlink()
    return durations


def _memory(name: str) -> int:
    """Bytes of this process's memory, as the kernel counts them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def main() -> None:
    side, job, folder, start, stop = sys.argv[1:]
    count = int(stop)
    opened = Path(folder)
    figures = fill(side, opened, int(start), count) if job == "fill" else ask(side, opened, count)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
