"""What else the tests of search ask for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tablestore import OTSClient


@pytest.fixture
def fresh_client(
    open_client: Callable[..., OTSClient], new_instance_name: Callable[[], str]
) -> Callable[[], OTSClient]:
    """A client of an instance of its own at each call, for tests that try many examples."""
    return lambda: open_client(instance=new_instance_name())
