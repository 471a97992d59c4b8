"""An embedded Tablestore: the service's wire protocol, from one SQLite file per instance.

It imports nothing else of this package, and can be used without it, by an unmodified SDK:

```python
from pathlib import Path

from langchain_tablestore_memory.local import Tablestore, ots_client

client = ots_client(Tablestore(Path("data")))
client.list_table()
```

`Server` offers the same over HTTP, to other processes and other languages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tablestore_memory.local.clients import async_ots_client, ots_client
from langchain_tablestore_memory.local.errors import RequestError
from langchain_tablestore_memory.local.service import Response, Tablestore

if TYPE_CHECKING:
    from langchain_tablestore_memory.local.server import Server

__all__ = ["RequestError", "Response", "Server", "Tablestore", "async_ots_client", "ots_client"]


def __getattr__(name: str) -> Any:
    # Who uses the engine in-process need not wait for aiohttp's server to load.
    if name == "Server":
        from langchain_tablestore_memory.local.server import Server  # noqa: PLC0415

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
