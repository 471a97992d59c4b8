"""The filter language: one tree, two ways of writing it, several ways of reading it.

Written as a dict or with `Filters`; read as a Python predicate (`matches`, `predicate`), as a condition that the
service evaluates on rows (`to_condition`), and as a query of a search index (`to_query`).
"""

from langchain_tablestore_memory.filters.condition import to_condition
from langchain_tablestore_memory.filters.language import Filters, parse
from langchain_tablestore_memory.filters.predicate import matches, predicate
from langchain_tablestore_memory.filters.search import FieldKind, FieldType, among, is_scored, to_query, to_scored_query
from langchain_tablestore_memory.filters.tree import Filter, fields, renamed, walk

__all__ = [
    "FieldKind",
    "FieldType",
    "Filter",
    "Filters",
    "among",
    "fields",
    "is_scored",
    "matches",
    "parse",
    "predicate",
    "renamed",
    "to_condition",
    "to_query",
    "to_scored_query",
    "walk",
]
