"""What other processes run in `test_changing`: they change definitions, rows and all that is derived from rows.

``python changers.py FOLDER`` starts a process for each number of a line on standard input, tells their ids, and when the
next line comes, how they have ended.
"""

from __future__ import annotations

import json
import os
import random
import sys
import traceback
from pathlib import Path

from tablestore import (
    INF_MAX,
    INF_MIN,
    PK_AUTO_INCR,
    BatchWriteRowRequest,
    CapacityUnit,
    ColumnReturnType,
    ColumnsToGet,
    Condition,
    FieldSchema,
    FieldType,
    KnnVectorQuery,
    MatchQuery,
    NoRetryPolicy,
    OTSClient,
    OTSServiceError,
    PutRowItem,
    ReservedThroughput,
    Row,
    SearchIndexMeta,
    SearchQuery,
    SecondaryIndexMeta,
    TableInBatchWriteRowItem,
    TableMeta,
    TableOptions,
    TermQuery,
    VectorDataType,
    VectorMetricType,
    VectorOptions,
)

from langchain_tablestore_memory.local import Tablestore, ots_client

TABLES = ("t", "u")
WORDS = ("red", "green", "blue")
DIMENSION = 8
_VECTORS = VectorOptions(
    data_type=VectorDataType.VD_FLOAT_32, dimension=DIMENSION, metric_type=VectorMetricType.VM_COSINE
)
FIELDS = [
    FieldSchema("word", FieldType.KEYWORD),
    FieldSchema("text", FieldType.TEXT),
    FieldSchema("vector", FieldType.VECTOR, vector_options=_VECTORS),
]
# A table is made now with one of these keys, now with another.
KEYS = (
    [("pk", "STRING")],
    [("pk", "STRING"), ("n", "INTEGER")],
    [("pk", "STRING"), ("n", "INTEGER", PK_AUTO_INCR)],
)
KNN = KnnVectorQuery("vector", 1000, [1.0] * DIMENSION)


class Changer:
    """Does one thing after another, with tables that may just have become others."""

    def __init__(self, client: OTSClient, seed: int) -> None:
        self.client = client
        self.chance = random.Random(seed)
        # What others undo more often than not is done less often.
        self.work = [self.create, self.delete, self.add_index, self.drop_index, self.add_search_index]
        self.work += [self.drop_search_index, self.update_table, self.scan]
        self.work += [self.put, self.update, self.delete_row, self.batch, self.search, self.transaction] * 3

    def step(self) -> None:
        self.chance.choice(self.work)(self.chance.choice(TABLES))

    def create(self, table: str) -> None:
        meta = TableMeta(table, self.chance.choice(KEYS), [("x", "INTEGER"), ("word", "STRING")])
        self.client.create_table(meta, TableOptions(), ReservedThroughput(CapacityUnit(0, 0)))

    def delete(self, table: str) -> None:
        for _, index in self.client.list_search_index(table):
            self.client.delete_search_index(table, index)
        self.client.delete_table(table)

    def add_index(self, table: str) -> None:
        columns = self.chance.choice([["x"], ["word", "x"]])
        self.client.create_secondary_index(table, SecondaryIndexMeta(self.index(table), columns, []), True)

    def drop_index(self, table: str) -> None:
        self.client.delete_secondary_index(table, self.index(table))

    def add_search_index(self, table: str) -> None:
        self.client.create_search_index(table, self.index(table), SearchIndexMeta(FIELDS))

    def drop_search_index(self, table: str) -> None:
        self.client.delete_search_index(table, self.index(table))

    def update_table(self, table: str) -> None:
        self.client.update_table(table, TableOptions(-1, 1, self.chance.randrange(86400, 90000), True))

    def scan(self, table: str) -> None:
        self.client.get_range(table, "FORWARD", [("pk", INF_MIN)], [("pk", INF_MAX)])

    def put(self, table: str) -> None:
        self.client.put_row(table, Row(self.key(may_be_automatic=True), self.columns()), Condition("IGNORE"))

    def update(self, table: str) -> None:
        self.client.update_row(table, Row(self.key(), {"PUT": self.columns()}), Condition("IGNORE"))

    def delete_row(self, table: str) -> None:
        self.client.delete_row(table, Row(self.key()), Condition("IGNORE"))

    def batch(self, table: str) -> None:
        rows = {tuple(key): Row(key, self.columns()) for key in (self.key() for _ in range(20))}
        request = BatchWriteRowRequest()
        request.add(TableInBatchWriteRowItem(table, [PutRowItem(row, Condition("IGNORE")) for row in rows.values()]))
        self.client.batch_write_row(request)

    def search(self, table: str) -> None:
        query = self.chance.choice([MatchQuery("text", "red"), TermQuery("word", "blue"), KNN])
        everything = ColumnsToGet([], ColumnReturnType.ALL)
        self.client.search(table, self.index(table), SearchQuery(query, limit=100), everything)

    def transaction(self, table: str) -> None:
        key = self.key()
        identifier = self.client.start_local_transaction(table, key[:1])
        for _ in range(3):
            self.client.put_row(table, Row(key, self.columns()), Condition("IGNORE"), transaction_id=identifier)
        self.chance.choice([self.client.commit_transaction, self.client.abort_transaction])(identifier)

    def index(self, table: str) -> str:
        return f"{table}{self.chance.randrange(2)}"

    def key(self, *, may_be_automatic: bool = False) -> list[tuple]:
        """A key of any of the tables that there might be."""
        key: list[tuple] = [("pk", f"row {self.chance.randrange(30)}")]
        if self.chance.random() < 0.6:
            automatic = may_be_automatic and self.chance.random() < 0.5
            key.append(("n", PK_AUTO_INCR if automatic else self.chance.randrange(3)))
        return key

    def columns(self) -> list[tuple]:
        word = self.chance.choice(WORDS)
        vector = json.dumps([round(self.chance.gauss(0, 1), 3) for _ in range(DIMENSION)])
        columns = [("word", word), ("text", f"{word} as ever"), ("x", self.chance.randrange(100)), ("vector", vector)]
        return self.chance.sample(columns, self.chance.randint(1, len(columns)))


def change(folder: Path, seed: int) -> None:
    changer = Changer(ots_client(Tablestore(folder, durability="normal"), retry_policy=NoRetryPolicy()), seed)
    while True:
        try:
            changer.step()
        except OTSServiceError as error:
            # Tables come, go and change all the time. What must not come of that is trouble with the file.
            if error.http_status >= 500 or error.code == "OTSStorageUnusable":
                raise


def main() -> None:
    children: list[int] = []
    for line in sys.stdin:
        sys.stdout.write(" ".join(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) for child in children) + "\n")
        children = [start(Path(sys.argv[1]), int(seed)) for seed in line.split()]
        sys.stdout.write(" ".join(map(str, children)) + "\n")
        sys.stdout.flush()


def start(folder: Path, seed: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            change(folder, seed)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    return child


if __name__ == "__main__":
    main()
