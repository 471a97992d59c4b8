"""LangGraph on Tablestore: the checkpointer `TablestoreSaver`. Needs the extra ``langgraph``."""

from langchain_tablestore_memory._extras import needs_extra

with needs_extra("langgraph", "langgraph"):
    from langchain_tablestore_memory.langgraph.saver import TablestoreSaver

__all__ = ["TablestoreSaver"]
