"""Qwen through DashScope (Alibaba Cloud Model Studio): embeddings, reranking and token counts for LangChain.

They need the extra ``dashscope``: ``pip install "langchain-tablestore-memory[dashscope]"``. For chat, take any chat
model of LangChain, such as `ChatQwen` of langchain-qwq, which comes with the extra.
"""

from __future__ import annotations

from langchain_tablestore_memory.dashscope.embeddings import DashScopeEmbeddings
from langchain_tablestore_memory.dashscope.rerank import DashScopeRerank
from langchain_tablestore_memory.dashscope.tokens import QwenTokenCounter

__all__ = ["DashScopeEmbeddings", "DashScopeRerank", "QwenTokenCounter"]
