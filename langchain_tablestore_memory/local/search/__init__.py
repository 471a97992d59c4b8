"""Search indexes: full text, vectors and filters over the rows of a table, kept in the same file.

An index is a few SQLite tables (`store`) that every write to the table's rows keeps up in its own transaction;
queries are compiled to SQL over them, and to NumPy where something is scored (`queries`). `calls` carries out the
service's calls.
"""
