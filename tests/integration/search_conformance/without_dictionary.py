"""Searches Chinese titles in a process that has no dictionary; prints how many each text finds, and whether it was told."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings

from tablestore import (
    CapacityUnit,
    FieldSchema,
    FieldType,
    MatchQuery,
    ReservedThroughput,
    Row,
    SearchIndexMeta,
    SearchQuery,
    TableMeta,
    TableOptions,
)

from langchain_tablestore_memory.local import Tablestore, ots_client

TITLES = [
    "求推荐几款菊花茶店铺",
    "秋天最适合饮用的几种花茶",
    "苕溪边上有一大片野生菊花",
    "菊花茶是一款大部分人都适合的经典花茶",
]


# Before the engine first looks for it.
sys.modules["rjieba"] = None


def main() -> None:
    log = io.StringIO()
    logging.basicConfig(stream=log, level=logging.INFO)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        client = ots_client(Tablestore(None))
        throughput = ReservedThroughput(CapacityUnit(0, 0))
        client.create_table(TableMeta("t", [("pk", "INTEGER")]), TableOptions(), throughput)
        field = FieldSchema("text", FieldType.TEXT, analyzer="max_word")
        client.create_search_index("t", "i", SearchIndexMeta([field]))
        for key, title in enumerate(TITLES):
            client.put_row("t", Row([("pk", key)], [("text", title)]))
        found = {
            text: len(client.search("t", "i", SearchQuery(MatchQuery("text", text))).rows)
            for text in ("菊花茶", "梨花茶", "花茶", "菊花", "饮用花茶")
        }
    said = "rjieba" in log.getvalue() or any("rjieba" in str(warning.message) for warning in told)
    sys.stdout.write(json.dumps(found | {"said": said}))


if __name__ == "__main__":
    main()
