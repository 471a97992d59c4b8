"""Random changes of documents under random faults, through both stores on one table, held against a dict."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_tablestore_memory import Document, EmbeddingError, ServiceError, UnavailableError, WriteError

from .reporting import told_in_failures
from .wire import FORBIDDEN_FAULT, LASTING_ROW_FAULTS, PASSING_FAULTS, PASSING_ROW_FAULTS
from .worlds import World, opened

PASSING = [*PASSING_FAULTS, *PASSING_ROW_FAULTS]
LASTING = [FORBIDDEN_FAULT, *LASTING_ROW_FAULTS]
IDS = [f"n{n}" for n in range(8)]

some = st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True)
step = st.one_of(
    st.tuples(st.just("put"), some),
    st.tuples(st.just("add"), some),
    st.tuples(st.just("update"), some),
    st.tuples(st.just("update_by_filter"), st.integers(0, 2)),
    st.tuples(st.just("delete"), some),
    st.tuples(st.just("delete_by_filter"), st.integers(0, 2)),
    st.tuples(st.just("read"), some),
    st.tuples(st.just("search"), st.integers(0, 2)),
    # Other objects, as another process would have them.
    st.tuples(st.just("reopen"), st.none()),
)

Documents = dict[str, tuple[str, dict[str, Any]]]


def year_of(document_id: str) -> int:
    return int(document_id[1:]) % 3


def apply(documents: Documents, action: str, what: Any, number: int) -> Documents:
    """What is there after a step."""
    match action:
        case "put" | "add":
            return documents | {i: (f"tea {number}", {"year": year_of(i), "by": number}) for i in what}
        case "update":
            return {
                i: (text, {**metadata, "mark": number} if i in what else metadata)
                for i, (text, metadata) in documents.items()
            }
        case "update_by_filter":
            return {
                i: (text, {**metadata, "mark": number} if metadata["year"] == what else metadata)
                for i, (text, metadata) in documents.items()
            }
        case "delete":
            return {i: document for i, document in documents.items() if i not in what}
        case "delete_by_filter":
            return {i: document for i, document in documents.items() if document[1]["year"] != what}
    return documents


def carry_out(run: Any, world: World, stores: list[Any], action: str, what: Any, number: int) -> Any:
    """One step; what was read, where it reads."""
    knowledge, vectors = stores
    match action:
        case "put":
            run(knowledge, "put_documents")(
                Document(i, text=f"tea {number}", embedding=[1.0, 2.0], metadata={"year": year_of(i), "by": number})
                for i in what
            )
        case "add":
            metadatas = [{"year": year_of(i), "by": number} for i in what]
            run(vectors, "add_texts")([f"tea {number}"] * len(what), metadatas, ids=what, embedding_batch_size=2)
        case "update":
            run(vectors, "update_metadata")({i: {"mark": number} for i in what})
        case "update_by_filter":
            run(knowledge, "update_by_filter")({"year": what}, {"mark": number})
        case "delete":
            run(vectors, "delete")(what)
        case "delete_by_filter":
            run(knowledge, "delete_by_filter")({"year": what})
        case "read":
            return {d.id: (d.page_content, d.metadata) for d in run(vectors, "get_by_ids")(what)}
        case "search":
            found = run(vectors, "hybrid_search")("tea", k=50, filter={"year": what})
            return {d.id: (d.page_content, d.metadata) for d in found}
        case "reopen":
            stores[:] = [world.knowledge(), world.vectors()]
    return None


def expected_of(documents: Documents, action: str, what: Any) -> Documents:
    if action == "read":
        return {i: documents[i] for i in what if i in documents}
    return {i: document for i, document in documents.items() if document[1]["year"] == what}


@pytest.mark.parametrize("mode", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_documents_under_faults(bare, mode):
    with asyncio.Runner() as runner:

        def run(store: Any, method: str) -> Any:
            if mode == "sync":
                return getattr(store, method)
            return lambda *args, **kwargs: runner.run(getattr(store, f"a{method}")(*args, **kwargs))

        @settings(
            max_examples=settings.default.max_examples // 4,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(st.lists(step, min_size=1, max_size=12), st.integers(0, 2**32))
        def check(steps, seed):
            with opened(bare) as world:
                live_through(world, run, steps, random.Random(seed))

        check()


def live_through(world: World, run: Any, steps: list[Any], chance: random.Random) -> None:
    stores: list[Any] = [world.knowledge(), world.vectors()]
    documents: Documents = {}

    def decide(_number: int, request: Any) -> Any:
        if chance.random() > 0.3:
            return None
        fault = chance.choice(LASTING if chance.random() < 0.4 else PASSING)
        return fault if fault.concerns(request) else None

    for number, (action, what) in enumerate(steps):
        with told_in_failures(f"step {number}: {action} {what}"):
            act = partial(carry_out, run, world, stores, action, what, number)
            read, error = None, None
            with world.faults.deciding(decide):
                try:
                    read = act()
                except (ServiceError, EmbeddingError) as raised:
                    error = raised
            wanted = apply(documents, action, what, number)
            if error is not None:
                assert isinstance(error, UnavailableError) or error.code in str(error)
                check_named(world, error, action, what, number)
                # Whoever was told of a failure does it again.
                read = act()
            documents = wanted
            if read is not None:
                assert read == expected_of(documents, action, what)
            check_stored(world, documents)


def check_named(world: World, error: Exception, action: str, what: Any, number: int) -> None:
    """What an error says to be stored is there."""
    if isinstance(error, WriteError) and action in {"put", "add"}:
        named = "{}" if action == "add" else "document {!r}"
        assert {named.format(i) for i in what} == {*error.failed, *error.stored}
        there = {i for i, columns in world.contents().documents["knowledge"] if columns["text"] == f"tea {number}"}
        assert set(error.stored) <= {named.format(i) for i in there}


def check_stored(world: World, documents: Documents) -> None:
    contents = world.contents()
    assert contents.faults == ()
    found = {d.document_id: (d.text, d.metadata) for d in world.knowledge().get_all_documents()}
    assert found == documents
