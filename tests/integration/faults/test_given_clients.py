"""SDK clients that were handed in, with retry policies of their own: nothing is counted twice, and nothing is closed."""

from __future__ import annotations

import asyncio

import pytest
from tablestore import DefaultRetryPolicy, WriteRetryPolicy
from tablestore.retry import NoRetryPolicy

from langchain_tablestore_memory import TablestoreChatMessageHistory
from langchain_tablestore_memory.local import async_ots_client, ots_client

from .operations import spoken
from .wire import PASSING_FAULTS, Wire, async_error, sync_error
from .worlds import opened

FAULTS = [fault for fault in PASSING_FAULTS if str(fault) in {"internal error after", "dropped after", "busy"}]


@pytest.mark.parametrize("policy", [NoRetryPolicy, DefaultRetryPolicy, WriteRetryPolicy])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_write_is_counted_once(furnished, fault, policy, mode):
    with opened(furnished) as world:

        def decide(_number, request):
            return fault if request.api == "BatchWriteRow" and not world.faults.met else None

        with world.faults.deciding(decide):
            if mode == "sync":
                client = ots_client(Wire(world.service, world.faults, sync_error), retry_policy=policy())
                history = TablestoreChatMessageHistory("s1", user_id="u1", connection=client)
                history.add_messages(spoken("m5", "m6"))
            else:
                client = async_ots_client(Wire(world.service, world.faults, async_error), retry_policy=policy())
                history = TablestoreChatMessageHistory("s1", user_id="u1", connection=client)
                asyncio.run(history.aadd_messages(spoken("m5", "m6")))
        assert world.faults.met == 1
        assert isinstance(client.retry_policy, policy)
        contents = world.contents()
        assert contents.ids(history.conversation) == ["m1", "m2", "m3", "m4", "m5", "m6"]
        assert contents.miscounted() == []
