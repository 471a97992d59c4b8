"""Writes, changes and deletes indexed rows without end, until it is killed: ``python writer.py FOLDER RUN``.

Prints the number of each step as soon as it is acknowledged.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path

from tablestore import BatchWriteRowRequest, Condition, DeleteRowItem, PutRowItem, Row, TableInBatchWriteRowItem

from langchain_tablestore_memory.local import Tablestore, ots_client

WORDS = ("red", "blue", "green", "茶", "花")


def cells(number: int) -> list[tuple[str, object]]:
    """The columns of a row; each step writes others."""
    first, second = WORDS[number % 5], WORDS[number % 3]
    return [
        ("k", first),
        ("ks", json.dumps([first, second])),
        ("n", number),
        ("ns", json.dumps([number % 4, number % 7])),
        ("text", f"{first} {second} text " + "same " * (number % 4)),
        ("texts", json.dumps([f"{first} one", f"{second} two"])),
        ("v", json.dumps([number % 7, 1])),
    ]


def main() -> None:
    folder, run = sys.argv[1:]
    client = ots_client(Tablestore(Path(folder)))
    ignore = Condition("IGNORE")
    os.write(1, b"writing\n")
    for number in itertools.count(int(run) * 100_000):
        client.put_row("t", Row([("pk", number)], cells(number)), ignore)
        os.write(1, b"%d\n" % number)
        changes = {"put": [("k", "red"), ("v", "[1, 1]")], "delete_all": ["ks"]}
        client.update_row("t", Row([("pk", number)], changes), ignore)
        request = BatchWriteRowRequest()
        items = [PutRowItem(Row([("pk", -number - part)], cells(number + part)), ignore) for part in range(1, 6)]
        items.append(DeleteRowItem(Row([("pk", number - 3)]), ignore))
        request.add(TableInBatchWriteRowItem("t", items))
        client.batch_write_row(request)


if __name__ == "__main__":
    main()
