"""Fixtures of the replica's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Replica, User


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Replica]:
    """A replica that applied nothing yet."""
    replica = Replica(tmp_path)
    yield replica
    replica.close()


@pytest.fixture
def replica(empty: Replica) -> Replica:
    """A replica with a cluster and the users' table."""
    empty.found(User)
    return empty
