"""Settings: what each endpoint means, what is refused, what is told, and what never is."""

from __future__ import annotations

import logging
import subprocess
import sys
import time

import pytest
import tablestore
from langchain_core.messages import AIMessage, HumanMessage
from tablestore.credentials import StaticCredentialsProvider

from langchain_tablestore_memory import (
    AuthenticationError,
    ConfigurationError,
    Connection,
    InvalidArgumentError,
    MemoryStore,
    Message,
    MessageStore,
    RetryPolicy,
    ServiceError,
    SessionRegistry,
    TablestoreChatMessageHistory,
    TablestoreMemoryError,
    UnavailableError,
    WriteError,
    connect,
)
from langchain_tablestore_memory.connection import default_connection
from langchain_tablestore_memory.local import Server, Tablestore, ots_client

ENDPOINT = "http://127.0.0.1:1"
SECRET = "a-secret-of-mine-123"
TOKEN = "a-token-of-mine-456"
TEXT = "what a user wrote 789"
KEYS = {"instance_name": "local", "access_key_id": "local", "access_key_secret": "local"}
VARIABLES = {
    "TABLESTORE_ENDPOINT": ENDPOINT,
    "TABLESTORE_INSTANCE_NAME": "local",
    "TABLESTORE_ACCESS_KEY_ID": "local",
    "TABLESTORE_ACCESS_KEY_SECRET": "local",
}


@pytest.fixture
def service():
    with Tablestore(None) as service:
        yield service


@pytest.fixture
def server(service):
    with Server(service, port=0) as server:
        yield server


@pytest.fixture
def data_home(monkeypatch, tmp_path):
    """Where the user's data goes."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def use(connection, text=TEXT):
    """Write a message, and read it."""
    MessageStore(connection).put([Message("s1", "m1", content=text)])
    [message] = MessageStore(connection).list("s1")
    return message.content


# What an endpoint means


def test_a_server(server):
    with connect(server.url, **KEYS) as connection:
        assert use(connection) == TEXT
        assert repr(connection) == f"Connection('{server.url}, instance local')"


def test_a_server_with_signature_version_4(server):
    with connect(server.url, region="cn-hangzhou", **KEYS) as connection:
        assert use(connection) == TEXT


def test_a_server_with_a_credentials_provider(server):
    provider = StaticCredentialsProvider("local", "local")
    with connect(server.url, instance_name="local", credentials_provider=provider) as connection:
        assert use(connection) == TEXT


def test_a_server_below_a_path(server):
    with connect(f"{server.url}/below/here", **KEYS) as connection:
        assert use(connection) == TEXT


def test_instances_are_apart(server):
    with connect(server.url, **KEYS) as connection, connect(server.url, **KEYS | {"instance_name": "other"}) as other:
        use(connection)
        assert list(MessageStore(other).list("s1")) == []


def test_a_folder(tmp_path):
    with connect(f"local:{tmp_path}/new/data") as connection:
        assert use(connection) == TEXT
        assert repr(connection) == f"Connection('local:{tmp_path}/new/data')"
    assert (tmp_path / "new/data/local.sqlite3").is_file()
    with connect(f"local:{tmp_path}/new/data") as connection:
        assert [message.content for message in MessageStore(connection).list("s1")] == [TEXT]


def test_a_folder_is_that_of_the_time_of_connecting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with connect("local:data") as connection:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        use(connection)
    assert (tmp_path / "data/local.sqlite3").is_file()


def test_a_folder_in_the_home(data_home, tmp_path):
    with connect("local:~/kept") as connection:
        use(connection)
    assert (tmp_path / "home/kept/local.sqlite3").is_file()


def test_a_folder_with_another_instance(tmp_path):
    with connect(f"local:{tmp_path}", instance_name="other") as connection:
        use(connection)
        assert "other" in repr(connection)
    with connect(f"local:{tmp_path}") as connection:
        assert list(MessageStore(connection).list("s1")) == []


def test_a_folder_ignores_the_environment(tmp_path, monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with connect(f"local:{tmp_path}") as connection:
        assert use(connection) == TEXT


def test_connections_to_one_folder_close_apart(tmp_path):
    first, second = (connect(f"local:{tmp_path}") for _ in range(2))
    use(first)
    first.close()
    assert [message.content for message in MessageStore(second).list("s1")] == [TEXT]
    second.close()


def test_memory_is_each_connections_own():
    with connect("local::memory:") as connection, connect("local::memory:") as other:
        use(connection)
        assert list(MessageStore(other).list("s1")) == []


def test_the_environment(server, monkeypatch):
    for name, value in (VARIABLES | {"TABLESTORE_ENDPOINT": server.url}).items():
        monkeypatch.setenv(name, value)
    with connect() as connection:
        assert use(connection) == TEXT
    assert MessageStore()._connection is default_connection()
    assert [message.content for message in MessageStore().list("s1")] == [TEXT]


def test_arguments_go_before_the_environment(server, monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with connect(server.url, instance_name="other") as connection:
        assert use(connection) == TEXT
        assert "other" in repr(connection)


def test_temporary_credentials(server, monkeypatch):
    # The local server knows no temporary credentials, but takes the token as part of what is signed.
    monkeypatch.setenv("TABLESTORE_STS_TOKEN", TOKEN)
    with connect(server.url, **KEYS) as connection:
        assert connection.client.credentials_provider.get_credentials().get_security_token() == TOKEN
        assert use(connection) == TEXT


# Nothing set at all


def test_no_settings(data_home, caplog):
    connection = connect()
    assert not data_home.exists()
    assert str(data_home) in repr(connection)
    use(connection)
    SessionRegistry(connection).list()
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert warning.name.startswith("langchain_tablestore_memory")
    message = warning.getMessage()
    [folder] = data_home.iterdir()
    assert str(folder) in message
    assert all(name in message for name in VARIABLES)
    connection.close()
    assert (folder / "local.sqlite3").is_file()
    with connect() as another:
        assert len(list(MessageStore(another).list("s1"))) == 1
    assert len(caplog.records) == 1


async def test_no_settings_on_an_event_loop(data_home, caplog):
    async with connect() as connection:
        await MessageStore(connection).aput([Message("s1", "m1", content=TEXT)])
        await MessageStore(connection).aget("s1", "m1")
    assert len(caplog.records) == 1


def test_no_settings_in_many_objects(data_home, caplog):
    history = TablestoreChatMessageHistory("s1")
    assert not data_home.exists()
    history.add_messages([HumanMessage("Hello")])
    assert SessionRegistry().list().items[0].title == "Hello"
    assert [session.session_id for session in MemoryStore().list_sessions("default")] == ["s1"]
    assert len(caplog.records) == 1
    default_connection().close()
    # A closed one is not given out again.
    assert len(TablestoreChatMessageHistory("s1").messages) == 1
    default_connection().close()


def test_no_settings_and_no_place(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with connect() as connection, pytest.raises(ConfigurationError, match=r"cannot be written .*Choose another one"):
        use(connection)


# What is refused


@pytest.mark.parametrize("left_out", list(VARIABLES))
def test_half_of_the_environment(left_out, monkeypatch):
    for name, value in VARIABLES.items():
        if name != left_out:
            monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=rf"Incomplete settings: .* missing.* set {left_out};") as caught:
        connect()
    with pytest.raises(ConfigurationError, match=left_out):
        TablestoreChatMessageHistory("s1")
    assert isinstance(caught.value, ValueError)


def test_an_empty_variable_counts_as_unset(data_home, monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    connect().close()
    monkeypatch.setenv("TABLESTORE_ENDPOINT", ENDPOINT)
    with pytest.raises(ConfigurationError, match="instance_name, access_key_id, access_key_secret missing"):
        connect()


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"endpoint": ENDPOINT}, "instance_name, access_key_id, access_key_secret missing"),
        ({"instance_name": "local"}, "endpoint, access_key_id, access_key_secret missing"),
        ({"endpoint": ENDPOINT, **KEYS, "access_key_secret": None}, "access_key_secret missing"),
        ({"sts_token": TOKEN}, "endpoint, instance_name, access_key_id, access_key_secret missing"),
        ({"credentials_provider": StaticCredentialsProvider("a", "b")}, "No endpoint"),
        ({"region": "cn-hangzhou"}, "No endpoint"),
        ({"endpoint": ENDPOINT, "credentials_provider": StaticCredentialsProvider("a", "b")}, "instance_name missing"),
    ],
)
def test_half_of_the_arguments(settings, missing):
    with pytest.raises(ConfigurationError, match=missing) as caught:
        connect(**settings)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:8087", "ftp://somewhere", "http://", "https:///path", "locale:x", "/data", "my-instance"]
)
def test_no_address(endpoint):
    with pytest.raises(ConfigurationError, match=r"is no address. It begins with https://"):
        connect(endpoint, **KEYS)
    with pytest.raises(ConfigurationError, match=r"is no address"):
        connect(endpoint)


def test_a_password_in_the_address():
    with pytest.raises(ConfigurationError, match="user name or password") as caught:
        connect(f"https://me:{SECRET}@127.0.0.1", **KEYS)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["local:", "local::", "local::disk:"])
def test_no_folder(endpoint):
    with pytest.raises(ConfigurationError, match=r"names no folder\. Write local:PATH"):
        connect(endpoint)


@pytest.mark.parametrize(
    "path",
    ["{file}", "{file}/below", "{long}", "{nul}", "~no-such-user-here/data"],
    ids=["a file", "below a file", "too long", "NUL", "no such home"],
)
def test_a_folder_that_cannot_be(path, tmp_path):
    (tmp_path / "file").write_text("")
    path = path.format(file=tmp_path / "file", long=tmp_path / ("x" * 300), nul=f"{tmp_path}/\0")
    with pytest.raises(ConfigurationError, match=r"cannot be written \(.+\)\. Choose another one"):
        connect(f"local:{path}")
    assert (tmp_path / "file").read_text() == ""


def test_a_folder_without_the_right_to_write(tmp_path):
    tmp_path.chmod(0o500)
    try:
        (tmp_path / "probe").touch()
    except PermissionError:
        with pytest.raises(ConfigurationError, match=r"cannot be written \(Permission denied\)"):
            connect(f"local:{tmp_path}")
    else:
        pytest.skip("this user may write anywhere")
    finally:
        tmp_path.chmod(0o700)


def test_a_file_that_is_no_database(tmp_path, caplog):
    (tmp_path / "local.sqlite3").write_text("dear diary, " * 100)
    with connect(f"local:{tmp_path}") as connection:
        begun = time.monotonic()
        with pytest.raises(ServiceError, match=r"local\.sqlite3 is not a database file\. Move it away"):
            use(connection)
        assert time.monotonic() - begun < 5
    assert (tmp_path / "local.sqlite3").read_text() == "dear diary, " * 100
    assert caplog.records == []


@pytest.mark.parametrize("name", ["access_key_id", "access_key_secret", "sts_token", "credentials_provider"])
@pytest.mark.parametrize("endpoint", ["local:data", "local::memory:"])
def test_credentials_for_the_embedded_engine(endpoint, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    value = StaticCredentialsProvider("a", SECRET) if name == "credentials_provider" else SECRET
    with pytest.raises(ConfigurationError, match=rf"{name} given for .* takes no credentials") as caught:
        connect(endpoint, **{name: value})
    assert SECRET not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["endpoint", "instance_name", "access_key_id", "access_key_secret", "sts_token", "region"]
)
@pytest.mark.parametrize("value", [7, b"bytes", ["list"], True])
def test_wrong_types(name, value):
    with pytest.raises(ConfigurationError, match=rf"{name} is a {type(value).__name__}\. Give a str\."):
        connect(**{"endpoint": ENDPOINT, **KEYS, name: value})


def test_a_misspelt_option():
    with pytest.raises(ConfigurationError, match=r"no option soket_timeout\. .* socket_timeout"):
        connect(ENDPOINT, **KEYS, soket_timeout=3)
    with pytest.raises(ConfigurationError, match="no option soket_timeout"):
        connect("local::memory:", soket_timeout=3)


def test_options_reach_the_client():
    with connect(ENDPOINT, **KEYS, socket_timeout=3.5, max_connection=7) as connection:
        assert connection.client.socket_timeout == 3.5
        assert connection.client.max_connection == 7


async def test_clients_of_the_service_encode_rows_as_those_of_the_embedded_engine_do():
    async with connect("local::memory:") as embedded, connect(ENDPOINT, **KEYS) as service:
        asynchronous = (await embedded.async_client(), await service.async_client())
        for pair in ((embedded.client, service.client), asynchronous):
            assert len({type(client.protocol.encoder) for client in pair}) == 1
            assert len({type(client.protocol.decoder) for client in pair}) == 1


@pytest.mark.parametrize("retry", [3, "often", RetryPolicy])
def test_a_wrong_retry(retry):
    with pytest.raises(ConfigurationError, match=r"retry is a .*\. Give a RetryPolicy\."):
        connect("local::memory:", retry=retry)


def test_a_wrong_durability(tmp_path):
    with pytest.raises(ConfigurationError, match=r"durability is 'fast'\. Give 'full' or 'normal'"):
        connect(f"local:{tmp_path}", durability="fast")


@pytest.mark.parametrize("given", [7, "local::memory:", object(), tablestore.OTSClient])
@pytest.mark.parametrize("owner", [MessageStore, SessionRegistry, MemoryStore])
def test_no_connection(owner, given):
    with pytest.raises(ConfigurationError, match=r"connection is a .*\. Give what connect\(\) returns"):
        owner(given)


@pytest.mark.parametrize(
    "settings",
    [
        {"endpoint": ENDPOINT},
        {"tablestore_client": object()},
        {"soket_timeout": 5},
    ],
)
def test_a_memory_store_with_two_connections(settings):
    with (
        connect("local::memory:") as connection,
        pytest.raises(ConfigurationError, match="only one of them"),
    ):
        MemoryStore(connection, **settings)


# What is found out when it is used


@pytest.mark.parametrize("region", [None, "cn-hangzhou"], ids=["v2", "v4"])
@pytest.mark.parametrize("wrong", ["access_key_id", "access_key_secret"])
def test_a_wrong_key(server, wrong, region):
    with connect(server.url, **KEYS | {wrong: SECRET}, region=region) as connection:
        begun = time.monotonic()
        for attempt in (
            lambda: use(connection),
            lambda: SessionRegistry(connection).create("u1"),
            lambda: TablestoreChatMessageHistory("s1", connection=connection).add_messages([HumanMessage(TEXT)]),
        ):
            with pytest.raises(
                AuthenticationError, match="Check the instance name, the access key id and secret"
            ) as caught:
                attempt()
            assert caught.value.code == "OTSAuthFailed"
            assert caught.value.status == 403
            if wrong == "access_key_secret":
                assert SECRET not in told(caught.value)
            assert TEXT not in told(caught.value)
        assert time.monotonic() - begun < 5


async def test_a_wrong_key_on_an_event_loop(server):
    async with connect(server.url, **KEYS | {"access_key_secret": SECRET}) as connection:
        history = TablestoreChatMessageHistory("s1", connection=connection)
        with pytest.raises(AuthenticationError) as caught:
            await history.aadd_messages([HumanMessage(TEXT)])
    assert SECRET not in told(caught.value)


def test_an_instance_that_cannot_be(server):
    with connect(server.url, **KEYS | {"instance_name": "1 x"}) as connection:
        with pytest.raises(ServiceError, match="Invalid instance name: 1 x") as caught:
            use(connection)
        assert caught.value.request_id


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid"])
def test_an_address_that_nobody_listens_at(host, caplog):
    with connect(f"http://{host}", **KEYS) as connection:
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match=r"could not be reached \(.*Check the endpoint") as caught:
            list(MessageStore(connection).list("s1"))
        assert (caught.value.status, caught.value.code) == (0, "")
        with pytest.raises(
            WriteError, match=r"message 'm1'\. .* could not be reached \(.*Check the endpoint"
        ) as caught:
            use(connection)
        assert isinstance(caught.value.__cause__, UnavailableError)
        assert caught.value.failed == ("message 'm1'",)
        assert time.monotonic() - begun < 10
    # What goes wrong is raised, and not logged as well.
    assert caplog.records == []


async def test_an_address_that_nobody_listens_at_on_an_event_loop():
    async with connect(ENDPOINT, **KEYS) as connection:
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match="could not be reached"):
            await MessageStore(connection).aget("s1", "m1", 1)
        assert time.monotonic() - begun < 10


def test_an_address_that_is_something_else():
    """A web server that is no Tablestore."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Page(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"<html>Not here</html>")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as pages:
        thread = Thread(target=pages.serve_forever)
        thread.start()
        try:
            with (
                connect(f"http://127.0.0.1:{pages.server_port}", **KEYS) as connection,
                pytest.raises(ServiceError, match=r"did not answer as Tablestore does .*Check the endpoint") as caught,
            ):
                use(connection)
            assert caught.value.status == 404
        finally:
            pages.shutdown()
            thread.join()


# What is never told


def told(error):
    """All that an exception and its causes say."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


def test_no_secret_and_no_text_is_told(server, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="tablestore-client")
    with Tablestore(None, access_key_id="me", access_key_secret=SECRET) as service, Server(service, port=0) as own:
        connection = connect(
            own.url,
            instance_name="local",
            access_key_id="me",
            access_key_secret=SECRET,
            sts_token=TOKEN,
            retry=RetryPolicy(attempts=2, first_delay=0, max_delay=0),
        )
        history = TablestoreChatMessageHistory("s1", connection=connection)
        history.add_messages([HumanMessage(TEXT), AIMessage(TEXT)], metadata={"note": TEXT})
        described = [
            repr(each) for each in (connection, connection._backend, connection.client, history, history._store)
        ]
        errors = []
        for attempt in (
            lambda: history.add_messages([HumanMessage(TEXT)], metadata={"note": object()}),
            lambda: history.edit("no such message", HumanMessage(TEXT)),
            lambda: connection.client.get_row("message", [("no", TEXT)]),
            lambda: list(MessageStore(connection, table_name="wrong name!").list("s1")),
        ):
            with pytest.raises((TablestoreMemoryError, tablestore.OTSError)) as caught:
                attempt()
            errors.append(told(caught.value))
    with pytest.raises(WriteError) as caught:
        history.add_messages([HumanMessage(TEXT)])
    errors.append(told(caught.value))
    connection.close()
    logged = [record.getMessage() + str(record.args) + str(record.exc_text) for record in caplog.records]
    everything = "\n".join([*described, *errors, *logged])
    assert SECRET not in everything
    assert TOKEN not in everything
    assert TEXT not in everything


# Clients that were handed in


class Watched:
    """Counts what would close a client."""

    def __init__(self, monkeypatch):
        self.closed = 0
        original = tablestore.AsyncOTSClient.close

        async def close(client):
            self.closed += 1
            await original(client)

        monkeypatch.setattr(tablestore.AsyncOTSClient, "close", close)


def test_a_given_client(service):
    client = ots_client(service)
    store = MemoryStore(tablestore_client=client)
    with store:
        store.put_message(Message("s1", "m1", content=TEXT))
    assert "session" not in client.list_table()
    assert [message.content for message in MessageStore(client).list("s1")] == [TEXT]
    history = TablestoreChatMessageHistory("s2", connection=client)
    history.add_messages([HumanMessage(TEXT)])
    assert len(history.messages) == 1


async def test_a_given_async_client(server, monkeypatch):
    watched = Watched(monkeypatch)
    async with tablestore.AsyncOTSClient(server.url, "local", "local", "local") as client:
        async with MemoryStore(client) as store:
            await store.aput_message(Message("s1", "m1", content=TEXT))
        connection = Connection.of(client)
        await connection.aclose()
        assert watched.closed == 0
        assert [message.content async for message in MessageStore(client).alist("s1")] == [TEXT]


async def test_sync_methods_with_an_async_client(server):
    async with tablestore.AsyncOTSClient(server.url, "local", "local", "local") as client:
        history = TablestoreChatMessageHistory("s1", connection=client)
        with pytest.raises(ConfigurationError, match="AsyncOTSClient, which serves only its async methods"):
            history.add_messages([HumanMessage(TEXT)])
        with pytest.raises(ConfigurationError, match="AsyncOTSClient"):
            _ = history.messages
        with pytest.raises(ConfigurationError, match="AsyncOTSClient"):
            list(MessageStore(client).list("s1"))
        await history.aadd_messages([HumanMessage(TEXT)])


async def test_async_methods_with_a_sync_client(server):
    client = tablestore.OTSClient(server.url, "local", "local", "local")
    history = TablestoreChatMessageHistory("s1", connection=client)
    await history.aadd_messages([HumanMessage(TEXT)])
    assert len(history.messages) == 1
    client.connection.pool.clear()


async def test_async_methods_with_a_sync_client_with_a_transport_of_its_own(service):
    with pytest.raises(ConfigurationError, match="transport of its own"):
        await MessageStore(ots_client(service)).aget("s1", "m1")


def test_tables_are_remembered_for_a_given_client(service):
    client = ots_client(service)
    MessageStore(client).setup()
    assert Connection.of(client).tables is Connection.of(client).tables
    assert Connection.of(client).tables


# After closing


def test_use_after_close(tmp_path):
    connection = connect(f"local:{tmp_path}")
    history = TablestoreChatMessageHistory("s1", connection=connection)
    history.add_messages([HumanMessage(TEXT)])
    entries = history.entries()
    connection.close()
    connection.close()
    assert connection.closed
    for attempt in (
        lambda: history.add_messages([HumanMessage(TEXT)]),
        lambda: next(entries),
        lambda: connection.client,
    ):
        with pytest.raises(ConfigurationError, match=r"This connection is closed\. Make a new one with connect\(\)"):
            attempt()
    assert "closed" not in repr(connection)


@pytest.mark.parametrize("front", ["memory", "server"])
async def test_use_after_close_on_an_event_loop(front, server):
    connection = connect("local::memory:") if front == "memory" else connect(server.url, **KEYS)
    history = TablestoreChatMessageHistory("s1", connection=connection)
    await history.aadd_messages([HumanMessage(TEXT)])
    connection.close()
    with pytest.raises(ConfigurationError, match="This connection is closed"):
        await history.aadd_messages([HumanMessage(TEXT)])
    await connection.aclose()
    await connection.aclose()
    with pytest.raises(ConfigurationError, match="This connection is closed"):
        await history.aget_messages()


def test_a_block_that_fails_closes_as_well():
    with pytest.raises(InvalidArgumentError), connect("local::memory:") as connection:
        MessageStore(connection).put([Message("", "m1")])
    assert connection.closed


@pytest.mark.slow
def test_nothing_is_said_at_exit(server, tmp_path):
    """A program that never closes anything ends without a word."""
    program = f"""
import asyncio
from langchain_core.messages import HumanMessage
from langchain_tablestore_memory import TablestoreChatMessageHistory, connect

for connection in (connect({server.url!r}, **{KEYS!r}), connect("local:{tmp_path}"), connect("local::memory:")):
    history = TablestoreChatMessageHistory("s1", connection=connection)
    history.add_messages([HumanMessage("one")])
    asyncio.run(history.aadd_messages([HumanMessage("two")]))
    asyncio.run(history.aadd_messages([HumanMessage("three")]))
    print(len(history.messages))
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::ImportWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "ResourceWarning" in line or "nclosed" in line]
    assert (done.stdout, ours, done.returncode) == ("3\n3\n3\n", [], 0), done.stderr
