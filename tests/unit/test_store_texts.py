"""What items are found by: the texts in their values, as LangGraph reads them."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding
from langgraph.store.base import get_text_at_path

from langchain_tablestore_memory import ConfigurationError, InvalidArgumentError
from langchain_tablestore_memory.langgraph.stores.texts import TextSettings

VALUE = {
    "text": "tea",
    "n": 5,
    "none": None,
    "blank": " \n",
    "tags": ["x", "y", "x"],
    "meta": {"title": "T", "deep": [{"s": "one"}, {"s": "two"}, {}]},
}
PATHS = [
    "text",
    "n",
    "none",
    "blank",
    "absent",
    "tags",
    "tags[*]",
    "tags[0]",
    "tags[-1]",
    "meta.title",
    "meta.deep[*].s",
    "meta.deep[1].s",
    "meta.*",
    "{text,n}",
    "$",
]


def settings(**config):
    return TextSettings.of(config, 8)


def texts(value, index=None, **config):
    return settings(**config).texts(value, index, name="the item")


@pytest.mark.parametrize("path", PATHS)
def test_paths_are_langgraphs(path):
    expected = [text for text in dict.fromkeys(get_text_at_path(VALUE, path)) if text.strip()]
    assert texts(VALUE, fields=[path]) == expected
    assert texts(VALUE, [path]) == expected


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5) | st.lists(st.booleans(), max_size=2)))
def test_the_whole_value(value):
    assert texts(value) == get_text_at_path(value, "$")


def test_each_text_once():
    assert texts(VALUE, fields=["text", "tags[*]", "text"]) == ["tea", "x", "y"]


def test_per_item():
    assert texts(VALUE, False) == []
    assert texts(VALUE, []) == []
    assert texts(VALUE, ["meta.title"], fields=["text"]) == ["T"]
    for index in (True, "text", 5, [5], [""], {"text"}):
        with pytest.raises(InvalidArgumentError, match="index"):
            texts(VALUE, index)


def test_what_is_no_json():
    """Times and the like are found as what str() makes of them."""
    value = {"at": dt.date(2026, 11, 21), "pair": (1, 2), "set": {3}, 5: "five", "raw": b"x"}
    assert json.loads(texts(value)[0]) == {"at": "2026-11-21", "pair": [1, 2], "set": [3], "5": "five", "raw": "b'x'"}
    assert texts(value, ["pair"]) == []
    assert texts({"meta": {"at": dt.date(2026, 11, 21)}}, ["meta"]) == ['{"at": "2026-11-21"}']


def test_no_unicode():
    with pytest.raises(InvalidArgumentError, match="surrogate"):
        texts({"text": "a\ud800"}, ["text"])


@pytest.mark.parametrize("path", ["$", "n", "deep"])
def test_an_int_that_python_does_not_write(path):
    value = {"n": 10**5000, "deep": [{"when": dt.date(2024, 1, 2)}, 10**5000], "text": "tea"}
    with pytest.raises(InvalidArgumentError, match=r"the item cannot be written as text .* index=False"):
        texts(value, [path])
    assert texts(value, ["text"]) == ["tea"]


def test_settings():
    model = DeterministicFakeEmbedding(size=4)
    assert settings(embed=model, dims=4).dimension == 4
    assert settings(embed=model).dimension is None
    assert settings(fields=["text"]).embedder is None
    assert settings(embed=lambda batch: [[1.0] for _ in batch]).embedder.batch_size == 8


@pytest.mark.parametrize(
    "config",
    [
        5,
        [],
        "text",
        {"embed": 5},
        {"dims": 4},
        {"dims": 0, "embed": len},
        {"dims": 4097, "embed": len},
        {"dims": 4.0, "embed": len},
        {"fields": "text"},
        {"fields": [1]},
        {"fields": [""]},
        {"field": ["text"]},
        {"embed": "nobody:no-model"},
    ],
    ids=str,
)
def test_bad_settings(config):
    with pytest.raises(ConfigurationError, match="index"):
        TextSettings.of(config, 8)
