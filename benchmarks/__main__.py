"""`python -m benchmarks [--quick] [NAME ...]`: measures, and prints a table at the end."""

from __future__ import annotations

import argparse
import importlib

from benchmarks.harness import Comparison, print_table

_BENCHMARKS = {
    "turn": "a chat turn over HTTP, against tablestore-for-agent-memory",
    "long_conversation": "1,000 turns on the embedded engine, against langchain-community on SQLite",
    "engine": "calls of the embedded engine, against bare sqlite3",
    "memories": "long-term memory with 10,000 memories of one user",
    "ingest": "documents with vectors over HTTP, against langchain-community and tablestore-for-agent-memory",
    "retrieval": "searches of up to 100,000 documents, embedded, against langchain-chroma and InMemoryVectorStore",
    "checkpoints": "LangGraph's checkpoints on a file, against SqliteSaver and AsyncSqliteSaver",
    "imports": "import time, against langchain-core and tablestore",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure side by side against other packages.",
        epilog="\n".join(f"  {name:<18} {what}" for name, what in _BENCHMARKS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a look, not a measurement")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in _BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}. Choose from: {', '.join(_BENCHMARKS)}")
    comparisons: list[Comparison] = []
    for name in arguments.names or _BENCHMARKS:
        comparisons += importlib.import_module(f"benchmarks.{name}").run(quick=arguments.quick)
        print()
    print_table(comparisons)


if __name__ == "__main__":
    main()
