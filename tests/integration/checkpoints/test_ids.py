"""Ids of any characters: each thread, namespace, task and run is its own and no other's."""

from __future__ import annotations

from itertools import count

import pytest

from langchain_tablestore_memory import InvalidArgumentError

from .support import Thread, filled, place

IDS = [
    "t",
    "t1",
    "t1/",
    "t1|",
    "t1:",
    "t1\x00",
    "t1\x00w",
    "t1\x00~",
    "t1\x01",
    "t1 ",
    " t1",
    "T1",
    "t1\n",
    "\n",
    "\x00",
    "~",
    "%",
    "'; DROP TABLE checkpoint; --",
    "c",
    "\U0001f9f5",
    "\U0001f9f5\U0001f9f5",
    "\ufeff",
    "é",
    "e\u0301",
    "线程",
    "\U0010ffff",
    "x" * 1024,
    "x" * 1023,
    "汉" * 341,
]
TOO_LONG = ["x" * 1025, "汉" * 342]


async def test_threads(saver, open_saver):
    threads = {thread_id: Thread(thread_id) for thread_id in IDS}
    for thread_id, thread in threads.items():
        step = thread.step(None, {"id": thread_id, "list": [thread_id * 20] * 5})
        await saver.put(*step.arguments)
        await saver.put_writes(step.state.config, [("id", thread_id)], "task")
    reader = open_saver()
    for thread_id, thread in threads.items():
        found = await reader.get_tuple(thread.config())
        assert found.checkpoint["channel_values"]["id"] == thread_id
        assert found.pending_writes == [("task", "id", thread_id)]
        assert len(await reader.list({"configurable": {"thread_id": thread_id}})) == 1
    everything = await reader.list(None)
    assert sorted(place(found.config)[0] for found in everything) == sorted(IDS)
    for number, thread_id in enumerate(IDS):
        await saver.delete_thread(thread_id)
        assert {place(found.config)[0] for found in await reader.list(None)} == set(IDS[number + 1 :])


async def test_threads_are_copied_and_pruned_apart(saver, open_saver):
    for thread_id in IDS:
        thread = Thread(thread_id)
        state = None
        for number in range(3):
            step = thread.step(state, {"list": [thread_id * 5] * number, "id": thread_id})
            await saver.put(*step.arguments)
            state = step.state
    await saver.prune(IDS[::2])
    for number, thread_id in enumerate(IDS):
        await saver.copy_thread(thread_id, f"copy {number}")
    for number, thread_id in enumerate(IDS):
        for each in (thread_id, f"copy {number}"):
            found = await open_saver().list({"configurable": {"thread_id": each}})
            assert len(found) == (1 if number % 2 == 0 else 3)
            assert {one.checkpoint["channel_values"]["id"] for one in found} == {thread_id}


async def test_namespaces(saver, open_saver):
    namespaces = ["", *IDS]
    threads = {namespace: Thread("t", namespace) for namespace in namespaces}
    for namespace, thread in threads.items():
        state = None
        for number in range(2):
            step = thread.step(state, {"number": number, "ns": namespace})
            await saver.put(*step.arguments)
            await saver.put_writes(step.state.config, [("ns", namespace)], "task")
            state = step.state
    reader = open_saver()
    for namespace, thread in threads.items():
        found = await reader.list(thread.config())
        assert [each.checkpoint["channel_values"] for each in found] == [
            {"number": number, "ns": namespace} for number in (1, 0)
        ]
        assert (await reader.get_tuple(thread.config())).pending_writes == [("task", "ns", namespace)]
        assert place((await reader.get_tuple(thread.config())).config)[1] == namespace
    assert len(await reader.list({"configurable": {"thread_id": "t"}})) == 2 * len(namespaces)
    await saver.prune(["t"])
    assert len(await reader.list({"configurable": {"thread_id": "t"}})) == len(namespaces)
    await saver.delete_thread("t")
    assert await reader.list(None) == []


async def test_tasks(saver, open_saver):
    step = Thread().step(None, {"n": 1})
    await saver.put(*step.arguments)
    tasks = [task for task in IDS if len(task.encode()) < 900]
    for task in tasks:
        large = [("log", task * 3), ("log", [task] * 1000), ("__error__", task)]
        await saver.put_writes(step.state.config, large, task, f"~{task}")
    found = await open_saver().get_tuple(Thread().config())
    assert [write for write in found.pending_writes if write[1] == "__error__"] == [
        (task, "__error__", task) for task in sorted(tasks, key=lambda task: f"~{task}")
    ]
    assert len(found.pending_writes) == 3 * len(tasks)
    assert {write[0]: write[2] for write in found.pending_writes if write[2] == write[0] * 3} == {
        task: task * 3 for task in tasks
    }


async def test_writes_are_ordered_by_their_own_paths(saver, open_saver):
    """LangGraph's `update_state` writes for a task of a graph without its path."""
    step = Thread().step(None, {"n": 1})
    await saver.put(*step.arguments)
    where = step.state.config
    await saver.put_writes(where, [("__interrupt__", "asked")], "task", "~b")
    await saver.put_writes(where, [("log", "first")], "task")
    await saver.put_writes(where, [("log", "other")], "another task", "~a")
    await saver.put_writes(where, [("log", "late"), ("log", "second"), ("__error__", "broken")], "task", "~c")
    found = await open_saver().get_tuple(where)
    assert [value for _, _, value in found.pending_writes] == ["first", "other", "asked", "broken", "second"]
    await saver.put_writes(where, [("__interrupt__", "asked again")], "task")
    found = await open_saver().get_tuple(where)
    assert [value for _, _, value in found.pending_writes] == ["asked again", "first", "other", "broken", "second"]


async def test_runs(saver, open_saver):
    numbers = count()
    state = None
    for run_id in IDS:
        step = Thread(numbers=numbers).step(state, {"run": run_id}, run_id=run_id)
        await saver.put(*step.arguments)
        state = step.state
    for number, run_id in enumerate(IDS):
        await saver.delete_for_runs([run_id])
        left = await open_saver().list(Thread().config())
        assert [each.metadata["run_id"] for each in left] == IDS[number + 1 :][::-1]


async def test_checkpoints(saver, open_saver):
    """Other tools than LangGraph may name checkpoints as they like."""
    ids = sorted(each for each in IDS if "\x00" not in each and len(each.encode()) < 900)
    for checkpoint_id in ids:
        step = Thread().step(None, {"id": checkpoint_id, "list": [checkpoint_id * 30] * 10})
        step.checkpoint["id"] = checkpoint_id
        await saver.put(*step.arguments)
        await saver.put_writes(step.state.config, [("id", checkpoint_id)], "task")
    reader = open_saver()
    found = await reader.list(Thread().config())
    assert [each.checkpoint["id"] for each in found] == ids[::-1]
    for each in found:
        assert each.checkpoint["channel_values"]["id"] == each.checkpoint["id"]
        assert each.pending_writes == [("task", "id", each.checkpoint["id"])]
        [alone] = await reader.list(each.config)
        assert alone == await reader.get_tuple(each.config) == each
    for number, checkpoint_id in enumerate(ids):
        before = await reader.list(Thread().config(), before=Thread().config(checkpoint_id))
        assert [each.checkpoint["id"] for each in before] == ids[:number][::-1]


async def test_channels_and_metadata(saver, open_saver):
    step = Thread().step(None, dict.fromkeys(["", *IDS], 1), **{name: name for name in IDS})
    await saver.put(*step.arguments)
    await saver.put_writes(step.state.config, [(name, name) for name in IDS], "task")
    found = await open_saver().get_tuple(Thread().config())
    assert found.checkpoint == step.checkpoint
    assert found.metadata == step.metadata
    assert found.pending_writes == [("task", name, name) for name in IDS]
    for name in IDS:
        assert len(await saver.list(None, filter={name: name})) == 1
        assert await saver.list(None, filter={name: "other"}) == []


@pytest.mark.parametrize("thread_id", TOO_LONG)
async def test_ids_that_are_too_long(engine, saver, thread_id):
    for thread in (Thread(thread_id), Thread("t", thread_id)):
        with pytest.raises(InvalidArgumentError, match="Tablestore allows 1024"):
            await saver.put(*thread.step(None, {"n": 1}).arguments)
        with pytest.raises(InvalidArgumentError, match="Tablestore allows 1024"):
            await saver.get_tuple(thread.config())
    assert engine.calls == []


def test_many_threads_have_the_order_of_their_own(engine):
    """What is of one thread is not counted among what is of another."""
    from langchain_tablestore_memory.langgraph import TablestoreSaver

    saver = TablestoreSaver(engine.connection("sync"))
    for thread_id in ("a", "a\x00", "a!", "b"):
        filled(saver, Thread(thread_id), [{"n": number} for number in range(30)])
    for thread_id in ("a", "a\x00", "a!", "b"):
        found = list(saver.list({"configurable": {"thread_id": thread_id}}, limit=40))
        assert [each.checkpoint["channel_values"]["n"] for each in found] == list(range(30))[::-1]
