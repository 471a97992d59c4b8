"""The command with a model that says what it is told to, for tests that run it as a process.

    python -m tests.integration.cli.scripted '["Once ", {"sleep": 60}]' chat --data DIR

Pieces of the answer are texts, `{"sleep": SECONDS}` and `{"fail": "TEXT"}`.
"""

from __future__ import annotations

import functools
import json
import sys
import time

from langchain_tablestore_memory.cli import app, chat
from langchain_tablestore_memory.cli.chat.models import ChatModel

from .support import ScriptedModel


def piece(described):
    if isinstance(described, str):
        return described
    if "sleep" in described:
        return functools.partial(time.sleep, described["sleep"])
    return RuntimeError(described["fail"])


def main():
    pieces = [piece(each) for each in json.loads(sys.argv[1])]
    chat.choose_model = lambda *_, **__: ChatModel(ScriptedModel(pieces=pieces, told=[]), "scripted")
    sys.exit(app.run(sys.argv[2:]))


if __name__ == "__main__":
    main()
