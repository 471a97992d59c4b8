"""Names that need optional packages: where one is missing, the error says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

import langchain_tablestore_memory
from langchain_tablestore_memory._extras import needs_extra


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("name", "package"), [("TablestoreStore", "langgraph"), ("TranscriptMiddleware", "langchain")])
def test_the_extra_is_named(name, package):
    code = f"import sys; sys.modules[{package!r}] = None\nfrom langchain_tablestore_memory import {name}"
    result = run(code)
    assert result.returncode == 1
    assert result.stderr.endswith(
        f"ModuleNotFoundError: The package {package} is not installed; "
        "run: pip install 'langchain-tablestore-memory[langgraph]'\n"
    )


@pytest.mark.slow
def test_the_rest_needs_none_of_them():
    code = (
        "import sys; sys.modules['langgraph'] = sys.modules['langchain'] = None\n"
        "from langchain_tablestore_memory import *\n"
        "print(LongTermMemory, TablestoreChatMessageHistory, TablestoreVectorStore)"
    )
    assert run(code).returncode == 0


@pytest.mark.slow
def test_help_needs_none_of_them():
    code = (
        "import sys; sys.modules['langgraph'] = sys.modules['langchain'] = None\n"
        "import inspect, langchain_tablestore_memory\n"
        "print(*dict(inspect.getmembers(langchain_tablestore_memory)))"
    )
    names = set(run(code).stdout.split())
    assert {"TablestoreChatMessageHistory", "LongTermMemory"} <= names
    assert names.isdisjoint({"TablestoreSaver", "TablestoreStore", "MemoryMiddleware", "TranscriptMiddleware"})


def test_help_shows_what_is_there():
    assert {*langchain_tablestore_memory.__all__} <= {*dir(langchain_tablestore_memory)}


def test_other_imports_that_fail_are_not_explained():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), needs_extra("langgraph", "langgraph"):
        import no_such_module  # noqa: F401
