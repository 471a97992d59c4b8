"""Adds turns to a conversation until it is killed: ``python writer.py PATH SESSION FIRST_NUMBER``.

Prints ``ready`` when all is imported, waits for a line on standard input, and then prints the number of each turn as
soon as it is acknowledged.
"""

from __future__ import annotations

import itertools
import os
import sys

from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory import TablestoreChatMessageHistory, connect


def main(path: str, session_id: str, first: int) -> None:
    os.write(1, b"ready\n")
    sys.stdin.readline()
    history = TablestoreChatMessageHistory(session_id, user_id="u1", connection=connect(f"local:{path}"), window=20)
    for number in itertools.count(first):
        history.add_messages([HumanMessage(f"q{number}", id=f"q{number}"), AIMessage(f"a{number}", id=f"a{number}")])
        os.write(1, b"%d\n" % number)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
