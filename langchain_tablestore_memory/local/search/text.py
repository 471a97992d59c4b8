"""Full text over one TEXT field: conditions for SQL, and scores.

FTS5 finds tokens and phrases; what they score is up to `postings`. Some phrases FTS5 cannot tell, because the tokens
of a document are not all at places of their own: these it narrows down, and the stored tokens are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .run import NONE, Condition, join, one_of
from .scores import Scores, constant, union
from .values import GAP, WORD_END, escape_token, unescape_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .definitions import Field
    from .postings import Counts
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
    if not tokens:
        return NONE
    if len(tokens) > 1 and (field.is_array or field.analyzer.cuts_words):
        return one_of(_find_phrase(run, field, tokens)[0])
    return matching(run, field, _phrase(tokens))


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
        return constant(np.empty(0, np.int64), 0.0)
    if len(tokens) == 1:
        return _token_scores(run, field, tokens[0])
    docs, counts = _find_phrase(run, field, tokens)
    return run.caches.postings(field).phrase(run.connection, list(map(escape_token, tokens)), docs, counts)


def _find_phrase(run: Run, field: Field, tokens: Sequence[str]) -> tuple[Docs, Counts]:
    """The documents in which tokens follow one another, in rising order, and how often they do in each."""
    table = run.store.text(field)
    escaped = list(map(escape_token, tokens))
    if field.analyzer.cuts_words:
        expression, count = " AND ".join(map(_quote, dict.fromkeys(tokens))), _count_words
    else:
        expression, count = _phrase(tokens), _count_runs
    found = run.connection.execute(
        f"SELECT rowid, tokens FROM {table} WHERE {table} MATCH ? ORDER BY rowid",  # noqa: S608
        (expression,),
    )
    counted = [(doc, count(stored, escaped)) for doc, stored in found]
    having = [(doc, number) for doc, number in counted if number]
    return np.array([doc for doc, _ in having], np.int64), np.array([number for _, number in having], np.int32)


def _count_runs(stored: str, tokens: list[str]) -> int:
    """Count how often tokens follow one another, also where one run begins within another."""
    text, run = f" {stored} ", f" {' '.join(tokens)} "
    number, place = 0, text.find(run)
    while place >= 0:
        number += 1
        place = text.find(run, place + 1)
    return number


def _count_words(stored: str, tokens: list[str]) -> int:
    """Count how often tokens are pieces of words that follow one another."""
    number = 0
    for element in stored.split(GAP):
        words = [set(pieces.split(" ")) for pieces in element.split(WORD_END)]
        for first in range(len(words) - len(tokens) + 1):
            number += all(token in words[first + place] for place, token in enumerate(tokens))
    return number


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
    return run.caches.postings(field).token(run.connection, escape_token(token))


def restrict_live(run: Run, scores: Scores) -> Scores:
    """Leave out documents whose time-to-live has ended."""
    if run.live is None:
        return scores
    kept: Docs = run.restrict(scores.docs, Condition("1"))
    return scores.only(kept)


def _phrase(tokens: Sequence[str]) -> str:
    return '"' + " ".join(escape_token(token) for token in tokens) + '"'


def _quote(token: str) -> str:
    return f'"{escape_token(token)}"'
