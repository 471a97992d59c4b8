"""``kill -9`` while items are put: each is there as a whole, from the last acknowledged put or the one after it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from langchain_tablestore_memory import connect
from langchain_tablestore_memory.local import Tablestore, ots_client

from .item_writer import KEYS, NAMESPACE, embed, open_store, value_of
from .test_kill import writers
from .worlds import read_contents

pytestmark = pytest.mark.slow

KILLS = 12


def test_the_writer_is_killed(tmp_path):
    chance = random.Random(5)
    before: dict[str, int] = {}
    puts = 0
    with writers(tmp_path, "item_writer.py") as writer:
        for kill in range(KILLS):
            current = writer()
            # The first put opens the file, and the very first makes the tables: every fourth dies about then.
            first = kill % 4 == 0
            turns, seconds = (0, chance.uniform(0, 0.3)) if first else (chance.randint(1, 20), chance.random() / 20)
            reported = current.kill_after(turns, seconds)
            assert reported == list(range(current.first, current.first + len(reported)))
            puts += len(reported)
            # The put that came next may have been carried out.
            under_way = current.first + len(reported)
            before.update({f"k{number % KEYS}": number for number in reported})
            before = check(tmp_path, before, under_way)
    assert puts >= KILLS


def check(folder: Path, acknowledged: dict[str, int], under_way: int) -> dict[str, int]:
    """What is there is whole, and is what was acknowledged. Returns the numbers of what is there."""
    with Tablestore(folder) as service:
        contents = read_contents(ots_client(service))
    assert contents.faults == ()
    columns = {key: found for (_, key), found in contents.items}
    with connect(f"local:{folder}") as connection:
        store = open_store(connection)
        items = {item.key: item.value for item in store.search(NAMESPACE)}
        numbers = {key: value["number"] for key, value in items.items()}
        allowed = f"k{under_way % KEYS}"
        assert all(
            numbers[key] in ({number, under_way} if key == allowed else {number})
            for key, number in acknowledged.items()
        )
        assert numbers.keys() - acknowledged.keys() <= {allowed}
        for key, value in items.items():
            assert value == value_of(value["number"])
            # Its vectors are all there, and they are its own.
            vectors = contents.vectors[NAMESPACE, key]
            assert len(vectors) == columns[key]["vectors"] == len(value["texts"])
            assert vectors == [str(vector).replace(" ", "") for vector in embed(value["texts"])]
        found = store.search(NAMESPACE, query="aaa", limit=100)
        assert sorted(item.key for item in found) == sorted(items)
        assert all((item.score is None) == (not items[item.key]["texts"]) for item in found)
    return numbers
