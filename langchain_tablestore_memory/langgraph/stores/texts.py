"""What items are found by: the texts in their values, and the model that embeds them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.store.base import IndexConfig, ensure_embeddings, get_text_at_path, tokenize_path

from langchain_tablestore_memory.core.vectors import MAX_DIMENSION
from langchain_tablestore_memory.embedders import Embedder
from langchain_tablestore_memory.errors import ConfigurationError, InvalidArgumentError

WHOLE = "$"
"""The path of the whole value."""

_KEYS = ("dims", "embed", "fields")

Path = str | list[str]


@dataclass(frozen=True, slots=True)
class TextSettings:
    """Which texts of items are found, and how.

    Attributes:
        paths: Where the texts are in a value.
        embedder: What turns them into vectors; None where they are found by words only.
        dimension: Numbers in a vector; None where the model, or an index that exists, says so.
    """

    paths: Sequence[Path]
    embedder: Embedder | None
    dimension: int | None

    @classmethod
    def of(cls, config: IndexConfig, batch_size: int) -> TextSettings:
        """From LangGraph's configuration.

        Args:
            config: The configuration. Without ``embed``, items are found by words only.
            batch_size: Texts in one call of the model.

        Raises:
            ConfigurationError: A setting is unknown, or cannot be.
        """
        if not isinstance(config, Mapping):
            raise ConfigurationError(
                f'index is a {type(config).__name__}. Give a dict: {{"embed": model, "fields": ["text"]}}.'
            )
        unknown = sorted(set(config).difference(_KEYS))
        if unknown:
            raise ConfigurationError(f"index has {', '.join(map(repr, unknown))}. There are: {', '.join(_KEYS)}.")
        model: Any = config.get("embed")
        dimension: Any = config.get("dims")
        if dimension is not None and (type(dimension) is not int or not 1 <= dimension <= MAX_DIMENSION):
            raise ConfigurationError(f'index["dims"] is {dimension!r}. Give an int from 1 to {MAX_DIMENSION}.')
        if model is None:
            if dimension is not None:
                raise ConfigurationError(
                    'index has "dims" and no "embed". Give the embedding model, or leave out both.'
                )
            return cls(_paths(config.get("fields")), None, None)
        if not isinstance(model, str) and not callable(model) and not hasattr(model, "embed_documents"):
            raise ConfigurationError(
                f'index["embed"] is a {type(model).__name__}. Give an embedding model of LangChain, a function of a '
                'list of texts, or a name such as "openai:text-embedding-3-small".'
            )
        try:
            embeddings = ensure_embeddings(model)
        except (ValueError, ImportError) as error:
            raise ConfigurationError(f'index["embed"]: {error}') from error
        return cls(_paths(config.get("fields")), Embedder(embeddings, batch_size), dimension)

    def texts(self, value: Mapping[str, Any], index: Any, *, name: str) -> list[str]:
        """The texts of a value, each once.

        Args:
            value: The value.
            index: What was said when it was put: paths, False for none, None for those of the store.
            name: What the item is called in errors.

        Raises:
            InvalidArgumentError: `index` is none of these, a text is no Unicode, or a part of the value has none.
        """
        if index is False:
            return []
        paths = self.paths if index is None else _given_paths(index)
        texts: dict[str, None] = {}
        for path in paths:
            # A text without any character has no meaning, and models refuse it.
            texts.update(dict.fromkeys(text for text in _texts_at(value, path, name) if text.strip()))
        for text in texts:
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise InvalidArgumentError(
                    f"A text of {name} has a lone surrogate at position {error.start}, which UTF-8 cannot hold. "
                    "Remove or replace it."
                ) from None
        return list(texts)


def _paths(fields: Any) -> Sequence[Path]:
    if fields is None:
        fields = [WHOLE]
    if isinstance(fields, str) or not isinstance(fields, list | tuple) or not _are_names(fields):
        raise ConfigurationError(f'index["fields"] is {fields!r}. Give a list of paths: ["text", "tags[*]"].')
    return [_path(field) for field in fields]


def _given_paths(index: Any) -> Sequence[Path]:
    if not isinstance(index, list | tuple) or not _are_names(index):
        raise InvalidArgumentError(
            f'index is {index!r}. Give a list of paths such as ["text", "tags[*]"], False for none, or None for those '
            "of the store."
        )
    return [_path(field) for field in index]


def _are_names(fields: Sequence[Any]) -> bool:
    return all(isinstance(field, str) and field for field in fields)


def _path(field: str) -> Path:
    return WHOLE if field == WHOLE else tokenize_path(field)


def _texts_at(value: Mapping[str, Any], path: Path, name: str) -> list[str]:
    try:
        try:
            return get_text_at_path(value, path)
        except TypeError:
            # A part of the value is no JSON. Times and the like are found as what str() makes of them.
            plain = json.loads(json.dumps(_plain(value), default=str, ensure_ascii=False))
            return get_text_at_path(plain, path)
    except ValueError as error:
        # Python writes no int of more than 4300 digits.
        raise InvalidArgumentError(
            f"{name} cannot be written as text ({error}). Name the fields to search with index=[...], or give "
            "index=False."
        ) from error


def _plain(value: Any) -> Any:
    """A value with keys that JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value
