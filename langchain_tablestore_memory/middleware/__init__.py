"""Middleware for LangChain's agents: `TranscriptMiddleware` and `MemoryMiddleware`. Needs the extra ``langgraph``."""

from langchain_tablestore_memory._extras import needs_extra

with needs_extra("langgraph", "langchain", "langgraph"):
    from langchain_tablestore_memory.middleware.memory import MemoryMiddleware
    from langchain_tablestore_memory.middleware.transcript import TranscriptMiddleware

__all__ = ["MemoryMiddleware", "TranscriptMiddleware"]
