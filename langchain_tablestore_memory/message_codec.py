"""LangChain messages <-> text and JSON.

A message is stored in two parts. `text` is what a person or another tool reads in the column `content`.
`body` is JSON with the rest: the message's type and each field that differs from its default. Together they
give back a message that is equal to the stored one and of the same class, whatever it carries: ids, tool
calls, artifacts, usage, multimodal content, extra fields.
"""

from __future__ import annotations

import functools
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import langchain_core.messages
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from langchain_tablestore_memory.core import tagged_json
from langchain_tablestore_memory.core.object_state import assemble_model, is_default
from langchain_tablestore_memory.core.tagged_json import DAMAGED
from langchain_tablestore_memory.errors import InvalidArgumentError, StoredDataError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

# Keys of a body that are no fields. A field is named by an identifier, so none can be called so.
_CLASS = "$class"
_EXTRA = "$extra"
_PRIVATE = "$private"

_CORE_CLASSES: dict[str, type[BaseMessage]] = {
    name: cls
    for name in langchain_core.messages.__all__
    if isinstance(cls := getattr(langchain_core.messages, name), type) and issubclass(cls, BaseMessage)
}
# The class that a message's `type` stands for; the two base classes have none.
_CLASS_OF_TYPE: dict[str, type[BaseMessage]] = {
    field.default: cls for cls in _CORE_CLASSES.values() if not (field := cls.model_fields["type"]).is_required()
}

_CLASS_OF_ROLE: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "human": HumanMessage,
    "用户": HumanMessage,
    "assistant": AIMessage,
    "ai": AIMessage,
    "model": AIMessage,
    "大模型": AIMessage,
    "system": SystemMessage,
}


# What langchain-core's constructors guarantee. A damaged body must not become a message that fails later.
_EXPECTED_TYPES: dict[str, type | tuple[type, ...]] = {
    "content": (str, list),
    "additional_kwargs": dict,
    "response_metadata": dict,
    "type": str,
    "name": (str, NoneType),
    "id": (str, NoneType),
    "role": str,
    "tool_call_id": str,
    "status": str,
    "tool_calls": list,
    "invalid_tool_calls": list,
    "tool_call_chunks": list,
    "usage_metadata": (dict, NoneType),
    "chunk_position": (str, NoneType),
}

# Fields that a body holds in another way: always, or not at all.
_OUTSIDE = frozenset({"type", "content"})


class EncodedMessage(NamedTuple):
    """A message as it is stored."""

    text: str
    """What other tools read: the content, or the text in a list of content blocks."""

    body: str
    """JSON of the message's type and of all that `text` does not say."""


def encode(message: BaseMessage, *, types: Collection[type] = ()) -> EncodedMessage:
    """Turn a message into text and JSON.

    Args:
        message: A message of langchain-core. One of a subclass is stored as its class of langchain-core if
            that loses nothing, or as itself if its class is among `types`.
        types: Dataclasses, pydantic models, enums and message classes of yours that may occur in messages.

    Raises:
        InvalidArgumentError: Something in the message cannot be kept exactly. The error names it.

    Example:
        ```python
        encode(AIMessage("Hello", id="run-1"))
        # EncodedMessage(text='Hello', body='{"type":"ai","id":"run-1"}')
        ```
    """
    if not isinstance(message, BaseMessage):
        raise InvalidArgumentError(
            f"a message of langchain-core is needed, not {type(message).__name__}. "
            "Wrap text as HumanMessage(text) or AIMessage(text)."
        )
    cls = _stored_class(message, types)
    form = _form_of(cls)
    state = message.__dict__
    _check_fields(message, form)
    body: dict[str, Any] = {"type": message.type}
    if _CLASS_OF_TYPE.get(message.type) is not cls:
        body[_CLASS] = cls.__qualname__
    for name in form.defaults:
        value = state[name]
        if name not in _OUTSIDE and not (name in form.optional and is_default(value, form.optional[name])):
            body[name] = value
    if message.__pydantic_extra__:
        body[_EXTRA] = message.__pydantic_extra__
    if message.__pydantic_private__:
        body[_PRIVATE] = message.__pydantic_private__
    content = message.content
    if type(content) is str:
        text = content
        _check_text(text, cls)
    else:
        text = str(message.text)
        body["content"] = content
    return EncodedMessage(text, tagged_json.dumps(body, types=types, name=cls.__name__))


def _check_text(text: str, cls: type[BaseMessage]) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"the {cls.__name__}'s content has a lone surrogate at position {error.start}, which UTF-8 cannot "
            "hold. Remove or replace it."
        ) from None


def _check_fields(message: BaseMessage, form: _Form) -> None:
    """Refuse a message that was changed, after its constructor, into something that cannot be read back."""
    name = type(message).__name__
    for field in form.defaults:
        if field not in message.__dict__:
            raise InvalidArgumentError(f"the {name} has no {field!r}. Build it with its constructor.")
    if wrong := form.check(message.__dict__):
        raise InvalidArgumentError(
            f"the {name}'s field {wrong[0]!r} is of type {type(wrong[1]).__name__}, which its constructor "
            "would have refused. Give it a valid value."
        )


def decode(
    text: str | None,
    body: str | None,
    *,
    role: str | None = None,
    message_id: str | None = None,
    types: Collection[type] = (),
) -> BaseMessage:
    """Turn text and JSON back into the message that was stored.

    Args:
        text: As `encode` gave it, or as another tool wrote it; `None` counts as empty.
        body: As `encode` gave it. Without it, the row comes from another tool: a text message.
        role: Who wrote a message without body: a user (``user``, ``human``), the model (``assistant``,
            ``ai``, ``model``) or the ``system``; letter case does not matter. A user if it is none of these.
        message_id: What the row is called, which is also the id of a message without body.
        types: As given to `encode`.

    Raises:
        StoredDataError: The body is damaged, or needs a class that is not among `types`.
    """
    if body is None:
        cls = _CLASS_OF_ROLE.get(role.casefold(), HumanMessage) if role is not None else HumanMessage
        return _form_of(cls).build({"content": text or "", "id": message_id})
    try:
        return _decode_body(text, body, types)
    except StoredDataError as error:
        raise StoredDataError(f"message {message_id!r} cannot be decoded: {error}") from None


def _decode_body(text: str | None, body: str, types: Collection[type]) -> BaseMessage:
    fields = tagged_json.loads(body, types=types, name="its body")
    if type(fields) is not dict:
        raise StoredDataError(f"its body is no JSON object. {DAMAGED}")
    cls = _class_called(fields.pop(_CLASS, None), fields.get("type"), types)
    extra = fields.pop(_EXTRA, None)
    private = fields.pop(_PRIVATE, None)
    if not isinstance(extra, dict | None):
        raise StoredDataError(f"its extra fields are no JSON object. {DAMAGED}")
    if not isinstance(private, dict | None):
        raise StoredDataError(f"its private attributes are no JSON object. {DAMAGED}")
    fields.setdefault("content", text or "")
    return _form_of(cls).build(fields, extra, private)


def _class_called(name: Any, message_type: Any, types: Collection[type]) -> type[BaseMessage]:
    if name is None:
        cls = _CLASS_OF_TYPE.get(message_type) if isinstance(message_type, str) else None
        if cls is None:
            raise StoredDataError("the installed langchain-core has no message of its type. Update langchain-core.")
        return cls
    for allowed in types:
        if allowed.__qualname__ == name and issubclass(allowed, BaseMessage):
            return allowed
    if isinstance(name, str) and name in _CORE_CLASSES:
        return _CORE_CLASSES[name]
    raise StoredDataError("its class is not one of langchain-core's. Pass the class in `artifact_types`.")


def _is_core(cls: type) -> bool:
    return _CORE_CLASSES.get(cls.__name__) is cls


def _stored_class(message: BaseMessage, types: Collection[type]) -> type[BaseMessage]:
    """The class to store a message as: its own, or the nearest of langchain-core if that loses nothing."""
    cls = type(message)
    if _is_core(cls) or cls in types:
        return cls
    core = next(base for base in cls.__mro__ if issubclass(base, BaseMessage) and _is_core(base))
    lost = sorted(set(cls.model_fields) - set(core.model_fields))
    if message.__pydantic_private__:
        lost += sorted(message.__pydantic_private__)
    if not lost and message.type != core.model_fields["type"].default:
        lost = ["type"]
    if lost:
        raise InvalidArgumentError(
            f"the {cls.__name__} would lose {lost} if it were stored as {core.__name__}. "
            f"Allow its class by artifact_types=[{cls.__name__}]."
        )
    return core


class _Form:
    """What the codec needs to know of a message class, found out once."""

    __slots__ = ("cls", "defaults", "expected", "factories", "optional", "required")

    def __init__(self, cls: type[BaseMessage]) -> None:
        self.cls = cls
        self.expected = _EXPECTED_TYPES if _is_core(cls) else {}
        self.required: list[str] = []
        # Fields that are left out of a body while they have this value.
        self.optional: dict[str, Any] = {}
        # What to start a message from, in the order of its fields, and what each message needs its own of.
        self.defaults: dict[str, Any] = {}
        self.factories: list[tuple[str, Callable[[], Any]]] = []
        for name, field in cls.model_fields.items():
            self.defaults[name] = None
            if field.is_required():
                self.required.append(name)
            elif field.default_factory is dict or field.default_factory is list:
                self.factories.append((name, field.default_factory))
                self.optional[name] = field.default_factory()
            elif field.default_factory is None and isinstance(field.default, str | None):
                self.defaults[name] = self.optional[name] = field.default
            else:
                self.factories.append((name, functools.partial(field.get_default, call_default_factory=True)))

    def check(self, fields: Mapping[str, Any]) -> tuple[str, Any] | None:
        """The first field whose value the message's constructor could not have given it."""
        for name, value in fields.items():
            expected = self.expected.get(name)
            if expected is not None and not isinstance(value, expected):
                return name, value
        return None

    def build(
        self,
        fields: dict[str, Any],
        extra: dict[str, Any] | None = None,
        private: dict[str, Any] | None = None,
    ) -> BaseMessage:
        """Make the message that the constructor once made of these fields, without validating them again."""
        for name in self.required:
            if name not in fields:
                raise StoredDataError(f"its field {name!r} is missing. {DAMAGED}")
        if wrong := self.check(fields):
            raise StoredDataError(f"its field {wrong[0]!r} is of type {type(wrong[1]).__name__}. {DAMAGED}")
        state = {**self.defaults, **fields}
        for name, factory in self.factories:
            if name not in fields:
                state[name] = factory()
        if len(state) > len(self.defaults):
            # A field of a newer langchain-core: its constructor would keep it as an extra one, too.
            extra = {
                **{name: state.pop(name) for name in fields.keys() - self.defaults.keys()},
                **(extra or {}),
            }
        message = assemble_model(self.cls, state, {*fields, *(extra or ())}, extra, private)
        return cast("BaseMessage", message)


@functools.cache
def _form_of(cls: type[BaseMessage]) -> _Form:
    return _Form(cls)
