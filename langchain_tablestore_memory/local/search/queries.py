"""Queries: compiled from protobuf into objects that give an SQL condition, or scored documents.

Each type of query is one function in `_COMPILERS`, which checks the message and builds the object. What filters only
is a `Filter`: a condition and one score for all that it finds. Text, vectors and Bool compute scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from langchain_tablestore_memory.local.errors import parameter_invalid
from langchain_tablestore_memory.local.messages import parse, search

from . import text
from .definitions import unsupported
from .operands import bound_condition, decode_variant, like, minimum_should_match, term_condition, weight_of
from .run import ALL, NONE, Condition, Run, is_not, join, one_of
from .scores import Scores, add_to, constant, union
from .text import Tokens
from .values import escape_token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .definitions import Field, SearchIndex

MAX_QUERIES: Final = 1024
MAX_TERMS: Final = 1024
MAX_WILDCARD_LENGTH: Final = 32
MAX_PREFIX_LENGTH: Final = 1000
MAX_TOP_K: Final = 1000

_UNSUPPORTED: Final = {
    search.CONST_SCORE_QUERY: "ConstScoreQuery",
    search.FUNCTION_SCORE_QUERY: "FunctionScoreQuery",
    search.NESTED_QUERY: "NestedQuery",
    search.GEO_BOUNDING_BOX_QUERY: "GeoBoundingBoxQuery",
    search.GEO_DISTANCE_QUERY: "GeoDistanceQuery",
    search.GEO_POLYGON_QUERY: "GeoPolygonQuery",
    search.DIS_MAX_QUERY: "DisMaxQuery",
}


class Query(Protocol):
    """A compiled query."""

    @property
    def score(self) -> float | None:
        """The score of everything that is found, None where it has to be computed."""

    def condition(self, run: Run) -> Condition:
        """Give the SQL condition that a document is found."""

    def scores(self, run: Run) -> Scores:
        """Find and score all documents."""


class Filter:
    """A query that finds by a condition alone; all that it finds has one score.

    Args:
        make: Gives the condition.
        weight: The score.
    """

    def __init__(self, make: Callable[[Run], Condition], weight: float = 1.0) -> None:
        self._make = make
        self.score: float | None = weight

    def condition(self, run: Run) -> Condition:
        """Give the SQL condition that a document is found."""
        return self._make(run)

    def scores(self, run: Run) -> Scores:
        """Find all documents."""
        assert self.score is not None
        return constant(run.documents(self._make(run)), self.score)


class TextQuery:
    """A query whose score is BM25's.

    Args:
        condition: Gives the condition.
        scores: Gives the scored documents.
        weight: What scores are multiplied by.
    """

    score = None

    def __init__(self, condition: Callable[[Run], Condition], scores: Callable[[Run], Scores], weight: float) -> None:
        self._condition = condition
        self._scores = scores
        self._weight = weight

    def condition(self, run: Run) -> Condition:
        """Give the SQL condition that a document is found."""
        return self._condition(run)

    def scores(self, run: Run) -> Scores:
        """Find and score all documents."""
        return text.restrict_live(run, self._scores(run)).weighted(self._weight)


class KnnQuery:
    """The nearest vectors of a field, among the documents that a filter leaves.

    Args:
        field: The field.
        vector: The vector to be near to.
        top_k: How many documents to find.
        filter_: What documents must meet, None for no filter.
        min_score: The least score.
        weight: What scores are multiplied by.
    """

    score = None

    def __init__(
        self,
        field: Field,
        vector: np.ndarray[Any, np.dtype[np.float32]],
        top_k: int,
        filter_: Query | None,
        min_score: float,
        weight: float,
    ) -> None:
        self._field = field
        self._vector = vector
        self._top_k = top_k
        self._filter = filter_
        self._min_score = min_score
        self._weight = weight
        self._found: Scores | None = None

    def condition(self, run: Run) -> Condition:
        """Give the SQL condition that a document is found."""
        return one_of(self.scores(run).docs)

    def scores(self, run: Run) -> Scores:
        """Find and score the nearest documents: once for each search, which may ask for both."""
        if self._found is None:
            condition = ALL if self._filter is None else self._filter.condition(run)
            # As the service does, at least where it was observed: K is never less than the results asked for.
            count = max(self._top_k, run.limit)
            found = run.caches.matrix(self._field).nearest(run, self._vector, count, condition)
            near = found.values >= self._min_score
            self._found = Scores(found.docs[near], found.values[near]).weighted(self._weight)
        return self._found


class BoolQuery:
    """A combination of queries.

    Args:
        must: All of these must find a document, and add to its score.
        filters: All of these must find it, without adding.
        must_not: None of these may find it.
        should: At least `minimum` of these must find it; those that do add to its score.
        minimum: How many.
        weight: What scores are multiplied by.
    """

    score = None

    def __init__(
        self,
        must: Sequence[Query],
        filters: Sequence[Query],
        must_not: Sequence[Query],
        should: Sequence[Query],
        minimum: int,
        weight: float,
    ) -> None:
        self._must = must
        self._filters = filters
        self._must_not = must_not
        self._should = should
        self._minimum = minimum
        self._weight = weight

    def condition(self, run: Run) -> Condition:
        """Give the SQL condition that a document is found."""
        parts = [query.condition(run) for query in (*self._must, *self._filters)]
        parts += [is_not(query.condition(run)) for query in self._must_not]
        if self._minimum > len(self._should):
            return NONE
        should = [query.condition(run) for query in self._should] if self._minimum else []
        if should and self._minimum == 1:
            parts.append(join(should, "OR"))
        elif should:
            total = join([Condition(f"(({sql}) IS TRUE)", params) for sql, params in should], "+")
            parts.append(Condition(f"{total.sql} >= ?", (*total.params, self._minimum)))
        return _all_of(parts)

    def scores(self, run: Run) -> Scores:
        """Find and score all documents."""
        if self._minimum > len(self._should):
            return constant(np.empty(0, np.int64), 0.0)
        scored = [query for query in self._must if query.score is None]
        fixed = [query for query in self._must if query.score is not None]
        demands = [query.condition(run) for query in (*fixed, *self._filters)]
        demands += [is_not(query.condition(run)) for query in self._must_not]
        demand = _all_of(demands)
        found = None
        if scored:
            found = union([query.scores(run) for query in scored], len(scored))
        if self._minimum:
            chosen = union([query.scores(run) for query in self._should], self._minimum)
            found = chosen if found is None else union([found, chosen], 2)
        if found is None:
            found = constant(run.documents(demand), 0.0)
        elif demand is not ALL:
            found = found.only(run.restrict(found.docs, demand))
        if not self._minimum:
            for query in self._should:
                found = add_to(found, _scores_among(query, run, found))
        extra = sum(query.score or 0.0 for query in fixed)
        return Scores(found.docs, found.values + extra if extra else found.values).weighted(self._weight)


def _scores_among(query: Query, run: Run, among: Scores) -> Scores:
    """Score only documents that are wanted, where that spares finding all."""
    if query.score is None:
        return query.scores(run)
    return constant(run.restrict(among.docs, query.condition(run)), query.score)


def _all_of(parts: Sequence[Condition]) -> Condition:
    demanding = [part for part in parts if part is not ALL]
    return join(demanding, "AND") if demanding else ALL


class Compiler:
    """Compiles the queries of one request.

    Args:
        index: The index that is searched.
    """

    def __init__(self, index: SearchIndex) -> None:
        self._index = index
        self._count = 0
        self.has_vectors = False

    def compile(self, message: Any) -> Query:
        """Check and compile a query.

        Args:
            message: The ``Query`` message.

        Returns:
            The query.

        Raises:
            RequestError: ``OTSParameterInvalid``, naming what is wrong.
        """
        self._count += 1
        if self._count > MAX_QUERIES:
            raise parameter_invalid(f"The number of queries in a search must not be more than {MAX_QUERIES}.")
        if not message.HasField("type"):
            raise parameter_invalid("[query] must not be null")
        if message.type in _UNSUPPORTED:
            raise unsupported(_UNSUPPORTED[message.type])
        message_type, build = _COMPILERS[message.type]
        return build(self, parse(message_type, message.query))

    def field(self, name: str, query_name: str) -> Field:
        """Look up the field of a query.

        Args:
            name: Its name.
            query_name: The query's, for the message.

        Returns:
            The field.

        Raises:
            RequestError: ``OTSParameterInvalid``: the index has no such field.
        """
        field = self._index.fields.get(name)
        if field is None:
            raise parameter_invalid(f"[{query_name}] field: {name} does not exist")
        return field


def _match_all(_compiler: Compiler, _message: Any) -> Query:
    return Filter(lambda _run: ALL)


def _match(compiler: Compiler, message: Any) -> Query:
    field = compiler.field(message.field_name, "match query")
    weight = weight_of(message)
    if field.type != search.TEXT:
        return Filter(lambda run: term_condition(run, field, [message.text], "match query"), weight)
    tokens = tuple(field.analyzer.query_tokens(message.text))
    minimum = len(tokens) if message.operator == search.AND else minimum_should_match(message, len(tokens), 1)
    wanted = Tokens(tokens, max(1, minimum))
    return TextQuery(
        lambda run: text.tokens_condition(run, field, wanted),
        lambda run: text.tokens_scores(run, field, wanted),
        weight,
    )


def _match_phrase(compiler: Compiler, message: Any) -> Query:
    field = compiler.field(message.field_name, "match phrase query")
    if message.slop:
        raise unsupported("slop of MatchPhraseQuery")
    weight = weight_of(message)
    if field.type != search.TEXT:
        return Filter(lambda run: term_condition(run, field, [message.text], "match phrase query"), weight)
    tokens = field.analyzer.phrase_tokens(message.text)
    return TextQuery(
        lambda run: text.phrase_condition(run, field, tokens),
        lambda run: text.phrase_scores(run, field, tokens),
        weight,
    )


def _term(compiler: Compiler, message: Any) -> Query:
    return _terms_of(compiler, message, [message.term], "term query")


def _terms(compiler: Compiler, message: Any) -> Query:
    if len(message.terms) > MAX_TERMS:
        raise parameter_invalid(f"[terms query] can have {MAX_TERMS} values, not {len(message.terms)}")
    return _terms_of(compiler, message, list(message.terms), "terms query")


def _terms_of(compiler: Compiler, message: Any, variants: list[bytes], query_name: str) -> Query:
    field = compiler.field(message.field_name, query_name)
    values = [decode_variant(variant, query_name) for variant in variants]
    weight = weight_of(message)
    if field.type != search.TEXT:
        return Filter(lambda run: term_condition(run, field, values, query_name), weight)
    tokens = tuple(dict.fromkeys(_text_operand(field, value, query_name) for value in values))
    wanted = Tokens(tokens, 1)
    if len(variants) > 1:
        return Filter(lambda run: text.tokens_condition(run, field, wanted), weight)
    return TextQuery(
        lambda run: text.tokens_condition(run, field, wanted),
        lambda run: text.tokens_scores(run, field, wanted),
        weight,
    )


def _range(compiler: Compiler, message: Any) -> Query:
    field = compiler.field(message.field_name, "range query")
    bounds = []
    for name, included in (("range_from", message.include_lower), ("range_to", message.include_upper)):
        given = message.HasField(name) and getattr(message, name)
        bounds.append((decode_variant(getattr(message, name), "range query"), included) if given else None)
    lower, upper = bounds
    if field.type == search.TEXT:
        low = lower and (_text_operand(field, lower[0], "range query"), lower[1])
        high = upper and (_text_operand(field, upper[0], "range query"), upper[1])
        return Filter(lambda run: text.term_range_condition(run, field, low, high))
    return Filter(lambda run: bound_condition(run, field, lower, upper))


def _prefix(compiler: Compiler, message: Any) -> Query:
    field = _string_field(compiler, message, "prefix query")
    prefix = message.prefix
    if len(prefix.encode()) > MAX_PREFIX_LENGTH:
        raise parameter_invalid(
            f"length of field value is longer than {MAX_PREFIX_LENGTH} for the [PREFIX_QUERY] query"
        )
    weight = weight_of(message)
    if field.type == search.TEXT:
        if not prefix:
            return Filter(lambda run: exists_condition(run, field), weight)
        return Filter(lambda run: text.prefix_condition(run, field, prefix), weight)
    # No UTF-8 has a byte 0xFF: after all texts with this prefix, before all others that follow.
    end = prefix.encode() + b"\xff"
    return Filter(lambda run: like(run, field, "{0} >= ? AND {0} < CAST(? AS TEXT)", (prefix, end)), weight)


def _wildcard(compiler: Compiler, message: Any) -> Query:
    field = _string_field(compiler, message, "wildcard query")
    if len(message.value) > MAX_WILDCARD_LENGTH:
        raise parameter_invalid(
            f"length of field value is longer than {MAX_WILDCARD_LENGTH} for the [WILDCARD_QUERY] query"
        )
    weight = weight_of(message)
    if field.type == search.TEXT:
        pattern = "".join(part if part in "*?" else escape_token(part) for part in message.value)
        return Filter(lambda run: text.term_list_condition(run, field, "term GLOB ?", pattern), weight)
    pattern = message.value.replace("[", "[[]")
    return Filter(lambda run: like(run, field, "{0} GLOB ?", (pattern,)), weight)


def _exists(compiler: Compiler, message: Any) -> Query:
    field = compiler.field(message.field_name, "exists query")
    return Filter(lambda run: exists_condition(run, field))


def exists_condition(run: Run, field: Field) -> Condition:
    """The condition that a document has a value in a field."""
    store = run.store
    if field.type == search.TEXT:
        return Condition(f"EXISTS (SELECT 1 FROM {store.text(field)}_docsize WHERE id = d.doc)")  # noqa: S608
    if field.type == search.VECTOR:
        return Condition(f"EXISTS (SELECT 1 FROM {store.vectors(field)} v WHERE v.doc = d.doc)")  # noqa: S608
    return like(run, field, "{0} IS NOT NULL", ())


def _bool(compiler: Compiler, message: Any) -> Query:
    must = [compiler.compile(query) for query in message.must_queries]
    filters = [compiler.compile(query) for query in message.filter_queries]
    must_not = [compiler.compile(query) for query in message.must_not_queries]
    should = [compiler.compile(query) for query in message.should_queries]
    default = 1 if should and not must and not filters else 0
    minimum = minimum_should_match(message, len(should), default)
    return BoolQuery(must, filters, must_not, should, minimum, weight_of(message))


def _knn(compiler: Compiler, message: Any) -> Query:
    field = compiler.field(message.field_name, "knn vector query")
    if field.type != search.VECTOR:
        raise parameter_invalid(f"[knn vector query] field: {field.name} is not a vector but a {field.type_name}")
    vector = np.array(message.float32_query_vector, np.float32)
    if len(vector) != field.dimension:
        raise parameter_invalid(
            f"[knn vector query] the dimension of the query vector is {len(vector)}, but that of field"
            f" {field.name} is {field.dimension}"
        )
    if not np.isfinite(vector).all():
        raise parameter_invalid("[knn vector query] the query vector must not have NaN or infinite numbers")
    if not 1 <= message.top_k <= MAX_TOP_K:
        raise parameter_invalid(f"[knn vector query] top_k must be in range: [1, {MAX_TOP_K}], not {message.top_k}")
    if not message.min_score >= 0:
        raise parameter_invalid("[knn vector query] min_score must not be less than 0")
    filter_ = None
    if message.HasField("filter"):
        compiler.has_vectors = False
        filter_ = compiler.compile(message.filter)
        if compiler.has_vectors:
            raise parameter_invalid("[knn vector query] its filter must not have a vector query")
    compiler.has_vectors = True
    return KnnQuery(field, vector, message.top_k, filter_, message.min_score, weight_of(message))


_COMPILERS: Final[dict[int, tuple[Any, Callable[[Compiler, Any], Query]]]] = {
    search.MATCH_ALL_QUERY: (search.MatchAllQuery, _match_all),
    search.MATCH_QUERY: (search.MatchQuery, _match),
    search.MATCH_PHRASE_QUERY: (search.MatchPhraseQuery, _match_phrase),
    search.TERM_QUERY: (search.TermQuery, _term),
    search.TERMS_QUERY: (search.TermsQuery, _terms),
    search.RANGE_QUERY: (search.RangeQuery, _range),
    search.PREFIX_QUERY: (search.PrefixQuery, _prefix),
    search.WILDCARD_QUERY: (search.WildcardQuery, _wildcard),
    search.EXISTS_QUERY: (search.ExistsQuery, _exists),
    search.BOOL_QUERY: (search.BoolQuery, _bool),
    search.KNN_VECTOR_QUERY: (search.KnnVectorQuery, _knn),
}


def _string_field(compiler: Compiler, message: Any, query_name: str) -> Field:
    field = compiler.field(message.field_name, query_name)
    if field.type not in (search.KEYWORD, search.TEXT):
        raise parameter_invalid(
            f"[{query_name}] field: {field.name} must be a KEYWORD or TEXT, but it is a {field.type_name}"
        )
    return field


def _text_operand(field: Field, value: object, query_name: str) -> str:
    if not isinstance(value, str):
        raise parameter_invalid(f"[{query_name}] field: {field.name} is a TEXT and takes a string")
    return value
