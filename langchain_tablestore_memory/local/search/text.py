"""Full text over one TEXT field: conditions for SQL, and scores.

The scores of tokens are those of `postings`. Phrases are left to FTS5, whose ``bm25()`` differs from Lucene's in the
idf only: its scores are multiplied by the quotient of the two. Of a phrase the idf is the sum of its tokens'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .postings import fts5_idf, lucene_idf, read_number
from .run import NONE, Condition, join
from .scores import Scores, constant, union
from .values import escape_token, unescape_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .definitions import Field
    from .run import Run
    from .scores import Docs


class Tokens(NamedTuple):
    """What a query asks for in a TEXT field: at least so many of some tokens."""

    tokens: tuple[str, ...]
    minimum: int


def tokens_condition(run: Run, field: Field, wanted: Tokens) -> Condition:
    """The condition that a document has enough of some tokens.

    Args:
        run: The state of the index.
        field: The field.
        wanted: The tokens.

    Returns:
        The condition.
    """
    tokens, minimum = wanted
    if not tokens or minimum > len(tokens):
        return NONE
    if minimum in (1, len(tokens)):
        operator = " OR " if minimum == 1 else " AND "
        return matching(run, field, operator.join(_quote(token) for token in dict.fromkeys(tokens)))
    conditions = [matching(run, field, _quote(token)) for token in tokens]
    total = join([Condition(f"(({sql}) IS TRUE)", params) for sql, params in conditions], "+")
    return Condition(f"{total.sql} >= ?", (*total.params, minimum))


def tokens_scores(run: Run, field: Field, wanted: Tokens) -> Scores:
    """Score the documents that have enough of some tokens.

    Args:
        run: The state of the index.
        field: The field.
        wanted: The tokens; one that is there twice counts twice.

    Returns:
        The documents with the sums of the tokens' scores.
    """
    known = {token: _token_scores(run, field, token) for token in dict.fromkeys(wanted.tokens)}
    return union([known[token] for token in wanted.tokens], wanted.minimum)


def phrase_condition(run: Run, field: Field, tokens: Sequence[str]) -> Condition:
    """The condition that tokens follow one another in a document."""
    return matching(run, field, _phrase(tokens)) if tokens else NONE


def phrase_scores(run: Run, field: Field, tokens: Sequence[str]) -> Scores:
    """Score the documents in which tokens follow one another.

    Args:
        run: The state of the index.
        field: The field.
        tokens: The tokens.

    Returns:
        The documents with their scores.
    """
    if not tokens:
        return _nothing()
    if len(tokens) == 1:
        return _token_scores(run, field, tokens[0])
    found = _matches(run, field, _phrase(tokens))
    total = _document_count(run, field)
    idf = sum(lucene_idf(total, _frequency(run, field, token)) for token in tokens)
    return Scores(found.docs, found.values * (idf / fts5_idf(total, len(found.docs)))) if len(found.docs) else found


def matching(run: Run, field: Field, expression: str) -> Condition:
    """The condition that a document meets a query expression of FTS5."""
    table = run.store.text(field)
    return Condition(f"d.doc IN (SELECT rowid FROM {table} WHERE {table} MATCH ?)", (expression,))  # noqa: S608


def prefix_condition(run: Run, field: Field, prefix: str) -> Condition:
    """The condition that a document has a token that begins with some characters."""
    return matching(run, field, f"{_quote(prefix)} *")


def term_list_condition(run: Run, field: Field, sql: str, *params: str) -> Condition:
    """The condition that a document has a token which meets an SQL condition on ``term``.

    Args:
        run: The state of the index.
        field: The field.
        sql: The condition; it is put to tokens in the form that FTS5 keeps.
        params: Its parameters.

    Returns:
        The condition.
    """
    found = run.connection.execute(f"SELECT term FROM {run.store.terms(field)} WHERE {sql}", params)  # noqa: S608
    return _any_of(run, field, [f'"{term}"' for (term,) in found])


def term_range_condition(
    run: Run, field: Field, lower: tuple[str, bool] | None, upper: tuple[str, bool] | None
) -> Condition:
    """The condition that a document has a token within bounds, each with whether it is included."""
    found = run.connection.execute(f"SELECT term FROM {run.store.terms(field)}")  # noqa: S608
    inside = []
    for (term,) in found:
        token = unescape_token(term)
        above = lower is None or token > lower[0] or (lower[1] and token == lower[0])
        below = upper is None or token < upper[0] or (upper[1] and token == upper[0])
        if above and below:
            inside.append(f'"{term}"')
    return _any_of(run, field, inside)


def _any_of(run: Run, field: Field, quoted: list[str]) -> Condition:
    return matching(run, field, " OR ".join(quoted)) if quoted else NONE


def _token_scores(run: Run, field: Field, token: str) -> Scores:
    known = run.caches.postings(field).scores(run.connection, escape_token(token))
    if known is not None:
        return known
    found = _matches(run, field, _quote(token))
    if not len(found.docs):
        return found
    total, count = _document_count(run, field), len(found.docs)
    return Scores(found.docs, found.values * (lucene_idf(total, count) / fts5_idf(total, count)))


def _matches(run: Run, field: Field, expression: str) -> Scores:
    """The documents that meet an expression, with FTS5's scores of it."""
    table = run.store.text(field)
    found = run.connection.execute(
        f"SELECT rowid, -bm25({table}) FROM {table} WHERE {table} MATCH ?",  # noqa: S608
        (expression,),
    ).fetchall()
    if not found:
        return _nothing()
    docs, values = zip(*found, strict=True)
    return Scores(np.array(docs, np.int64), np.array(values, np.float64))


def restrict_live(run: Run, scores: Scores) -> Scores:
    """Leave out documents whose time-to-live has ended."""
    if run.live is None:
        return scores
    kept: Docs = run.restrict(scores.docs, Condition("1"))
    return scores.only(kept)


def _document_count(run: Run, field: Field) -> int:
    """How many documents have a token in the field: the first number of FTS5's record of averages."""
    (record,) = run.connection.execute(f"SELECT block FROM {run.store.text(field)}_data WHERE id = 1").fetchone()  # noqa: S608
    return read_number(record)


def _frequency(run: Run, field: Field, token: str) -> int:
    found = run.connection.execute(
        f"SELECT doc FROM {run.store.terms(field)} WHERE term = ?",  # noqa: S608
        (escape_token(token),),
    ).fetchone()
    return 0 if found is None else int(found[0])


def _nothing() -> Scores:
    return constant(np.empty(0, np.int64), 0.0)


def _phrase(tokens: Sequence[str]) -> str:
    return '"' + " ".join(escape_token(token) for token in tokens) + '"'


def _quote(token: str) -> str:
    return f'"{escape_token(token)}"'
