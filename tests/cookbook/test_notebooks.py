"""The cookbook's notebooks: they run, print what they are published with, and what they print is right."""

from __future__ import annotations

import re
import subprocess
import sys

import nbformat
import pytest

from .conftest import COOKBOOK, NO_NETWORK

NOTEBOOKS = sorted(path.name for path in COOKBOOK.glob("*.ipynb"))


def outputs_of(notebook):
    """What each code cell shows: the streams' text, and results in their most readable form."""
    shown = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shown.append("")
            for output in cell.outputs:
                data = output.get("data", {})
                shown[-1] += output.get("text") or data.get("text/markdown") or data.get("text/plain", "")
    return shown


def cell_with(notebook, words):
    """What the one code cell shows whose source holds certain words."""
    (found,) = (
        shown
        for cell, shown in zip(
            (cell for cell in notebook.cells if cell.cell_type == "code"), outputs_of(notebook), strict=True
        )
        if words in cell.source
    )
    return found


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_and_shows_something(execute, name):
    executed, _ = execute(name)
    assert any(outputs_of(executed))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_warns_of_nothing(execute, name):
    executed, _ = execute(name)
    kinds = {
        output.get("name", output.output_type)
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    }
    assert kinds <= {"stdout", "execute_result", "display_data"}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_published_without_outputs_and_traces_of_a_machine(name):
    published = nbformat.read(COOKBOOK / name, as_version=4)
    nbformat.validate(published)
    code = [cell for cell in published.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert all(cell.metadata == {} for cell in published.cells)
    assert not re.search(r"/root|/home|/Users|/tmp|https?://(?:127|localhost)", (COOKBOOK / name).read_text())


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)",
        "import urllib.request; urllib.request.urlopen('http://example.com', timeout=5)",
        "import asyncio; asyncio.run(asyncio.open_connection('192.0.2.1', 80))",
    ],
)
def test_notebooks_that_ask_the_network_fail(attempt):
    result = subprocess.run(
        [sys.executable, "-c", f"{NO_NETWORK}\n{attempt}"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "Notebooks run without a network" in result.stderr


# chat_history.ipynb, sessions.ipynb, long_term_memory.ipynb, qwen.ipynb, migrate.ipynb


def test_histories_outlive_their_process(execute):
    notebook, _ = execute("chat_history.ipynb")
    assert cell_with(notebook, "tools.add_messages") == "[True, True, True]"
    assert "What is my name? -> Your name is Ada." in cell_with(notebook, "RunnableWithMessageHistory(")
    assert "我住在哪里？ -> 你住在杭州。" in cell_with(notebook, "RunnableWithMessageHistory(")
    assert cell_with(notebook, "subprocess.run").startswith("10 messages; the last one: You like tea and old bridges.")
    older, latest = cell_with(notebook, "page.older").splitlines()[::-1][:2]
    assert older == "['What is my name?', 'Your name is Ada.', '我住在哪里？']"
    assert latest.endswith("'What do I like?', 'You like tea and old bridges.']")
    assert cell_with(notebook, "history.fork") == "(10, 11, 'Hello, I am Ada Lovelace.')"
    assert cell_with(notebook, "history.search").count("tea and old bridges") >= 2


def test_sessions_are_listed_paged_filtered_and_searched(execute):
    notebook, _ = execute("sessions.ipynb")
    titles = re.findall(r"\d\. (.*?)  \((\d) messages\)", cell_with(notebook, "def show"))
    assert [title for title, _ in titles][::4] == ["Draft a letter to my landlord.", "How do I brew Longjing?"]
    assert {count for _, count in titles} == {"2"}
    assert cell_with(notebook, "page.cursor").count("--") == 3
    assert "'tags': ['home', 'tea']" in cell_with(notebook, "registry.rename")
    assert cell_with(notebook, "hour_ago") == "(5, 0)"
    assert cell_with(notebook, "And for how long?").startswith("1. How do I brew Longjing?  (3 messages)")
    found = cell_with(notebook, "history.search").splitlines()
    assert found[0].startswith("西安有什么好玩的？: 兵马俑")
    assert found[1] == "Python generators: What is a generator?"
    assert cell_with(notebook, "connection.close()").startswith("4 deleted")


def test_memories_are_recalled_changed_and_forgotten(execute):
    notebook, _ = execute("long_term_memory.ipynb")
    assert cell_with(notebook, 'memory.remember("bo"') == "(4, 1)"
    assert cell_with(notebook, "timedelta(days=7)") == "('s1', 5, True)"
    recalled = [line[7:] for line in cell_with(notebook, "What should we have for dinner?").splitlines()]
    assert recalled[0] == "I like Sichuan food"
    assert recalled[3] == "我住在杭州"
    assert recalled[-1] == "I am allergic to peanuts"
    assert cell_with(notebook, "stock market").splitlines()[0].endswith("I am allergic to peanuts")
    assert cell_with(notebook, "page.total").startswith("5 in all")
    assert cell_with(notebook, "memory.update").startswith("My birthday is April 1st\n1 forgotten by id, 1 by session")
    assert "Sichuan" in cell_with(notebook, "as_runnable")
    assert "football" in cell_with(notebook, "as_runnable")
    assert cell_with(notebook, "memory.tools").splitlines()[-1] == "I have a dog named Rex"


def test_without_a_key_the_stand_ins_answer(execute):
    notebook, _ = execute("qwen.ipynb")
    assert cell_with(notebook, "KEY =").startswith("No DASHSCOPE_API_KEY")
    assert "小雨" in cell_with(notebook, "model.stream").splitlines()[-1]
    tokens = int(cell_with(notebook, "QwenTokenCounter()").split()[0])
    assert 40 < tokens < 100
    assert cell_with(notebook, "OfflineEmbeddings()").startswith("['harvest'")
    assert "price" in cell_with(notebook, "DashScopeRerank")


def test_data_of_other_packages_moves_in(execute):
    notebook, _ = execute("migrate.ipynb")
    shown = cell_with(notebook, "for message in history.messages")
    assert shown.startswith("human: What is the capital of Zhejiang?\nai: Hangzhou.")
    assert "'谢谢！'" in shown
    assert cell_with(notebook, "of_community_table") == "['tea']\n['pork']\n['West Lake lies in Hangzhou.']\n"
    assert cell_with(notebook, "moved.messages == elsewhere") == "True"
    assert {line.split()[0] for line in cell_with(notebook, "as target").splitlines()} == {"moved", "old-chat"}


# agent.ipynb, langgraph_store.ipynb


def test_an_agents_threads_are_trimmed_listed_resumed_and_remembered(execute):
    notebook, _ = execute("agent.ipynb")
    kept = cell_with(notebook, "get_state(config)").splitlines()
    in_state, said = map(int, re.findall(r"\d+", kept[0]))
    assert in_state < 10 < said == 20
    assert kept[1:5] == [
        "human  My name is Ada and I live in Hangzhou.",
        "ai     Nice to meet you, Ada. Noted: You live in Hangzhou.",
        "human  What is the weather in Hangzhou?",
        "ai     ['weather']",
    ]
    assert cell_with(notebook, "store.search") == (
        "('users', 'ada', 'notes') {'text': 'Take a note: buy Longjing tea'}\n"
    )
    listed = cell_with(notebook, "def show(user)").splitlines()[-2:]
    assert [line.partition(")")[0] for line in listed] == [
        "t2: What is Dongpo pork? (2 messages",
        "t1: My name is Ada and I live in Hangzhou. (20 messages",
    ]
    _, _, known, _, unknown = cell_with(notebook, "memory.list").splitlines()
    assert known == "  -> From what I was given: Please remember that I am allergic to peanuts."
    assert unknown.startswith("  -> You have not told me")
    assert cell_with(notebook, "subprocess.run").split("\n\n")[0] == "Your name is Bo."
    assert "(6 messages)" in cell_with(notebook, "subprocess.run")
    assert cell_with(notebook, "agent.ainvoke").splitlines()[-1] == "['我叫什么名字？', '你叫Bo。']"
    assert re.fullmatch(r"\d+ steps; Your name is Bo\.\n1 left\n", cell_with(notebook, "saver.prune"))
    assert cell_with(notebook, "connection.close()").startswith("t1: ")


def test_a_store_finds_by_place_content_meaning_and_words(execute):
    notebook, _ = execute("langgraph_store.ipynb")
    assert cell_with(notebook, "languages").splitlines()[-1] == "1816 True None"
    assert cell_with(notebook, "list_namespaces").splitlines()[-1] == "3 0"
    plain = [line.split()[:1] for line in cell_with(notebook, "def show(items)").splitlines()]
    assert plain == [["a1"], ["a2"], ["a3"], [], ["a3"], ["a4"], [], ["a1"]]
    found = [line.split()[:1] for line in cell_with(notebook, '雷峰塔", search_type').splitlines()]
    assert found[:4] == [["a3"], ["a4"], [], ["a4"]]
    assert found[5:] == [["a3"], ["a2"]]
    assert cell_with(notebook, "store.batch") == "[2, 0, 1]"
    assert cell_with(notebook, "sweep_ttl") == "{'eur': 7.7}\nNone 1\n"
    assert cell_with(notebook, "runtime.store.asearch") == "'Dongpo pork is braised for hours.'"
    refused = [line.partition(":")[0] for line in cell_with(notebook, "except ValueError").splitlines()]
    assert refused == ["InvalidNamespaceError", "InvalidArgumentError", "FilterError"]
    assert cell_with(notebook, "connection.close()") == "None\n"


# rag.ipynb


@pytest.fixture
def rag(execute):
    return execute("rag.ipynb")[0]


@pytest.fixture(scope="module")
def documents():
    folder = COOKBOOK / "documents"
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.md")}


def test_it_keeps_its_table_beside_it_and_leaves_nothing_else(execute):
    _, folder = execute("rag.ipynb")
    made = {path.name for path in folder.iterdir()} - {path.name for path in COOKBOOK.iterdir()}
    assert made == {"knowledge-data"}


def test_it_indexes_every_paragraph_of_every_document(rag, documents):
    paragraphs = [paragraph for text in documents.values() for paragraph in text.split("\n\n")[1:]]
    assert cell_with(rag, "splitter.split_text") == str(len(paragraphs))
    assert {source.partition("/")[0] for source in documents} == {"en", "zh"}


@pytest.fixture
def table(rag):
    """The comparison: for each question and each search type, the ids that were found."""
    head, _, *rows = (line.strip("| ").split(" | ") for line in cell_with(rag, "Markdown(").splitlines())
    return {
        row[0]: {kind: [] if ids == "–" else ids.split("<br>") for kind, ids in zip(head[1:], row[1:], strict=True)}
        for row in rows
    }


def test_all_search_types_stand_side_by_side(table):
    from langchain_tablestore_memory import TablestoreRetriever

    assert len(table) >= 4
    for found in table.values():
        assert set(found) == set(TablestoreRetriever.allowed_search_types)


@pytest.mark.parametrize(
    ("question", "answer", "words"),
    [
        ("How hot should the water be?", "en/tea.md#1", "80 °C"),
        ("breakfast dumplings", "zh/food.md#1", "小笼包"),
        ("西安有什么不放肉的小吃？", "zh/xian.md#3", "凉皮不放肉"),
        ("Which dish is named after a poet?", "en/food.md#1", "poet Su Dongpo"),
        ("奎元馆", "zh/food.md#2", "奎元馆"),
    ],
)
def test_a_hybrid_search_finds_the_passage_that_answers(table, documents, question, answer, words):
    source, _, number = answer.partition("#")
    assert words in documents[source].split("\n\n")[int(number)]
    assert table[question]["hybrid"][0] == answer


def test_the_table_shows_what_is_said_of_it(table):
    assert table["breakfast dumplings"]["full_text"] == []
    assert table["breakfast dumplings"]["similarity"][0] == "zh/food.md#1"
    poet = table["Which dish is named after a poet?"]
    assert poet["similarity"][0] != poet["full_text"][0] == "en/food.md#1"
    assert table["奎元馆"]["full_text"] == ["zh/food.md#2"]
    assert table["奎元馆"]["similarity_score_threshold"] == []
    for found in table.values():
        assert set(found["similarity_score_threshold"]) <= set(found["similarity"])
        assert found["mmr"][0] == found["similarity"][0]


def test_filters_leave_out_what_does_not_match(rag):
    shown = cell_with(rag, "filter=").splitlines()
    every, chinese, elsewhere, either = (re.findall(r"'(.*?)#\d+'", line) for line in shown)
    assert "en/tea.md" in every
    assert "zh/tea.md" in every
    assert set(chinese) == {"zh/tea.md"}
    assert "en/hangzhou.md" not in elsewhere
    assert elsewhere
    assert set(either) == {"en/tea.md", "zh/tea.md"}


def test_answers_quote_the_passages_and_name_the_right_sources(rag, documents):
    answers = cell_with(rag, "chain.invoke").strip().split("\n\n")
    assert len(answers) == 3
    for answer in answers:
        _question, said, sources = answer.splitlines()
        quoted, label = re.fullmatch(r"(?:From what I was given: |根据提供给我的资料：)(.*) \[(.*)\]", said).groups()
        source, _, number = label.partition("#")
        assert quoted in documents[source].split("\n\n")[int(number)]
        assert [name for name, text in documents.items() if quoted in text] == [source]
        assert sources == f"Sources: {source}"


def test_what_the_passages_do_not_say_is_not_answered_and_has_no_source(rag):
    shown = cell_with(rag, "football")
    assert "offline stand-in" in shown
    assert shown.endswith("[]")
