"""Table definitions on the wire: checking those that requests bring, and describing those that exist."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .catalogue import DefinedColumn, Encryption, Index, KeyColumn, Options, Source, Stream, Throughput
from .errors import parameter_invalid
from .limits import (
    MAX_CAPACITY_UNITS,
    MAX_DEFINED_COLUMNS,
    MAX_DEVIATION,
    MAX_INDEX_ATTRIBUTES,
    MAX_KEY_COLUMNS,
    MAX_PARTITIONS,
    MIN_TIME_TO_LIVE,
    check_column_name,
    check_table_name,
)
from .messages import name_bytes, tables
from .plainbuffer import encode_answer, encode_row, make_key_cell
from .storage import RowTable
from .values import BLOB, BOOLEAN, DOUBLE, INF_MAX, INF_MIN, INTEGER, STRING, check_value, decode_integer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .catalogue import Table

_KEY_TYPES: Final = {tables.INTEGER: INTEGER, tables.STRING: STRING, tables.BINARY: BLOB}
_KEY_TYPE_NUMBERS: Final = {kind: number for number, kind in _KEY_TYPES.items()}
_DEFINED_TYPES: Final = {
    tables.DCT_INTEGER: INTEGER,
    tables.DCT_DOUBLE: DOUBLE,
    tables.DCT_BOOLEAN: BOOLEAN,
    tables.DCT_STRING: STRING,
    tables.DCT_BLOB: BLOB,
}
_DEFINED_TYPE_NUMBERS: Final = {kind: number for number, kind in _DEFINED_TYPES.items()}
_DEFAULT_DEVIATION: Final = 86_400


def parse_key(meta: Any) -> tuple[KeyColumn, ...]:
    """Check the primary key columns of a table to create.

    Args:
        meta: The ``TableMeta`` message.

    Returns:
        The columns.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    columns = meta.primary_key
    if not 1 <= len(columns) <= MAX_KEY_COLUMNS:
        raise parameter_invalid(f"The number of primary key columns must be in range: [1, {MAX_KEY_COLUMNS}].")
    names: set[str] = set()
    for column in columns:
        check_column_name(name_bytes(column.name))
        if column.name in names:
            raise parameter_invalid(f"Duplicated primary key name: '{column.name}'.")
        names.add(column.name)
        if column.type not in _KEY_TYPES:
            raise parameter_invalid("BOOLEAN is an invalid type for the primary key.")
    key = tuple(
        KeyColumn(column.name.encode(), _KEY_TYPES[column.type], column.HasField("option")) for column in columns
    )
    _check_auto_increment(key)
    return key


def _check_auto_increment(key: tuple[KeyColumn, ...]) -> None:
    automatic = [column for column in key if column.auto_increment]
    if not automatic:
        return
    if key[0].auto_increment:
        raise parameter_invalid("first primary key can't be AUTO_INCREMENT.")
    if len(automatic) > 1:
        raise parameter_invalid("AUTO_INCREMENT primary key count must <= 1.")
    if automatic[0].type != INTEGER:
        raise parameter_invalid("AUTO_INCREMENT primary key must be integer.")


def parse_defined_columns(meta: Any, key: tuple[KeyColumn, ...]) -> tuple[DefinedColumn, ...]:
    """Check the defined columns of a table to create.

    Args:
        meta: The ``TableMeta`` message.
        key: The table's primary key.

    Returns:
        The columns.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    columns = meta.defined_column
    if len(columns) > MAX_DEFINED_COLUMNS:
        raise parameter_invalid(f"The number of defined columns must be in range: [0, {MAX_DEFINED_COLUMNS}].")
    taken = {column.name for column in key}
    defined: list[DefinedColumn] = []
    for column in columns:
        name = name_bytes(column.name)
        check_column_name(name)
        if name in taken:
            raise parameter_invalid(
                f"Duplicated attribute column name with primary key column: {column.name}."
                if name in {key_column.name for key_column in key}
                else f"Duplicated defined column name: '{column.name}'."
            )
        taken.add(name)
        defined.append(DefinedColumn(name, _DEFINED_TYPES[column.type]))
    return tuple(defined)


def parse_new_options(message: Any) -> Options:
    """Check the options of a table to create.

    Args:
        message: The ``TableOptions`` message.

    Returns:
        The options.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    if not message.HasField("time_to_live"):
        raise parameter_invalid("Time-to-live is missing while creating table.")
    if not message.HasField("max_versions"):
        raise parameter_invalid("MaxVersions is missing while creating table.")
    return change_options(Options(-1, 1, _DEFAULT_DEVIATION, allow_update=True), message)


def change_options(options: Options, message: Any) -> Options:
    """Apply and check the options that a request gives.

    Args:
        options: The options so far.
        message: The ``TableOptions`` message.

    Returns:
        The new options.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    if message.HasField("time_to_live"):
        options = replace(options, time_to_live=message.time_to_live)
    if message.HasField("max_versions"):
        options = replace(options, max_versions=message.max_versions)
    if message.HasField("deviation_cell_version_in_sec"):
        options = replace(options, max_time_deviation=message.deviation_cell_version_in_sec)
    if message.HasField("allow_update"):
        options = replace(options, allow_update=message.allow_update)
    if options.time_to_live == 0 or options.time_to_live < -1:
        raise parameter_invalid("TimeToLive cannot be 0 or less than -1.")
    if 0 < options.time_to_live < MIN_TIME_TO_LIVE:
        raise parameter_invalid(f"TimeToLive cannot be less than {MIN_TIME_TO_LIVE} seconds.")
    if options.max_versions <= 0:
        raise parameter_invalid("The maximum versions cannot be less than or equal to 0.")
    if not 0 <= options.max_time_deviation <= MAX_DEVIATION:
        raise parameter_invalid("The maximum deviation must be in range [0, INT64_MAX/1000000].")
    return options


def check_indexable(options: Options) -> None:
    """Check that a table with these options may have secondary indexes.

    Args:
        options: The options.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    if options.max_versions > 1:
        raise parameter_invalid("The maximum versions must be 1 for a table that has an index.")
    if options.time_to_live != -1 and options.allow_update:
        raise parameter_invalid("Time-to-live must be -1, or updates must be forbidden, for a table that has an index.")


def parse_capacity(message: Any, name: str) -> int:
    """Check reserved capacity units.

    Args:
        message: The ``CapacityUnit`` message.
        name: ``"read"`` or ``"write"``.

    Returns:
        The units; 0 where none are given.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    value = int(getattr(message, name))
    if value < 0:
        raise parameter_invalid(f"The value of {name} capacity unit can not be less than 0.")
    if value > MAX_CAPACITY_UNITS:
        raise parameter_invalid(f"The value of {name} capacity unit can not be more than {MAX_CAPACITY_UNITS}.")
    return value


def change_throughput(old: Throughput, message: Any, now: int) -> Throughput:
    """Apply the reserved throughput that UpdateTable gives.

    Args:
        old: The throughput so far.
        message: The ``CapacityUnit`` message; only the given half changes.
        now: The time in seconds.

    Returns:
        The new throughput.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    read = parse_capacity(message, "read") if message.HasField("read") else old.read
    write = parse_capacity(message, "write") if message.HasField("write") else old.write
    raised = read > old.read or write > old.write
    lowered = read < old.read or write < old.write
    return Throughput(read, write, now if raised else old.last_increase, now if lowered else old.last_decrease)


def parse_encryption(message: Any) -> Encryption:
    """Read the server-side encryption that CreateTable asks for.

    Args:
        message: The ``SSESpecification`` message.

    Returns:
        What was asked for.
    """
    return Encryption(
        enable=message.enable,
        key_type=message.key_type if message.HasField("key_type") else None,
        key_id=message.key_id.decode("utf-8", "replace") if message.HasField("key_id") else None,
        role_arn=message.role_arn.decode("utf-8", "replace") if message.HasField("role_arn") else None,
    )


def parse_stream(message: Any, now: int) -> Stream:
    """Read the stream that CreateTable or UpdateTable asks for.

    Args:
        message: The ``StreamSpecification`` message.
        now: The time in milliseconds.

    Returns:
        What was asked for.
    """
    if not message.enable_stream:
        return Stream()
    return Stream(
        enable=True,
        expiration_time=message.expiration_time if message.HasField("expiration_time") else None,
        last_enable_time=now * 1000,
    )


def parse_split_points(partitions: Iterable[Any], key: tuple[KeyColumn, ...]) -> tuple[bytes, ...]:
    """Check the partitions that CreateTable asks for.

    Args:
        partitions: The ``PartitionRange`` messages.
        key: The table's primary key.

    Returns:
        The encoded values at which the first key column is split.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    ranges = list(partitions)
    if len(ranges) > MAX_PARTITIONS:
        raise parameter_invalid(f"The count of partitions cannot be greater than {MAX_PARTITIONS}")
    points: list[bytes] = []
    for bound in [value for partition in ranges for value in (partition.begin, partition.end)]:
        problem = check_value(bound)
        if problem is not None:
            raise parameter_invalid(problem)
        kind = bound[0]
        if kind in (INF_MIN, INF_MAX):
            continue
        if kind != key[0].type:
            raise parameter_invalid("The type of partition range must be that of the first primary key column.")
        if kind == INTEGER and decode_integer(bound) in (-(1 << 63), (1 << 63) - 1):
            raise parameter_invalid("The value of partition range can not be INT64_MIN or INT64_MAX.")
        if bound not in points:
            points.append(bound)
    return tuple(points)


def parse_index(message: Any, number: int, key: tuple[KeyColumn, ...], defined: tuple[DefinedColumn, ...]) -> Index:
    """Check the definition of a secondary index.

    Args:
        message: The ``IndexMeta`` message.
        number: The number that the index will have in its table.
        key: The table's primary key.
        defined: The table's defined columns.

    Returns:
        The index; its row table is named when it is written.

    Raises:
        RequestError: ``OTSParameterInvalid``.
    """
    check_table_name(message.name)
    columns = {column.name: KeyColumn(column.name, column.type) for column in key}
    columns.update((column.name, KeyColumn(column.name, column.type)) for column in defined)
    names = [name_bytes(name) for name in message.primary_key]
    for name in names:
        column = columns.get(name)
        if column is None:
            raise parameter_invalid(f"Column does not exist:{name.decode('utf-8', 'replace')}.")
        if column.type not in (STRING, INTEGER, BLOB):
            raise parameter_invalid("Invalid column type, only STRING,INTEGER,BINARY is allowed.")
        if names.count(name) > 1:
            raise parameter_invalid(f"Duplicated primary key name: '{name.decode()}'.")
    local = message.index_type == tables.IT_LOCAL_INDEX
    if local and names[:1] != [key[0].name]:
        raise parameter_invalid(
            f"The first primary key column of a local index must be that of its table: '{key[0].name.decode()}'."
        )
    index_key = [columns[name] for name in names]
    index_key += [columns[column.name] for column in key if column.name not in names]
    if not names or len(index_key) > MAX_KEY_COLUMNS:
        raise parameter_invalid(f"The number of primary key columns must be in range: [1, {MAX_KEY_COLUMNS}] in index.")
    attributes = _parse_index_attributes(message, defined)
    return Index(message.name, number, tuple(index_key), attributes, local, len(names), RowTable(""))


def _parse_index_attributes(message: Any, defined: tuple[DefinedColumn, ...]) -> tuple[bytes, ...]:
    attributes = tuple(name_bytes(name) for name in message.defined_column)
    if len(attributes) > MAX_INDEX_ATTRIBUTES:
        raise parameter_invalid(
            f"The number of attribute columns must be in range: [0, {MAX_INDEX_ATTRIBUTES}] in index."
        )
    known = {column.name for column in defined}
    for name in attributes:
        if name not in known:
            raise parameter_invalid(f"Column does not exist:{name.decode('utf-8', 'replace')}.")
    return attributes


def describe_table(source: Source) -> bytes:
    """Make the answer to DescribeTable.

    Args:
        source: The table or index.

    Returns:
        The encoded ``DescribeTableResponse``.
    """
    table, index = source.table, source.index
    answer = tables.DescribeTableResponse()
    answer.table_meta.table_name = table.name if index is None else index.name
    for column in source.key:
        schema = answer.table_meta.primary_key.add(name=column.name.decode(), type=_KEY_TYPE_NUMBERS[column.type])
        if column.auto_increment:
            schema.option = tables.AUTO_INCREMENT
    for defined in table.defined_columns:
        if index is None or defined.name in index.attributes:
            answer.table_meta.defined_column.add(name=defined.name.decode(), type=_DEFINED_TYPE_NUMBERS[defined.type])
    _describe_throughput(answer.reserved_throughput_details, table.throughput)
    _describe_options(answer.table_options, table.options)
    _describe_stream(answer.stream_details, table)
    _describe_encryption(answer.sse_details, table.encryption)
    if index is None:
        for point in table.split_points:
            cell = make_key_cell(table.key[0].name, point)
            answer.shard_splits.append(encode_answer(encode_row([cell], ())))
        for own in table.indexes:
            _describe_index(answer.index_metas.add(), own)
    return bytes(answer.SerializeToString())


def _describe_options(message: Any, options: Options) -> None:
    message.time_to_live = options.time_to_live
    message.max_versions = options.max_versions
    message.deviation_cell_version_in_sec = options.max_time_deviation
    message.allow_update = options.allow_update


def _describe_throughput(message: Any, throughput: Throughput) -> None:
    message.capacity_unit.read = throughput.read
    message.capacity_unit.write = throughput.write
    message.last_increase_time = throughput.last_increase
    if throughput.last_decrease is not None:
        message.last_decrease_time = throughput.last_decrease


def _describe_stream(message: Any, table: Table) -> None:
    stream = table.stream
    message.enable_stream = stream.enable
    if stream.enable:
        message.stream_id = f"{table.name}_{stream.last_enable_time}"
        message.last_enable_time = stream.last_enable_time
        if stream.expiration_time is not None:
            message.expiration_time = stream.expiration_time


def _describe_encryption(message: Any, encryption: Encryption) -> None:
    message.enable = encryption.enable
    if encryption.key_type is not None:
        message.key_type = encryption.key_type
    if encryption.key_id is not None:
        message.key_id = encryption.key_id.encode()
    if encryption.role_arn is not None:
        message.role_arn = encryption.role_arn.encode()


def _describe_index(message: Any, index: Index) -> None:
    message.name = index.name
    message.primary_key.extend(column.name.decode() for column in index.key[: index.asked_key])
    message.defined_column.extend(name.decode() for name in index.attributes)
    message.index_update_mode = tables.IUM_SYNC_INDEX if index.local else tables.IUM_ASYNC_INDEX
    message.index_type = tables.IT_LOCAL_INDEX if index.local else tables.IT_GLOBAL_INDEX


def describe_update(table: Table) -> bytes:
    """Make the answer to UpdateTable.

    Args:
        table: The table as it is now.

    Returns:
        The encoded ``UpdateTableResponse``.
    """
    answer = tables.UpdateTableResponse()
    _describe_throughput(answer.reserved_throughput_details, table.throughput)
    _describe_options(answer.table_options, table.options)
    _describe_stream(answer.stream_details, table)
    return bytes(answer.SerializeToString())
