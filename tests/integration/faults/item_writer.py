"""Puts items into a store until it is killed: ``python item_writer.py PATH NAME FIRST_NUMBER``.

Prints ``ready`` when all is imported, waits for a line on standard input, and then prints the number of each put as
soon as it is acknowledged.
"""

from __future__ import annotations

import itertools
import os
import sys
from typing import Any

from langchain_tablestore_memory import connect
from langchain_tablestore_memory.langgraph import TablestoreStore

NAMESPACE = ("kept", "here")
KEYS = 5


def embed(texts: list[str]) -> list[list[float]]:
    return [[text.count("a") + 0.5, text.count("e") + 0.5] for text in texts]


def value_of(number: int) -> dict[str, Any]:
    """A value with some texts, sometimes more than fit into one request with it."""
    texts = 230 if number % 11 == 0 else number % 4
    return {
        "number": number,
        "texts": [f"{'a' * (number % 7)}{'e' * (number % 5)} {number} {n}" for n in range(texts)],
        "more": "x" * 20_000 * (number % 3),
    }


def open_store(connection: Any) -> TablestoreStore:
    return TablestoreStore(connection, index={"dims": 2, "embed": embed, "fields": ["texts[*]"]})


def main(path: str, _: str, first: int) -> None:
    os.write(1, b"ready\n")
    sys.stdin.readline()
    store = open_store(connect(f"local:{path}"))
    for number in itertools.count(first):
        store.put(NAMESPACE, f"k{number % KEYS}", value_of(number))
        os.write(1, b"%d\n" % number)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
