"""Schemas of search indexes: checking those that requests bring, and describing those that exist."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from langchain_tablestore_memory.local.errors import RequestError, parameter_invalid
from langchain_tablestore_memory.local.limits import check_table_name
from langchain_tablestore_memory.local.messages import search

from .analysis import (
    ANALYZERS,
    DICTIONARY,
    FUZZY,
    MAX_WORD,
    MIN_WORD,
    SINGLE_WORD,
    SPLIT,
    Analyzer,
    choose_segmenter,
)
from .dates import DateFormat
from .store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tablestore_memory.local.catalogue import Options

MAX_FIELDS: Final = 1000
MAX_VECTOR_FIELDS: Final = 5
MAX_DIMENSION: Final = 4096
MIN_TIME_TO_LIVE: Final = 86_400
# The longest and the shortest piece of a word may differ by this in the fuzzy analyser.
_MAX_FUZZY_RANGE: Final = 6
_SUPPORTED: Final = frozenset(
    (search.LONG, search.DOUBLE, search.BOOLEAN, search.KEYWORD, search.TEXT, search.DATE, search.VECTOR)
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an index.

    Attributes:
        name: Its name.
        number: Its place in the schema.
        type: A ``FieldType`` of the protobuf enumeration.
        column: The column that it is read from.
        is_array: Whether the column holds a JSON array of values.
        is_virtual: Whether it is read from a column of another name or type, and only for queries.
        analyzer: How a TEXT field is cut.
        dates: The formats of a DATE field.
        dimension: The length of a VECTOR field's vectors.
        metric: A ``VectorMetricType`` of the protobuf enumeration.
    """

    name: str
    number: int
    type: int
    column: bytes
    is_array: bool = False
    is_virtual: bool = False
    analyzer: Analyzer = field(default_factory=lambda: Analyzer(SINGLE_WORD))
    dates: tuple[DateFormat, ...] = ()
    dimension: int = 0
    metric: int = search.VM_COSINE

    @property
    def type_name(self) -> str:
        """The name of the type, such as ``KEYWORD``."""
        return str(search.FieldType.Name(self.type))


@dataclass(frozen=True, slots=True)
class SearchIndex:
    """A search index.

    Attributes:
        name: Its name, unique in its table.
        table_id: The number of its table.
        number: Tells it from every other search index that the table ever had.
        schema: The ``IndexSchema`` message as it is described.
        time_to_live: Seconds after which a row is not found any more, -1 for never.
        created: When it was made, in milliseconds since 1970.
        segmenter: How its analysers cut CJK characters, `analysis.DICTIONARY` or `analysis.PAIRS`.
        fields: Its fields by name.
        store: Its tables.
    """

    name: str
    table_id: int
    number: int
    schema: bytes
    time_to_live: int
    created: int
    segmenter: str
    fields: dict[str, Field] = field(init=False, compare=False, repr=False)
    store: Store = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        message = search.IndexSchema.FromString(self.schema)
        fields = [_parse_field(schema, number, self.segmenter) for number, schema in enumerate(message.field_schemas)]
        object.__setattr__(self, "fields", {field.name: field for field in fields})
        object.__setattr__(self, "store", Store(self.prefix, fields))

    @property
    def prefix(self) -> str:
        """What the names of its SQLite tables begin with."""
        return f"search_{self.table_id}_{self.number}"

    def sort(self) -> Any:
        """The ``Sort`` message of the index: the order of results for which none is asked."""
        return search.IndexSchema.FromString(self.schema).index_sort


def make_search_index(request: Any, table_id: int, number: int, key_names: Sequence[str], created: int) -> SearchIndex:
    """Check the definition of a search index.

    Args:
        request: The ``CreateSearchIndexRequest``.
        table_id: The number of the table.
        number: The number that the index will have in its table.
        key_names: The names of the table's primary key columns.
        created: The time in milliseconds.

    Returns:
        The index.

    Raises:
        RequestError: ``OTSParameterInvalid``, naming what is wrong.
    """
    check_table_name(request.index_name)
    schema = search.IndexSchema()
    schema.CopyFrom(request.schema)
    if not 1 <= len(schema.field_schemas) <= MAX_FIELDS:
        raise parameter_invalid(f"The number of fields of a search index must be in range: [1, {MAX_FIELDS}].")
    _check_fields(schema.field_schemas)
    for routing_field in schema.index_setting.routing_fields:
        if routing_field not in key_names:
            raise parameter_invalid(f"routing field [{routing_field}] must be a primary key column of the table")
    _check_index_sort(schema)
    for schema_field in schema.field_schemas:
        schema_field.index = schema_field.index if schema_field.HasField("index") else True
        schema_field.enable_sort_and_agg = schema_field.enable_sort_and_agg
    if not schema.index_sort.sorter:
        schema.index_sort.sorter.add().pk_sort.order = search.SORT_ORDER_ASC
    time_to_live = request.time_to_live if request.HasField("time_to_live") else -1
    check_time_to_live(time_to_live)
    has_words = any(field.analyzer in (MAX_WORD, MIN_WORD) for field in schema.field_schemas)
    return SearchIndex(
        name=request.index_name,
        table_id=table_id,
        number=number,
        schema=schema.SerializeToString(),
        time_to_live=time_to_live,
        created=created,
        segmenter=choose_segmenter() if has_words else DICTIONARY,
    )


def check_time_to_live(seconds: int) -> None:
    """Check the time-to-live of an index.

    Args:
        seconds: The seconds, -1 for no end.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    if seconds != -1 and seconds < MIN_TIME_TO_LIVE:
        raise parameter_invalid(
            f"The time to live of a search index must be -1 or at least {MIN_TIME_TO_LIVE} seconds, not {seconds}."
        )


def check_life(time_to_live: int, options: Options) -> None:
    """Check an index's time-to-live against its table: "Specify the TTL of search index", Tablestore.

    Args:
        time_to_live: The index's, in seconds.
        options: The table's.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    if time_to_live == -1:
        return
    if options.allow_update:
        raise parameter_invalid("The time to live of a search index can be set only where its table forbids updates.")
    if 0 < options.time_to_live < time_to_live:
        raise parameter_invalid(
            f"The time to live of a search index ({time_to_live}) must not be more than its table's"
            f" ({options.time_to_live})."
        )


def describe(index: SearchIndex) -> Any:
    """Make the answer to DescribeSearchIndex, without the state of synchronization.

    Args:
        index: The index.

    Returns:
        The ``DescribeSearchIndexResponse``.
    """
    answer = search.DescribeSearchIndexResponse()
    answer.schema.ParseFromString(index.schema)
    answer.create_time = index.created // 1000
    answer.time_to_live = index.time_to_live
    return answer


def unsupported(part: str) -> RequestError:
    """The refusal of a part of the service's search that the embedded engine does not have.

    Args:
        part: What it is called.

    Returns:
        The error.
    """
    return parameter_invalid(f"Unsupported by the embedded engine: {part}.")


def _check_fields(schemas: Sequence[Any]) -> None:
    names: set[str] = set()
    vectors = 0
    for number, schema in enumerate(schemas):
        if not schema.field_name:
            raise parameter_invalid("The name of a field of a search index must not be empty.")
        if schema.field_name in names:
            raise parameter_invalid(f"duplicate field name [{schema.field_name}] in the search index")
        names.add(schema.field_name)
        if schema.field_type not in _SUPPORTED:
            name = search.FieldType.Name(schema.field_type)
            raise unsupported(f"field type {name} of field [{schema.field_name}]")
        if schema.is_virtual_field and len(schema.source_field_names) != 1:
            raise parameter_invalid(f"virtual field [{schema.field_name}] must have one source field")
        if schema.field_type == search.DATE and not schema.date_formats:
            raise parameter_invalid(f"date field [{schema.field_name}] must have date formats")
        vectors += schema.field_type == search.VECTOR
        _check_options(_parse_field(schema, number), schema)
    if vectors > MAX_VECTOR_FIELDS:
        raise parameter_invalid(f"A search index can have {MAX_VECTOR_FIELDS} vector fields, not {vectors}.")


def _check_options(parsed: Field, schema: Any) -> None:
    if parsed.type == search.VECTOR:
        if not 1 <= parsed.dimension <= MAX_DIMENSION:
            raise parameter_invalid(
                f"the dimension of vector field [{parsed.name}] must be in range: [1, {MAX_DIMENSION}]"
            )
        if parsed.is_array:
            raise parameter_invalid(f"vector field [{parsed.name}] must not be an array")
    if parsed.type == search.TEXT and schema.enable_sort_and_agg:
        raise parameter_invalid(f"text field [{parsed.name}] does not support sort and aggregation")
    analyzer = parsed.analyzer
    if analyzer.name == FUZZY and not (
        1 <= analyzer.min_chars <= analyzer.max_chars <= analyzer.min_chars + _MAX_FUZZY_RANGE
    ):
        raise parameter_invalid(
            f"fuzzy analyzer of field [{parsed.name}]: min_chars must be at least 1, and max_chars at most"
            f" {_MAX_FUZZY_RANGE} more"
        )


def _check_index_sort(schema: Any) -> None:
    names = {field.field_name for field in schema.field_schemas if field.field_type != search.TEXT}
    for sorter in schema.index_sort.sorter:
        if sorter.HasField("field_sort"):
            if sorter.field_sort.field_name not in names:
                raise parameter_invalid(f"index sort: field [{sorter.field_sort.field_name}] cannot be sorted by")
        elif not sorter.HasField("pk_sort"):
            raise parameter_invalid("index sort only supports PrimaryKeySort and FieldSort")


def _parse_field(schema: Any, number: int, segmenter: str = DICTIONARY) -> Field:
    column = schema.source_field_names[0] if schema.is_virtual_field else schema.field_name
    options = schema.vector_options
    return Field(
        name=schema.field_name,
        number=number,
        type=schema.field_type,
        column=column.encode(),
        is_array=schema.is_array,
        is_virtual=schema.is_virtual_field,
        analyzer=replace(_parse_analyzer(schema), segmenter=segmenter),
        dates=tuple(DateFormat.parse(text, schema.field_name) for text in schema.date_formats),
        dimension=options.dimension,
        metric=options.metric_type if options.HasField("metric_type") else search.VM_COSINE,
    )


def _parse_analyzer(schema: Any) -> Analyzer:
    name = schema.analyzer or SINGLE_WORD
    if name not in ANALYZERS:
        raise parameter_invalid(f"unknown analyzer [{name}] of field [{schema.field_name}]")
    try:
        if name == SINGLE_WORD:
            single = search.SingleWordAnalyzerParameter.FromString(schema.analyzer_parameter)
            return Analyzer(name, case_sensitive=single.case_sensitive, delimit_word=single.delimit_word)
        if name == SPLIT:
            return Analyzer(
                name, delimiter=search.SplitAnalyzerParameter.FromString(schema.analyzer_parameter).delimiter or None
            )
        if name == FUZZY and schema.analyzer_parameter:
            fuzzy = search.FuzzyAnalyzerParameter.FromString(schema.analyzer_parameter)
            return Analyzer(name, min_chars=fuzzy.min_chars, max_chars=fuzzy.max_chars)
    except DecodeError:
        raise parameter_invalid(f"analyzer parameter of field [{schema.field_name}] cannot be read") from None
    return Analyzer(name)
