"""deepagents keeps files in a store: its own `StoreBackend`, unchanged, on LangGraph's store and on this one."""

from __future__ import annotations

import pytest
from core.support import Face
from langchain_core.messages import HumanMessage, ToolMessage

from langchain_tablestore_memory import connect

from .scripted import ScriptedModel, calling

pytest.importorskip("deepagents", reason="deepagents is not installed (extra test)")

NAMESPACE = ("files", "u1")


@pytest.fixture
def connection():
    """Some of its async methods call sync ones in a thread: a connection that has clients of both kinds."""
    with connect("local::memory:", durability="normal") as connection:
        yield connection


@pytest.fixture
def backend(any_store, mode):
    from deepagents.backends import StoreBackend

    return Face(StoreBackend(store=any_store.target, namespace=lambda _: NAMESPACE), mode)


async def read(backend, path, *args):
    answer = await backend.read(path, *args)
    assert answer.error is None
    return answer.file_data["content"]


async def test_written_and_read(backend):
    text = "first line\n第二行 🍵\n\n\ttabbed"
    assert (await backend.write("/notes/a.txt", text)).error is None
    assert await read(backend, "/notes/a.txt") == text
    assert await read(backend, "/notes/a.txt", 1, 1) == "第二行 🍵\n"
    assert (await backend.write("/notes/a.txt", "anew")).error is None
    assert await read(backend, "/notes/a.txt") == "anew"
    assert "not found" in (await backend.read("/notes/absent.txt")).error


async def test_edited(backend):
    await backend.write("/a.py", "x = 1\ny = x\n")
    answer = await backend.edit("/a.py", "y = x", "y = 2")
    assert (answer.error, answer.occurrences) == (None, 1)
    assert await read(backend, "/a.py") == "x = 1\ny = 2\n"
    assert "not found" in (await backend.edit("/a.py", "absent", "z")).error
    assert "not found" in (await backend.edit("/b.py", "x", "z")).error
    answer = await backend.edit("/a.py", " = ", " == ", True)
    assert answer.occurrences == 2
    assert await read(backend, "/a.py") == "x == 1\ny == 2\n"


async def test_listed_and_searched(backend):
    for path, text in {
        "/src/main.py": "import os\nprint('hello')\n",
        "/src/lib/tools.py": "def hello():\n    pass\n",
        "/src/read me.md": "hello there",
        "/docs/guide.md": "# Guide\n",
        "/other.txt": "bye",
    }.items():
        await backend.write(path, text)
    listed = (await backend.ls("/src")).entries
    assert [(each["path"], each["is_dir"]) for each in listed] == [
        ("/src/lib/", True),
        ("/src/main.py", False),
        ("/src/read me.md", False),
    ]
    assert {each["path"] for each in (await backend.ls("/")).entries} == {"/src/", "/docs/", "/other.txt"}
    matches = (await backend.grep("hello")).matches
    assert {(each["path"], each["line"]) for each in matches} == {
        ("/src/main.py", 2),
        ("/src/lib/tools.py", 1),
        ("/src/read me.md", 1),
    }
    assert {each["path"] for each in (await backend.grep("hello", "/src", "*.py")).matches} == {
        "/src/main.py",
        "/src/lib/tools.py",
    }
    assert {each["path"] for each in (await backend.glob("**/*.md")).matches} == {"/src/read me.md", "/docs/guide.md"}


async def test_more_files_than_a_page(backend):
    """It asks for a hundred at a time, by offset."""
    await backend.upload_files([(f"/many/{n}.txt", b"number") for n in range(130)])
    assert len((await backend.ls("/many")).entries) == 130
    assert len((await backend.grep("number")).matches) == 130
    assert (await backend.delete("/many")).error is None
    assert (await backend.ls("/many")).entries == []


async def test_files_of_bytes(backend):
    content = {"/a.bin": bytes(range(256)), "/b.txt": "文".encode(), "/large.txt": b"x" * 3_000_000}
    assert [each.error for each in await backend.upload_files(list(content.items()))] == [None] * 3
    answers = await backend.download_files([*content, "/absent"])
    assert [each.content for each in answers] == [*content.values(), None]
    assert answers[-1].error == "file_not_found"


async def test_an_agent(any_store, mode):
    """Its file tools, called by a model: what one thread writes, another reads."""
    from deepagents import create_deep_agent
    from deepagents.backends import StoreBackend

    model = ScriptedModel(
        script=[
            calling("write_file", file_path="/plan.md", content="1. tea\n2. bread\n"),
            calling("edit_file", file_path="/plan.md", old_string="bread", new_string="rice"),
            "Done.",
            calling("grep", pattern="tea"),
            calling("read_file", file_path="/plan.md"),
            "Read.",
        ]
    )
    agent = create_deep_agent(model=model, backend=StoreBackend(namespace=lambda _: NAMESPACE), store=any_store.target)

    async def ask(text, thread):
        given = {"messages": [HumanMessage(text)]}, {"configurable": {"thread_id": thread}}
        result = await agent.ainvoke(*given) if mode == "async" else agent.invoke(*given)
        return [message for message in result["messages"] if isinstance(message, ToolMessage)]

    written = await ask("Plan it", "t1")
    assert [message.status for message in written] == ["success"] * 2
    found, shown = await ask("What is the plan?", "t2")
    assert "/plan.md" in found.text
    assert "1. tea" in shown.text
    assert "2. rice" in shown.text
    [item] = await any_store.search(NAMESPACE)
    assert (item.key, item.value["content"]) == ("/plan.md", "1. tea\n2. rice\n")
