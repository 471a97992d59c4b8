# ruff: noqa: T201 - a notebook prints
"""The memory store notebook of tablestore-for-agent-memory 0.1.0, section by section, over HTTP.

The calls, their arguments and what is printed are the notebook's. Its data is random, so what has to be printed is
worked out from a plain list of what was written. Two slips of it are mended: it stores a session with `put_message`,
and it stores the first joke twice.
"""

from __future__ import annotations

import random

import pytest
from faker import Faker

from langchain_tablestore_memory import (
    Filters,
    MemoryStore,
    Message,
    MetaType,
    Order,
    Session,
    microseconds_timestamp,
)
from langchain_tablestore_memory.local import Server, Tablestore

COLUMNS = {
    "meta_string": MetaType.STRING,
    "meta_long": MetaType.INTEGER,
    "meta_double": MetaType.DOUBLE,
    "meta_boolean": MetaType.BOOLEAN,
    "meta_bytes": MetaType.BINARY,
}
BIG_AND_TRUE = Filters.logical_and([Filters.gt("meta_double", 0.5), Filters.eq("meta_boolean", True)])


@pytest.fixture(scope="module")
def memory_store():
    with (
        Tablestore(None) as service,
        Server(service, port=0) as server,
        MemoryStore(
            endpoint=server.url,
            instance_name="local",
            access_key_id="local",
            access_key_secret="local",
            session_secondary_index_meta=COLUMNS,
        ) as store,
    ):
        store.init_table()
        yield store
        store._connection.client.connection.pool.clear()


@pytest.fixture
def fake():
    Faker.seed(20250403)
    random.seed(20250403)
    return Faker(locale="zh_CN")


@pytest.fixture
def printed(capsys):
    """The lines printed so far."""

    def lines():
        return capsys.readouterr().out.splitlines()

    return lines


def test_tables_come_and_go(memory_store):
    memory_store.init_table()
    memory_store._delete_table()
    memory_store.init_table()
    assert list(memory_store.list_all_sessions()) == []


def test_2_2_one_session(memory_store, printed):
    session = Session(user_id="1", session_id="2")
    session.update_time = microseconds_timestamp()
    session.metadata["meta_string"] = "4"
    session.metadata["meta_long"] = 5
    session.metadata["meta_double"] = 6.6
    session.metadata["meta_boolean"] = True
    session.metadata["meta_bytes"] = bytearray("China", encoding="utf8")
    time = session.update_time

    memory_store.put_session(session)
    session = memory_store.get_session(user_id="1", session_id="2")
    print(session)
    session.metadata["meta_string"] = "updated"
    memory_store.update_session(session)
    print(memory_store.get_session(user_id="1", session_id="2"))
    memory_store.delete_session(user_id="1", session_id="2")
    print(memory_store.get_session(user_id="1", session_id="2"))

    line = (
        f"Session(user_id='1', session_id='2', update_time={time}, metadata={{'meta_boolean': True, "
        "'meta_bytes': bytearray(b'China'), 'meta_double': 6.6, 'meta_long': 5, 'meta_string': '4'})"
    )
    assert printed() == [line, line.replace("'4'", "'updated'"), "None"]


def random_metadata(fake, largest, low, high, text, raw):
    return {
        "meta_string": text(),
        "meta_long": random.randint(0, largest),
        "meta_double": random.uniform(low, high),
        "meta_boolean": random.choice([True, False]),
        "meta_bytes": bytearray(raw(), encoding="utf8"),
    }


def big_and_true(record):
    return record.metadata["meta_double"] > 0.5 and record.metadata["meta_boolean"]


def test_2_3_recently_active_sessions(memory_store, printed, fake):
    written = []
    for _ in range(100):
        session = Session(user_id=random.choice(["1", "2"]), session_id=fake.uuid4())
        session.metadata = random_metadata(fake, 9_999_999_999_999, 0.0, 1.0, fake.name, fake.name)
        session.update_time = random.randint(1, 100)
        memory_store.put_session(session)
        written.append(session)
    # One that was active just now, as the notebook's own run had.
    latest = Session(user_id="1", session_id=fake.uuid4(), metadata={**written[0].metadata, "meta_boolean": True})
    memory_store.put_session(latest)
    written.append(latest)

    for session in memory_store.list_recent_sessions(user_id="1"):
        print(session)
    shown = printed()
    print(len(list(memory_store.list_recent_sessions(user_id="1"))))
    print(len(list(memory_store.list_recent_sessions(user_id="1", max_count=5))))
    true = Filters.eq("meta_boolean", True)
    print(len(list(memory_store.list_recent_sessions(user_id="1", metadata_filter=true))))
    print(len(list(memory_store.list_recent_sessions(user_id="1", metadata_filter=BIG_AND_TRUE))))
    sessions = list(memory_store.list_recent_sessions(user_id="1", inclusive_end_update_time=50, metadata_filter=true))
    print(len(sessions))
    print([session.update_time for session in sessions])

    mine = [session for session in written if session.user_id == "1"]
    mine.sort(key=lambda session: (session.update_time, session.session_id), reverse=True)
    for session in mine:
        session.metadata = dict(sorted(session.metadata.items()))
    until_50 = [s for s in mine if s.metadata["meta_boolean"] and s.update_time >= 50]
    assert shown == [repr(session) for session in mine]
    assert printed() == [
        str(len(mine)),
        "5",
        str(sum(s.metadata["meta_boolean"] for s in mine)),
        str(sum(map(big_and_true, mine))),
        str(len(until_50)),
        str([s.update_time for s in until_50]),
    ]
    assert until_50[0] is latest
    assert len(until_50) > 10

    assert sum(1 for _ in memory_store.list_all_sessions()) == 101
    memory_store.delete_sessions(user_id="2")
    assert sum(1 for _ in memory_store.list_all_sessions()) == len(mine)
    memory_store.delete_all_sessions()
    assert list(memory_store.list_all_sessions()) == []


def test_3_2_one_message(memory_store, printed, fake):
    message = Message(
        session_id="推荐uuid当做session_id",
        message_id="可以使用uuid或其他业务string当做message_id",
        create_time=random.randint(0, 999_999_999),
    )
    message.content = fake.text(20)
    message.metadata = random_metadata(fake, 999_999_999, 1.0, 2.0, fake.name_male, fake.city_name)
    key = {"session_id": message.session_id, "message_id": message.message_id}

    memory_store.put_message(message)
    print(memory_store.get_message(**key))
    print(memory_store.get_message(**key, create_time=message.create_time))
    first = message.content
    message.content = "update to: 123"
    memory_store.update_message(message)
    print(memory_store.get_message(**key, create_time=message.create_time))
    memory_store.delete_message(**key)
    memory_store.delete_message(**key, create_time=message.create_time)
    print(memory_store.get_message(**key))

    metadata = dict(sorted(message.metadata.items()))
    line = (
        "Message(session_id='推荐uuid当做session_id', message_id='可以使用uuid或其他业务string当做message_id', "
        f"create_time={message.create_time}, content={first!r}, metadata={metadata!r})"
    )
    assert printed() == [line, line, line.replace(repr(first), "'update to: 123'"), "None"]


def test_3_3_messages_of_a_session(memory_store, printed, fake):
    written = []
    for _ in range(50):
        message = Message(session_id=random.choice(["1", "2"]), message_id=fake.uuid4())
        message.create_time = random.randint(1, 100)
        if random.choice([True, False]):
            message.content = fake.text(20)
        message.metadata = random_metadata(fake, 999_999_999, 1.0, 2.0, fake.name_male, fake.city_name)
        memory_store.put_message(message)
        written.append(message)
    mine = [message for message in written if message.session_id == "1"]
    mine.sort(key=lambda message: (message.create_time, message.message_id), reverse=True)

    everything = list(memory_store.get_messages(session_id="1"))
    print(len(everything))
    print(len(list(memory_store.get_messages(session_id="1", metadata_filter=BIG_AND_TRUE))))
    assert everything == mine
    assert printed() == [str(len(mine)), str(sum(map(big_and_true, mine)))]
    assert sum(1 for _ in memory_store.get_all_messages()) == 50

    true = Filters.eq("meta_boolean", True)
    print(len(list(memory_store.get_messages(session_id="1", max_count=3))))
    print(len(list(memory_store.get_messages(session_id="1", metadata_filter=true, max_count=3))))
    assert printed() == ["3", "3"]

    rising = list(
        memory_store.get_messages(
            session_id="1", inclusive_start_create_time=10, inclusive_end_create_time=50, order=Order.ASC
        )
    )
    print(len(rising))
    bounds = {"inclusive_start_create_time": 80, "inclusive_end_create_time": 10, "order": Order.DESC}
    falling = list(memory_store.get_messages(session_id="1", **bounds))
    print(len(falling))
    filtered = list(memory_store.get_messages(session_id="1", **bounds, metadata_filter=BIG_AND_TRUE))
    print(len(filtered))
    assert rising == [m for m in reversed(mine) if 10 <= m.create_time <= 50]
    assert falling == [m for m in mine if 10 <= m.create_time <= 80]
    assert filtered == [m for m in falling if big_and_true(m)]
    assert printed() == [str(len(rising)), str(len(falling)), str(len(filtered))]
    assert min(len(rising), len(falling), len(filtered)) > 2

    memory_store.delete_messages(session_id="1")
    assert list(memory_store.get_messages(session_id="1")) == []
    memory_store.delete_all_messages()
    assert list(memory_store.get_all_messages()) == []


def test_4_a_new_user_comes_and_comes_back(memory_store):
    def say(number, content, metadata):
        message = Message("session_id_1", f"message_id_{number}", microseconds_timestamp(), content, metadata)
        memory_store.put_message(message)
        return message

    session = Session(user_id="1", session_id="session_id_1")
    session.update_time = microseconds_timestamp()
    session.metadata["meta_使用哪个模型"] = "qwen.5"
    memory_store.put_session(session)

    by_user = {"meta_访问来源": "web", "meta_消息分类": "用户"}
    by_model = {"meta_消息分类": "大模型"}
    said = [say(1, "你好，帮我讲个笑话", by_user)]
    session.update_time = microseconds_timestamp()
    memory_store.update_session(session)
    said.append(say(2, "小白＋小白=? 小白兔(two)", by_model))
    said.append(say(3, "再来一个", by_user))
    session.update_time = microseconds_timestamp()
    memory_store.update_session(session)
    context = list(memory_store.get_messages(session_id="session_id_1", max_count=3))
    assert context == said[::-1]
    said.append(say(4, "有一个躲猫猫社团，他们团长现在还没找到。", by_model))

    (recent,) = memory_store.list_recent_sessions(user_id="1", max_count=5)
    assert (recent.session_id, recent.update_time) == ("session_id_1", session.update_time)
    assert memory_store.get_session(user_id="1", session_id="session_id_1") == session
    assert session.metadata == {"meta_使用哪个模型": "qwen.5"}
    assert list(memory_store.get_messages(session_id="session_id_1")) == said[::-1]
    by_users = memory_store.get_messages("session_id_1", metadata_filter=Filters.eq("meta_消息分类", "用户"))
    assert [message.content for message in by_users] == ["再来一个", "你好，帮我讲个笑话"]
