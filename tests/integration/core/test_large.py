"""More rows than one request takes: 200 in a write, 100 in a read by keys, 5,000 or 4 MB in a range."""

from __future__ import annotations

import pytest

from langchain_tablestore_memory import Message, MessageStore, Order, Session, WriteError
from langchain_tablestore_memory.local.errors import RequestError

from .support import Face


def numbered(conversation, count, content=None):
    return [Message(conversation, f"m{number}", number, content, {"n": number}) for number in range(count)]


@pytest.mark.parametrize("count", [199, 200, 201, 450])
async def test_writes_and_deletes_around_the_limit(store, messages, engine, count):
    await messages.setup()
    engine.taken()
    await messages.put(numbered("c1", count))
    requests = -(-count // 200)
    assert engine.taken() == ["BatchWriteRow"] * requests
    await messages.put(numbered("c2", 1))
    assert [m.create_time for m in await store.list_messages("c1")] == list(reversed(range(count)))
    assert await messages.count("c1") == count
    engine.taken()
    await store.delete_messages("c1")
    assert engine.taken().count("BatchWriteRow") == requests
    assert await store.list_messages("c1") == []
    assert len(await store.list_messages("c2")) == 1


@pytest.mark.parametrize("count", [200, 201, 450])
async def test_deletes_of_sessions_around_the_limit(store, count):
    for number in range(count):
        await store.put_session(Session("u1" if number % 2 else "u2", f"s{number:03}", number))
    await store.delete_sessions("u1")
    assert len(await store.list_all_sessions()) == (count + 1) // 2
    await store.delete_all_sessions()
    assert await store.list_all_sessions() == []


@pytest.mark.slow
def test_more_rows_than_a_range_gives(engine):
    messages = MessageStore(engine.connection("sync"))
    messages.put(numbered("c1", 5101))
    engine.taken()
    assert [m.create_time for m in messages.list("c1")] == list(reversed(range(5101)))
    assert engine.taken() == ["GetRange"] * 2
    assert [m.create_time for m in messages.list("c1", order=Order.ASC, limit=5100)] == list(range(5100))
    assert len(list(messages.list("c1", page_size=5000))) == 5101
    assert messages.count("c1") == 5101
    # The only match lies beyond the first page, which holds none.
    assert [m.create_time for m in messages.list("c1", metadata_filter={"n": 0})] == [0]
    assert [m.create_time for m in messages.list("c1", metadata_filter={"n": 5100}, order=Order.ASC)] == [5100]
    assert messages.delete_all() == 5101
    assert list(messages.list_all()) == []


async def test_more_bytes_than_a_request_takes_or_a_range_gives(mode, engine):
    messages = Face(MessageStore(engine.connection(mode)), mode)
    await messages.setup()
    engine.taken()
    await messages.put(numbered("c1", 12, "x" * 500_000))
    assert engine.taken() == ["BatchWriteRow"] * 2
    read = await messages.list("c1")
    assert [len(m.content) for m in read] == [500_000] * 12
    assert len(engine.taken()) > 1
    # Keys alone are small: counting and deleting does not read what the messages hold.
    assert await messages.count("c1") == 12
    assert await messages.delete_conversation("c1") == 12


async def test_a_failure_in_the_middle_names_what_is_not_stored(messages, engine):
    await messages.setup()
    engine.fail_at("BatchWriteRow", 2)
    with pytest.raises(WriteError) as caught:
        await messages.put(numbered("c1", 450))
    engine.before = None
    error = caught.value
    stored = {m.message_id for m in await messages.list("c1")}
    assert {f"message {name!r}" for name in stored} == set(error.stored)
    assert len(error.stored) + len(error.failed) == 450
    assert len(error.failed) in {50, 200}
    await messages.put(numbered("c1", 450))
    assert await messages.count("c1") == 450


@pytest.mark.slow
async def test_a_delete_that_fails_in_the_middle_can_be_repeated(store, messages, engine):
    await messages.put(numbered("c1", 2000))
    engine.fail_at("BatchWriteRow", 9)
    with pytest.raises(WriteError):
        await store.delete_messages("c1")
    engine.before = None
    assert 0 < await messages.count("c1") <= 2000
    await store.delete_messages("c1")
    assert await messages.count("c1") == 0


async def test_a_passing_failure_is_got_over(messages, engine):
    await messages.setup()
    engine.fail_at("BatchWriteRow", 1, RequestError(503, "OTSServerBusy", "Server is busy."))
    await messages.put(numbered("c1", 450))
    assert await messages.count("c1") == 450
