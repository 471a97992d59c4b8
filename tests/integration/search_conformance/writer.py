"""Writes, changes and deletes indexed rows without end, until it is killed: ``python writer.py FOLDER RUN``."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from tablestore import BatchWriteRowRequest, Condition, DeleteRowItem, PutRowItem, Row, TableInBatchWriteRowItem

from langchain_tablestore_memory.local import Tablestore, ots_client


def main() -> None:
    folder, run = sys.argv[1:]
    client = ots_client(Tablestore(Path(folder)))
    sys.stdout.write("writing\n")
    sys.stdout.flush()
    ignore = Condition("IGNORE")
    for number in itertools.count(int(run) * 100_000):
        word = ("red", "blue")[number % 2]
        cells = [("k", word), ("text", f"{word} text"), ("v", f"[{number % 7}, 1]")]
        client.put_row("t", Row([("pk", number)], cells), ignore)
        client.update_row("t", Row([("pk", number)], {"put": [("k", "red")]}), ignore)
        request = BatchWriteRowRequest()
        items = [PutRowItem(Row([("pk", -number - part)], cells), ignore) for part in range(1, 6)]
        items.append(DeleteRowItem(Row([("pk", number - 3)]), ignore))
        request.add(TableInBatchWriteRowItem("t", items))
        client.batch_write_row(request)


if __name__ == "__main__":
    main()
