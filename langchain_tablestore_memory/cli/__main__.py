"""``python -m langchain_tablestore_memory.cli``: the command, where its script is not on the path."""

from __future__ import annotations

from langchain_tablestore_memory.cli import main

if __name__ == "__main__":
    main()
