"""Keys: where they come from, that they stay apart, and that they show nowhere."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import pickle
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

import dashscope
import pytest
from langchain_core.documents import Document
from pydantic import SecretStr

from langchain_tablestore_memory import (
    AuthenticationError,
    ConfigurationError,
    DashScopeEmbeddings,
    DashScopeRerank,
    UnavailableError,
)

from .conftest import QUICK
from .standin import KEY, REFUSED_KEY, THROTTLED

OTHER_KEY = "sk-other-key-9876543210"
CLASSES = [DashScopeEmbeddings, DashScopeRerank]


def ask(model):
    if isinstance(model, DashScopeEmbeddings):
        model.embed_query("tea")
    else:
        model.compress_documents([Document("tea")], "tea")


async def aask(model):
    if isinstance(model, DashScopeEmbeddings):
        await model.aembed_query("tea")
    else:
        await model.acompress_documents([Document("tea")], "tea")


@pytest.fixture(params=CLASSES)
def model_class(request):
    return request.param


@pytest.fixture
def make(model_class, service):
    return lambda **options: model_class(**{"base_url": service.base_url, "retry": QUICK} | options)


# Where they come from


def test_given(make, service):
    ask(make(api_key=KEY))
    ask(make(api_key=SecretStr(OTHER_KEY)))
    assert [request.key for request in service.taken()] == [KEY, OTHER_KEY]


def test_from_the_environment(make, service, monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    model = make()
    monkeypatch.setenv("DASHSCOPE_API_KEY", OTHER_KEY)
    ask(model)
    ask(make(api_key=REFUSED_KEY + "-not"))
    assert [request.key for request in service.taken()] == [KEY, REFUSED_KEY + "-not"]


@pytest.mark.parametrize("space", ["\n", " ", "\r\n"])
def test_space_around_a_key_is_left_out(space, make, service, monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY + space)
    ask(make())
    ask(make(api_key=space + OTHER_KEY + space))
    assert [request.key for request in service.taken()] == [KEY, OTHER_KEY]


def test_from_the_sdks_file(make, service, tmp_path):
    (tmp_path / "api_key").write_text(KEY)
    ask(make())
    assert [request.key for request in service.taken()] == [KEY]


def test_from_the_sdks_settings(make, service, tmp_path):
    (tmp_path / "config.toml").write_text(f'api_key = "{KEY}"\nbase_url = "{service.base_url}"\n')
    ask(make(base_url=None))
    assert [request.key for request in service.taken()] == [KEY]


@pytest.mark.parametrize("variable", ["DASHSCOPE_BASE_URL", "DASHSCOPE_HTTP_BASE_URL"])
def test_the_address_from_the_environment(variable, make, service, monkeypatch):
    monkeypatch.setenv(variable, service.base_url)
    ask(make(base_url=None, api_key=KEY))
    assert [request.key for request in service.taken()] == [KEY]


@pytest.mark.parametrize("value", [None, ""])
def test_no_key(value, make, monkeypatch):
    if value is not None:
        monkeypatch.setenv("DASHSCOPE_API_KEY", value)
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert str(caught.value) == "There is no DashScope key. Set DASHSCOPE_API_KEY, or give api_key=."


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("", "api_key is empty"),
        (" \n", "api_key is empty"),
        (SecretStr(""), "api_key is empty"),
        (5, "api_key is a int"),
        (b"sk-private", "api_key is a bytes"),
        ("sk-private\nsecond", "api_key holds characters that no key has"),
        ("Bearer sk-private", "api_key holds characters that no key has"),
        ("sk-privat\u00e9", "api_key holds characters that no key has"),
    ],
)
def test_what_is_no_key(key, complaint, make, service):
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        make(api_key=key)
    assert "privat" not in "".join(traceback.format_exception(caught.value))
    assert service.taken() == []


def test_a_key_in_the_address(make):
    with pytest.raises(ConfigurationError, match="base_url is no address of DashScope") as caught:
        make(api_key=KEY, base_url="https://sk-private@dashscope.aliyuncs.com/api/v1")
    assert "private" not in str(caught.value)


def test_an_option_that_does_not_exist(make):
    with pytest.raises(
        ConfigurationError, match=r"There is no option dashscope_api_key\. .* with api_key, base_url, "
    ) as caught:
        make(dashscope_api_key=KEY)
    assert KEY not in str(caught.value)


async def test_the_usual_address_needs_no_settings(model_class):
    """The SDK's warning that there is a better one is not passed on."""
    model = model_class(api_key=KEY)
    if model_class is DashScopeEmbeddings:
        assert model.embed_documents([]) == await model.aembed_documents([]) == []
    else:
        assert model.compress_documents([], "tea") == await model.acompress_documents([], "tea") == []


# They stay apart


def test_two_keys_in_threads(make, service):
    models = [make(api_key=f"{KEY}-{number % 2}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, models * 2))
    keys = [request.key for request in service.taken()]
    assert sorted(keys) == [f"{KEY}-0"] * 8 + [f"{KEY}-1"] * 8


async def test_two_keys_in_tasks(make, service):
    first, second = make(api_key=KEY), make(api_key=OTHER_KEY)
    await asyncio.gather(*map(aask, [first, second] * 4))
    assert sorted(request.key for request in service.taken()) == sorted([KEY, OTHER_KEY] * 4)


def test_the_sdks_global_key_is_left_alone(make, service, monkeypatch):
    monkeypatch.setattr(dashscope, "api_key", OTHER_KEY)
    ask(make(api_key=KEY))
    assert dashscope.api_key == OTHER_KEY
    assert [request.key for request in service.taken()] == [KEY]


def test_copies_keep_the_key(make, service):
    model = make(api_key=KEY)
    for other in (copy.copy(model), copy.deepcopy(model)):
        ask(other)
    assert [request.key for request in service.taken()] == [KEY, KEY]


# They show nowhere


def test_in_no_description(make):
    model = make(api_key=KEY)
    ask(model)
    shown = [repr(model), str(model), repr(vars(model)), repr(model._connection), repr(vars(model._connection))]
    assert KEY not in "".join(shown)
    assert model.api_key.get_secret_value() == KEY


def test_in_no_pickle(make, service, monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", OTHER_KEY)
    model = make(api_key=KEY)
    ask(model)
    dumped = pickle.dumps(model)
    assert KEY.encode() not in dumped
    loaded = pickle.loads(dumped)
    ask(loaded)
    asyncio.run(aask(loaded))
    assert [request.key for request in service.taken()] == [KEY, OTHER_KEY, OTHER_KEY]


def test_a_pickle_without_a_key_says_so(make):
    dumped = pickle.dumps(make(api_key=KEY))
    with pytest.raises(ConfigurationError, match="There is no DashScope key"):
        pickle.loads(dumped)


@pytest.mark.slow
def test_in_another_process(make, service, monkeypatch):
    dumped = pickle.dumps(make(api_key=KEY))
    code = "import pickle, sys; model = pickle.load(sys.stdin.buffer); print(model.api_key.get_secret_value())"
    environment = os.environ | {"DASHSCOPE_API_KEY": OTHER_KEY}
    done = subprocess.run([sys.executable, "-c", code], input=dumped, capture_output=True, env=environment, check=True)
    assert done.stdout.decode().strip() == OTHER_KEY


@pytest.mark.parametrize(("key", "error"), [(REFUSED_KEY, AuthenticationError), (KEY, UnavailableError)])
def test_in_no_log_and_no_traceback(key, error, make, service, caplog):
    caplog.set_level(logging.DEBUG)
    service.fail(*[THROTTLED] * 20, when=lambda request: request.key == KEY)
    model = make(api_key=key)
    with pytest.raises(error) as caught:
        ask(model)
    with pytest.raises(error) as acaught:
        asyncio.run(aask(model))
    for each in (caught, acaught):
        assert key not in "".join(traceback.format_exception(each.value))
    assert caplog.records
    assert key not in caplog.text
    assert "tea" not in caplog.text
