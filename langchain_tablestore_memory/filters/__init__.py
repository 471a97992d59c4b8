"""The filter language: one tree, two ways of writing it, several ways of reading it.

Written as a dict or with `Filters`; read as a Python predicate (`matches`, `predicate`) and as a condition
that the service evaluates on rows (`to_condition`).
"""

from langchain_tablestore_memory.filters.condition import to_condition
from langchain_tablestore_memory.filters.language import Filters, parse
from langchain_tablestore_memory.filters.predicate import matches, predicate
from langchain_tablestore_memory.filters.tree import Filter, fields, walk

__all__ = ["Filter", "Filters", "fields", "matches", "parse", "predicate", "to_condition", "walk"]
