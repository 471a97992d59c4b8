"""The README: its Python runs from top to bottom as it stands, and does what it says beside it."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import inspect
import io
import re
import warnings
from pathlib import Path

import pytest

from langchain_tablestore_memory import FilterError
from langchain_tablestore_memory.filters import parse

ROOT = Path(__file__).parents[2]
READMES = {name: (ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md")}
README = READMES["README.md"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def readme(tmp_path_factory):
    """Runs all Python of the README in one namespace, in an empty folder. Returns statements with their values.

    The values are those of expressions that stand alone: `store.similarity_search(...)`. What was printed stands in
    their order as well.
    """
    folder = tmp_path_factory.mktemp("readme")
    # It shows its deprecations whatever was set before its import.
    importlib.import_module("langchain_core")
    with contextlib.chdir(folder), asyncio.Runner() as runner, warnings.catch_warnings():
        # The README says so itself.
        warnings.filterwarnings("ignore", message=".*RunnableWithMessageHistory")
        return list(_run("\n".join(blocks("python")), runner))


def _run(source, runner):
    namespace = {}
    for statement in ast.parse(source).body:
        shown = ast.get_source_segment(source, statement)
        mode, wrapped = ("eval", ast.Expression) if isinstance(statement, ast.Expr) else ("exec", None)
        node = wrapped(statement.value) if wrapped else ast.Module([statement], [])
        code = compile(node, "README.md", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            value = eval(code, namespace)
            if inspect.iscoroutine(value):
                value = runner.run(value)
        yield shown, value, printed.getvalue()
    namespace["connection"].close()


def value_of(readme, beginning):
    (value,) = (value for shown, value, _ in readme if shown.startswith(beginning))
    return value


def printed_by(readme, words):
    (printed,) = (printed for shown, _, printed in readme if words in shown)
    return printed


def test_every_call_of_the_readme_runs(readme):
    assert len(readme) > 40


def test_the_chain_remembers(readme):
    assert printed_by(readme, 'print(chain.invoke({"question": "What is my name?"') == "Your name is Mei.\n"


def test_the_history_holds_what_was_added(readme):
    from langchain_core.messages import AIMessage, HumanMessage

    added = [HumanMessage("你好"), AIMessage("你好！有什么可以帮你？")]
    for beginning in ("history.messages", "await history.aget_messages"):
        assert [(type(m), m.content) for m in value_of(readme, beginning)] == [(type(m), m.content) for m in added]
    assert "session-1 你好！有什么可以帮你？\n" in printed_by(readme, "history.search")


def test_conversations_are_listed(readme):
    assert printed_by(readme, "session.preview").count("\n") == 2


def test_the_records_are_found(readme):
    assert [session.session_id for session in value_of(readme, "list(memory.list_recent_sessions")] == ["s1"]
    assert [message.content for message in value_of(readme, "memory.search_messages")] == ["Hello"]


@pytest.mark.parametrize("search", ["similarity_search", "full_text_search", "hybrid_search"])
def test_searches_find_what_is_said_beside_them(readme, search):
    (said,) = re.findall(rf"^store\.{search}\(.*#.*: (.*)$", README, re.MULTILINE)
    assert [document.id for document in value_of(readme, f"store.{search}")] == said.split(", ")


def test_the_retriever_finds_what_is_left(readme):
    assert [document.id for document in value_of(readme, "retriever.invoke")] == ["longjing"]
    assert {document.id for document in value_of(readme, "await retriever.ainvoke")} == {"longjing", "pork"}


def test_the_agent_remembers_and_is_listed(readme):
    answers = [value for shown, value, _ in readme if shown.startswith('agent.invoke({"messages": [("human", "What is')]
    assert answers == ["Your name is Mei."]
    assert value_of(readme, 'registry.list("u1").items[0].title') == "My name is Mei."


@pytest.mark.parametrize(
    ("call", "key"),
    re.findall(r"^(notes\.search\(.*\)\[0\]\.key)  # (\w+)$", README, re.MULTILINE),
)
def test_the_store_finds_what_is_said_beside_it(readme, call, key):
    assert value_of(readme, call) == key


def test_the_namespaces_are_those_said_beside_it(readme):
    assert value_of(readme, "notes.list_namespaces") == [("notes", "u1"), ("notes", "u2")]


def test_the_records_of_knowledge_are_found(readme):
    assert printed_by(readme, "knowledge.hybrid_search").startswith("d1 ")


def test_the_search_types_are_all_there(readme):
    from langchain_tablestore_memory import TablestoreRetriever

    assert re.findall(r"^\| `(\w+)` \| ", README, re.MULTILINE)[1:] == list(TablestoreRetriever.allowed_search_types)


def test_the_operators_are_all_there():
    listed = re.search(r"`(\$eq .*?)`,\s+`(\$and .*?)`", README, re.DOTALL)
    operators, logical = (set(group.split()) for group in listed.groups())
    # What is no operator is refused with a list of those that are.
    with pytest.raises(FilterError, match="There are:") as caught:
        parse({"field": {"$nonsense": 1}})
    assert operators | {"$nonsense", "$not"} == set(re.findall(r"\$\w+", str(caught.value)))
    with pytest.raises(FilterError, match="there are:") as caught:
        parse({"$nonsense": []})
    assert logical | {"$nonsense"} == set(re.findall(r"\$\w+", str(caught.value)))


def test_the_commands_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {word for line in re.findall(r"\bmake ((?:[a-z-]+ ?)+)", README) for word in line.split()}
    assert {"demo", "test", "test-slow", "help", "lint", "typecheck", "bench"} <= named & targets


@pytest.mark.parametrize("name", READMES)
def test_links_lead_somewhere(name):
    text = READMES[name]
    headings = {"#" + heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", text):
        assert target in headings if target.startswith("#") else (ROOT / target).exists(), target


def test_both_languages_show_the_same_code():
    shown = [re.findall(r"^```\w+\n.*?^```$", text, re.MULTILINE | re.DOTALL) for text in READMES.values()]
    assert shown[0] == shown[1]


def test_both_languages_name_the_same_things():
    prose = [re.sub(r"^```\w+\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL) for text in READMES.values()]
    named = [{" ".join(name.split()) for name in re.findall(r"`([^`]+)`", text)} for text in prose]
    assert named[0] == named[1]
