"""Values that JSON cannot hold: all of them return equal and of the same type, or are refused by name."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import json
import math
import types
import uuid
import zoneinfo
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompt_values import StringPromptValue
from pydantic import BaseModel, Field, PrivateAttr

from langchain_tablestore_memory.core.tagged_json import dumps, loads
from langchain_tablestore_memory.errors import InvalidArgumentError, StoredDataError

# Machines that run tests are busy: how long an example takes says nothing.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def same(left, right):
    """Equal, with the same types all the way down; NaN is itself, and so is each zero."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left.hex() == right.hex()
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    if isinstance(left, Decimal):
        return left.as_tuple() == right.as_tuple()
    if isinstance(left, dict):
        # In order. Not by their reprs: equal sets may list their elements in different orders.
        return len(left) == len(right) and all(map(same, left, right)) and all(map(same, left.values(), right.values()))
    if isinstance(left, list | tuple | collections.deque):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, set | frozenset):
        return sorted(map(repr, left)) == sorted(map(repr, right))
    if isinstance(left, np.ndarray | np.generic):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, dt.datetime | dt.time):
        return left == right and left.fold == right.fold and repr(left) == repr(right)
    return left == right


plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
hashable = st.one_of(
    plain,
    st.binary(max_size=5),
    st.uuids(),
    st.decimals(),
    st.dates(),
    st.times(timezones=st.just(dt.UTC) | st.none()),
    st.datetimes(timezones=st.timezones() | st.none(), allow_imaginary=False),
    st.timedeltas(),
    st.complex_numbers(),
    st.tuples(plain, plain),
    st.frozensets(plain, max_size=3),
).filter(lambda value: not (isinstance(value, Decimal) and value.is_snan()))
values = st.recursive(
    hashable | st.binary(max_size=5).map(bytearray) | st.sets(plain, max_size=3),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(collections.deque),
        st.dictionaries(st.text(max_size=5) | st.sampled_from(["$py:tuple", "$py:", "$py:dict"]), inner, max_size=3),
        st.dictionaries(hashable, inner, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(collections.OrderedDict),
    ),
    max_leaves=8,
)


@unhurried
@given(values)
def test_any_value_returns_as_it_was(value):
    text = dumps(value)
    json.loads(text)
    assert same(loads(text), value)


@pytest.mark.parametrize(
    "value",
    [
        {"$py:tuple": [1]},
        {"$py:nothing": 1},
        {"a": {"$py:dict": [["b", 1]]}},
        {"$py:int": "0x1", "b": 2},
        [-0.0, math.inf, -math.inf, math.nan],
        [2**63 - 1, -(2**63), 2**63, 2**64, -(2**20000)],
        {1: "a", "1": "b", None: "c", (1, 2): "d", 1.5: "e", b"x": "f"},
        collections.deque([1, (2,)]),
        dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
        dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=8), "CST")),
        dt.datetime(2024, 1, 1, tzinfo=dt.timezone(-dt.timedelta(hours=3, minutes=30, microseconds=1))),
        dt.datetime.max,
        dt.timedelta.min,
        Decimal("-0.00"),
        Decimal("NaN123"),
        uuid.UUID(int=0),
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.zeros((0, 3), dtype=">f4"),
        np.array(["a", "中文"]),
        np.array(5.0),
        np.array(["2024-01-01", "NaT"], dtype="datetime64[D]"),
        np.array([(1, 2.0)], dtype=[("x", "<i4"), ("y", "<f8")]),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.float32(0.1),
        np.float64("nan"),
        np.int8(-1),
        np.bool_(1),
        np.str_("中文"),
        np.datetime64("2024-01-01T00:00", "ms"),
        "\x00\u2028\U0010ffff",
    ],
    ids=lambda value: type(value).__name__,
)
def test_difficult_values_return_as_they_were(value):
    assert same(loads(dumps(value)), value)


def test_utc_is_the_singleton():
    assert loads(dumps(dt.datetime(2024, 1, 1, tzinfo=dt.UTC))).tzinfo is dt.UTC


def test_arrays_can_be_written_to():
    array = loads(dumps(np.zeros(3)))
    array[0] = 1
    assert array.sum() == 1


def test_what_json_holds_is_written_as_plain_json():
    value = {"a": [1, 2.5, "x", None, True, {"b": {}}], "$py:a": 1, "b": "$py:tuple"}
    assert dumps(value) == json.dumps(value, separators=(",", ":"))
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        Document("text", metadata={"page": (1, 2)}, id="d1"),
        [Document("a"), Document("b", metadata={"x": {"y": None}})],
        AIMessage("hi", tool_calls=[{"name": "f", "args": {"x": 1}, "id": "c"}]),
        ToolMessage("x", tool_call_id="c", artifact=[Document("nested", metadata={"m": b"\x00"})]),
        [HumanMessage([{"type": "text", "text": "x"}], extra_field={1, 2})],
    ],
    ids=repr,
)
def test_documents_and_messages_return_as_they_were(value):
    returned = loads(dumps(value))
    assert returned == value
    assert type(returned) is type(value)
    assert repr(returned) == repr(value)


# --- Classes that the caller allows -------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "r"


class Level(enum.IntEnum):
    HIGH = 3


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Point:
    x: int
    tags: list = dataclasses.field(default_factory=list)
    norm: float = dataclasses.field(init=False, default=0.0)

    def __post_init__(self):
        self.norm = float(abs(self.x))


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    value: tuple


class Report(BaseModel):
    title: str
    points: list[Point] = Field(default_factory=list)
    aliased: int = Field(default=0, alias="Aliased")
    _secret: int = PrivateAttr(default=0)


class Loose(BaseModel, extra="allow"):
    kind: str = "loose"


ALLOWED = [Colour, Level, Access, Point, Frozen, Report, Loose]


@pytest.mark.parametrize(
    "value",
    [
        Colour.RED,
        [Level.HIGH, 3],
        Access.WRITE,
        Point(-3, tags=[(1, 2)]),
        Frozen((1, 2)),
        {"report": Report(title="x", points=[Point(1)], Aliased=5)},
        Loose(other={"a": {1}}),
    ],
    ids=repr,
)
def test_allowed_classes_return_as_they_were(value):
    returned = loads(dumps(value, types=ALLOWED), types=ALLOWED)
    assert returned == value
    assert type(returned) is type(value)
    assert repr(returned) == repr(value)


def test_models_keep_private_attributes_and_which_fields_were_given():
    report = Report(title="x")
    report._secret = 7
    returned = loads(dumps(report, types=[Report]), types=[Report])
    assert returned._secret == 7
    assert returned == report
    assert returned.model_fields_set == {"title"}
    returned.points.append(Point(1))
    assert Report(title="x").points == []


def test_an_object_whose_class_is_not_allowed_is_refused_both_ways():
    with pytest.raises(
        InvalidArgumentError, match=r"value\['p'\] is of type .*Point.*or allow its class by artifact_types=\[Point\]"
    ):
        dumps({"p": Point(1)}, types=())
    text = dumps({"p": Point(1)}, types=[Point])
    with pytest.raises(
        StoredDataError, match=r"holds an object of the class Point, .* Pass the class in `artifact_types`"
    ):
        loads(text)


def test_nothing_is_imported_or_called_by_name():
    for label in ("os.system", "builtins:eval", "langchain_core:Runnable", "langchain_core:BaseTool"):
        with pytest.raises(StoredDataError, match="not among the allowed ones"):
            loads(json.dumps({"$py:object": [label, {}]}))
    with pytest.raises(StoredDataError, match="an unreadable name"):
        loads(json.dumps({"$py:object": ["<script>\n", {}]}))


def test_classes_that_changed_are_named():
    with pytest.raises(StoredDataError, match="Point whose fields are not those of the class of today"):
        loads('{"$py:object":["Point",{"x":1}]}', types=[Point])
    with pytest.raises(StoredDataError, match="lacks the field 'title' of Report"):
        loads('{"$py:object":["Report",{}]}', types=[Report])
    with pytest.raises(StoredDataError, match=r"fields that Report of today does not have: \['old'\]"):
        loads('{"$py:object":["Report",{"title":"x","old":1}]}', types=[Report])


@pytest.mark.parametrize("wrong", [[int], [dict], [types.SimpleNamespace]])
def test_classes_that_cannot_be_restored_are_refused(wrong):
    with pytest.raises(InvalidArgumentError, match="is not a dataclass, a pydantic model or an enum"):
        dumps({}, types=wrong)


def test_two_classes_of_one_name_are_refused():
    other = enum.Enum("Colour", ["BLUE"])
    with pytest.raises(InvalidArgumentError, match="two classes are called 'Colour'"):
        dumps({}, types=[Colour, other])


# --- What cannot be kept ------------------------------------------------------------------------------------


class Text(str):
    __slots__ = ()


class Pair(NamedTuple):
    a: int
    b: int


loop: list = []
loop.append({"inner": loop})
extended = Point(1)
extended.more = 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [0, object()]}, r"value\['a'\]\[1\] is of type builtins.object, which cannot be stored exactly"),
        ({"a": Text("x")}, r"value\['a'\] is of type .*Text.* Convert it to a plain str"),
        ([Level.HIGH], r"value\[0\] is of type .*Level.*Store its value instead"),
        ({"a": Pair(1, 2)}, r"Convert it to a plain tuple"),
        ({"a": collections.defaultdict(list)}, r"Convert it to a plain dict"),
        ({"a": {Text("k"): 1}}, r"value\['a'\]\['k'\] is of type .*Text"),
        ({"a": {object: 1}}, r"value\['a'\]\[a key of type type\] is of type builtins.type"),
        ({"a": "x\ud800"}, r"value\['a'\] has a lone surrogate at position 1"),
        ({"a": {"\udfff": 1}}, r"value\['a'\] has a key that has a lone surrogate at position 0"),
        ({"a": ("\ud83d\ude00",)}, r"value\['a'\]\[0\] has a lone surrogate at position 0"),
        (loop, r"value\[0\]\['inner'\].* and deeper contains itself, or is nested more than"),
        ({"a": np.array([object()])}, r"value\['a'\] is a numpy value of dtype object"),
        ({"a": np.ma.array([1])}, r"value\['a'\] is of type numpy.*MaskedArray"),
        ({"a": np.str_("x\x00")}, "ends in NUL"),
        ({"a": {b"x": {object()}}}, r"value\['a'\]\[a key of type bytes\]\[a member\] is of type"),
        ({"a": collections.deque([1], maxlen=2)}, "deque with a length limit"),
        ({"a": lambda: 1}, r"value\['a'\] is of type builtins.function"),
        ({"a": dt.datetime(2024, 1, 1, tzinfo=type("Zone", (dt.tzinfo,), {"utcoffset": lambda *_: None})())}, "time zone of type .*Zone"),
        ({"a": StringPromptValue(text="x")}, "is of type langchain_core.prompt_values.StringPromptValue"),
        ({"a": Report}, "is of type pydantic"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_by_name(value, message):
    with pytest.raises(InvalidArgumentError, match=message):
        dumps(value)


def test_what_allowed_classes_cannot_keep_is_refused_by_name():
    with pytest.raises(InvalidArgumentError, match="a combination of flags"):
        dumps(Access.READ | Access.WRITE, types=ALLOWED)
    with pytest.raises(InvalidArgumentError, match=r"no fields of its dataclass and would be lost: \['more'\]"):
        dumps(extended, types=ALLOWED)
    with pytest.raises(InvalidArgumentError, match=r"value\['r'\].title is of type builtins.object"):
        dumps({"r": Report.model_construct(title=object())}, types=ALLOWED)


def test_refusals_hold_no_values():
    with pytest.raises(InvalidArgumentError) as caught:
        dumps({"a": ["secret", Text("secret")]})
    assert "secret" not in str(caught.value)


def test_nested_tags_take_time_in_proportion():
    value: dict = {}
    for _ in range(60):
        value = {"$py:dict": value}
    for _ in range(20):
        value = {"a": value, 1: None}
    assert loads(dumps(value)) == value


def test_nesting_up_to_the_limit_is_kept():
    value: list = []
    for _ in range(240):
        value = [value]
    assert loads(dumps(value)) == value
    pairs: tuple = ()
    for _ in range(80):
        pairs = ({1: pairs},)
    with pytest.raises(InvalidArgumentError, match="nested more than"):
        dumps(pairs)
    pairs = ()
    for _ in range(40):
        pairs = ({1: pairs},)
    assert loads(dumps(pairs)) == pairs


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"$py:tuple": [1]',
        '{"$py:tuple": 1}',
        '{"$py:set": [[]]}',
        '{"$py:bytes": "!"}',
        '{"$py:bytes": 1}',
        '{"$py:int": "x"}',
        '{"$py:decimal": "x"}',
        '{"$py:uuid": "x"}',
        '{"$py:datetime": ["2024-01-01", 0, "No/Zone"]}',
        '{"$py:datetime": ["2024-01-01", 0, [1]]}',
        '{"$py:datetime": ["2024-01-01"]}',
        '{"$py:ndarray": "AAAA"}',
        '{"$py:dict": [[1]]}',
        '{"$py:dict": [[[], 1]]}',
        '{"$py:object": []}',
        '{"$py:object": [1, {}]}',
        '{"$py:object": ["langchain_core:Document", [1]]}',
        '{"$py:object": ["langchain_core:Document", {"page_content": "x"}, 1, 2]}',
        '{"$py:enum": ["Colour", "BLUE"]}',
        '{"$py:enum": ["Point", "BLUE"]}',
        '{"$py:object": ["Colour", {}]}',
        '{"$py:new": 1}',
    ],
)
def test_damaged_text_is_one_clear_error(text):
    with pytest.raises(StoredDataError, match="the body "):
        loads(text, types=[Colour, Point], name="the body")
