"""What the tests of the store share: LangGraph's store in memory as a model, and how answers are compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from langgraph.store.base import Item, ListNamespacesOp, Op, PutOp, Result, SearchItem, SearchOp
from langgraph.store.memory import InMemoryStore
from typing_extensions import override
from vectorstore.support import TOPICS, TopicEmbeddings

__all__ = ["DIMENSIONS", "TOPICS", "CorrectedInMemoryStore", "TopicEmbeddings", "keys_of", "told", "topic_index"]

DIMENSIONS = len(TOPICS)

# Label by label different from each other, and easily confused by what joins, cuts, matches or folds text.
LABELS = (
    "a",
    "ab",
    "a b",
    " a",
    "A",
    "é",
    "e\u0301",
    "用户",
    "🍵",
    "%",
    "*a",
    "_",
    "a/b",
    "a\\",
    "a,b",
    "a:b",
    "'\"",
    "\n",
)


def topic_index(model: TopicEmbeddings | None = None, **more: Any) -> dict[str, Any]:
    """An index whose vectors count the topics of a text."""
    return {"dims": DIMENSIONS, "embed": model or TopicEmbeddings(), "fields": ["text"]} | more


def keys_of(items: list[Any]) -> list[str]:
    return [item.key for item in items]


def told(answer: Result) -> Any:
    """An answer without what differs from run to run: times. They are looked at for what they always are."""
    match answer:
        case list():
            return [told(each) for each in answer]
        case Item():
            for time in (answer.created_at, answer.updated_at):
                assert isinstance(time, datetime)
                assert time.utcoffset() == timedelta(0)
            assert answer.created_at <= answer.updated_at <= datetime.now(UTC) + timedelta(days=1)
            score = round(answer.score, 5) if isinstance(answer, SearchItem) and answer.score is not None else None
            return (type(answer), answer.namespace, answer.key, answer.value, score)
    return answer


class CorrectedInMemoryStore(InMemoryStore):
    """`InMemoryStore` without what is an accident of it and no part of what `BaseStore` promises.

    * A namespace is listed as long as it has items; there, also once it was merely read from, and after its last
      item is gone.
    * Items of several namespaces come in the order of the namespaces; there, in which they were first touched.
    * An item that is overwritten keeps no vector of its former value, and its time of creation stays.
    * Equal texts of one batch are embedded; there, the batch is refused.
    * Items without a vector follow those with one through all pages, in the order in which they were made; there, each
      page begins with the first of them.
    """

    @override
    def batch(self, ops: Any) -> list[Result]:
        ops = list(ops)
        results = [super(CorrectedInMemoryStore, self).batch([op])[0] for op in ops if not isinstance(op, PutOp)]
        for op in {(op.namespace, op.key): op for op in ops if isinstance(op, PutOp)}.values():
            self._put(op)
        answers = iter(results)
        return [None if isinstance(op, PutOp) else next(answers) for op in ops]

    @override
    async def abatch(self, ops: Any) -> list[Result]:
        return self.batch(ops)

    def _put(self, op: PutOp) -> None:
        before = self._data[op.namespace].get(op.key)
        self._vectors[op.namespace].pop(op.key, None)
        super().batch([op])
        if before is not None and op.value is not None:
            self._data[op.namespace][op.key].created_at = before.created_at

    @override
    def _extract_texts(self, put_ops: Any) -> Any:
        found = super()._extract_texts(put_ops)
        # One text, one place, one vector: as many of each as the rest expects.
        return _Places((text, [place]) for text, places in found.items() for place in places)

    @override
    def _handle_list_namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        self._drop_empty()
        return super()._handle_list_namespaces(op)

    @override
    def _filter_items(self, op: SearchOp) -> Any:
        self._drop_empty()
        found = super()._filter_items(op._replace(limit=10**6, offset=0))
        return sorted(found, key=lambda each: each[0].namespace)

    @override
    def _batch_search(self, ops: Any, queryinmem_store: Any, results: Any) -> None:
        whole = {
            i: (
                op._replace(limit=10**6, offset=0),
                sorted(found, key=lambda each: each[0].created_at) if op.query and queryinmem_store else found,
            )
            for i, (op, found) in ops.items()
        }
        super()._batch_search(whole, queryinmem_store, results)
        for i, (op, _) in ops.items():
            results[i] = results[i][op.offset : op.offset + op.limit]

    def _drop_empty(self) -> None:
        for namespace in [namespace for namespace, items in self._data.items() if not items]:
            del self._data[namespace]


class _Places(list):  # type: ignore[type-arg]
    """Pairs of a text and its places, in what is used of a dict: a text may be there twice."""

    def __iter__(self) -> Any:
        return (text for text, _ in super().__iter__())

    def items(self) -> Any:
        return list(super().__iter__())

    def values(self) -> Any:
        return [places for _, places in super().__iter__()]


def apply(store: InMemoryStore, ops: list[Op]) -> list[Any]:
    """What a store in memory answers."""
    return [told(result) for result in store.batch(ops)]
