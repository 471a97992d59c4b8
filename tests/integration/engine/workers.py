"""What other processes run in the tests of concurrency and of crashes: ``python workers.py TASK FOLDER ARGS...``."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

from tablestore import (
    BatchWriteRowRequest,
    Condition,
    NoRetryPolicy,
    OTSClient,
    OTSServiceError,
    PutRowItem,
    Row,
    SingleColumnCondition,
    TableInBatchWriteRowItem,
)

from langchain_tablestore_memory.local import Tablestore, ots_client


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def increment(client: OTSClient, times: str) -> None:
    """Adds one to a shared counter, and to it again by compare-and-set, this often."""
    key = [("pk", "counter")]
    for _ in range(int(times)):
        client.update_row("t", Row(key, {"increment": [("n", 1)]}), Condition("IGNORE"))
        while True:
            _, row, _ = client.get_row("t", key, columns_to_get=["cas", "pk"])
            seen = {name: value for name, value, _ in row.attribute_columns}.get("cas", 0)
            guard = Condition("IGNORE", SingleColumnCondition("cas", seen, 0, pass_if_missing=seen == 0))
            try:
                client.update_row("t", Row(key, {"put": [("cas", seen + 1)]}), guard)
            except OTSServiceError as error:
                if error.code != "OTSConditionCheckFail":
                    raise
            else:
                break


def insert(client: OTSClient, name: str, times: str) -> None:
    """Inserts rows of its own, and races the others for a shared row each time; reports how many it won."""
    won = 0
    for number in range(int(times)):
        client.put_row("t", Row([("pk", f"{name}-{number:04}")], [("time", number)]), Condition("EXPECT_NOT_EXIST"))
        try:
            client.put_row("t", Row([("pk", f"shared-{number:04}")], [("time", number)]), Condition("EXPECT_NOT_EXIST"))
            won += 1
        except OTSServiceError as error:
            if error.code != "OTSConditionCheckFail":
                raise
    say(won)


def stream(client: OTSClient, name: str) -> None:
    """Writes without end by several calls, and reports each row once it is acknowledged."""
    for number in itertools.count():
        key = f"{name}-{number:06}"
        if number % 3 == 0:
            client.put_row("t", Row([("pk", key)], [("time", number), ("data", "x" * (number % 5000))]))
            say(key)
        elif number % 3 == 1:
            client.update_row("t", Row([("pk", key)], {"put": [("time", number)]}), Condition("IGNORE"))
            say(key)
        else:
            request = BatchWriteRowRequest()
            batch = [f"{key}-{part}" for part in range(20)]
            rows = [PutRowItem(Row([("pk", part)], [("time", number)]), None) for part in batch]
            request.add(TableInBatchWriteRowItem("t", rows))
            if client.batch_write_row(request).is_all_succeed():
                say(*batch)


def open_transaction(client: OTSClient) -> None:
    """Writes within a transaction that nobody commits, then waits to be killed."""
    identifier = client.start_local_transaction("t", [("pk", "open")])
    row = Row([("pk", "open")], [("time", 1)])
    client.put_row("t", row, Condition("IGNORE"), transaction_id=identifier)
    say("open")
    sys.stdin.read()


TASKS = {task.__name__: task for task in (increment, insert, stream, open_transaction)}


def main() -> None:
    task, folder, *arguments = sys.argv[1:]
    if task == "streams":
        fork_streams(Path(folder))
        return
    run(task, Path(folder), *arguments)


def fork_streams(folder: Path) -> None:
    """Starts a process that streams for each name on standard input: importing once makes each start quickly.

    Reports its process id, then its rows, then ``end`` and its exit code on a line of their own.
    """
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            say(os.getpid())
            run("stream", folder, line.strip())
        _, status = os.waitpid(child, 0)
        say("\nend", os.waitstatus_to_exitcode(status))


def run(task: str, folder: Path, *arguments: str) -> None:
    service = Tablestore(folder)
    TASKS[task](ots_client(service, retry_policy=NoRetryPolicy()), *arguments)
    service.close()


if __name__ == "__main__":
    main()
