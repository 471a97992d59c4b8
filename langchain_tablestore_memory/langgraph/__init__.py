"""LangGraph on Tablestore: `TablestoreSaver` and `TablestoreStore`. Needs the extra ``langgraph``."""

from langchain_tablestore_memory._extras import needs_extra

with needs_extra("langgraph", "langgraph"):
    from langchain_tablestore_memory.langgraph.checkpoints.saver import TablestoreSaver
    from langchain_tablestore_memory.langgraph.stores.store import TablestoreStore

__all__ = ["TablestoreSaver", "TablestoreStore"]
