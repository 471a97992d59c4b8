"""How long importing takes, against importing langchain-core and tablestore alone.

Each sample is a new Python process that imports one thing and measures the import from inside, so that the start of
the interpreter, which is the same for all, flatters no ratio. The processes take turns. All of them find bytecode that
was compiled beforehand, as installed packages do: in a folder of its own, because the environment may say that none is
to be written next to the sources.

Two comparisons, because langchain-core itself imports its modules when they are first touched:

* `import langchain_tablestore_memory` against `import langchain_core, tablestore`;
* `from langchain_tablestore_memory import TablestoreChatMessageHistory, connect` against `tablestore` and the two
  modules of langchain-core that no chat message history can do without, `chat_history` and `messages`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable

from benchmarks.harness import Comparison, describe, milliseconds, multiple, take_turns

_PAIRS = {
    "import the package": (
        "import langchain_tablestore_memory",
        "import langchain_core, tablestore",
    ),
    "import the history and connect": (
        "from langchain_tablestore_memory import TablestoreChatMessageHistory, connect",
        "import langchain_core.chat_history, langchain_core.messages, tablestore",
    ),
}
_MEASURE = """
import logging, time, warnings
warnings.simplefilter("ignore")
logging.disable()
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""


def run(*, quick: bool) -> list[Comparison]:
    rounds = 5 if quick else 15
    with tempfile.TemporaryDirectory() as bytecode:
        return _compare(rounds, bytecode)


def _compare(rounds: int, bytecode: str) -> list[Comparison]:
    print("Import time, in new processes")
    statements = [statement for pair in _PAIRS.values() for statement in pair]
    importers = [_importer(statement, bytecode) for statement in statements]
    for importer in importers:
        importer()
    times = dict(zip(statements, take_turns(*importers, rounds=rounds), strict=True))
    for name, pair in _PAIRS.items():
        for side, statement in zip(("ours", "the two alone"), pair, strict=True):
            describe(f"{name}: {side}", times[statement], milliseconds)
    return [
        multiple(name, *(statistics.median(times[statement]) for statement in pair), show=milliseconds, at_most=1.3)
        for name, pair in _PAIRS.items()
    ]


def _importer(statement: str, bytecode: str) -> Callable[[], float]:
    command = [sys.executable, "-c", _MEASURE.format(statement=statement)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = bytecode

    def measure() -> float:
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return float(done.stdout)

    return measure
