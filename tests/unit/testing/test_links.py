"""A link between a node and its brokers breaks in the way that its mode says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from clusterlite.testing.cluster.links import Links

WAIT_S = 10.0
SHORT_S = 0.2


class Far:
    """One that listens, and what reaches it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(WAIT_S)
        self.port: int = self.listener.getsockname()[1]

    def accept(self) -> socket.socket:
        accepted, _ = self.listener.accept()
        accepted.settimeout(WAIT_S)
        return accepted


@pytest.fixture
def far() -> Iterator[Far]:
    found = Far()
    yield found
    found.listener.close()


@pytest.fixture
def links() -> Iterator[Links]:
    before = threading.active_count()
    with Links() as found:
        yield found
    assert threading.active_count() <= before


@pytest.fixture
def ends(far: Far, links: Links) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection through a link: its near end and its far end, of which both have spoken."""
    door = links.door(far.port)
    with socket.create_connection(("127.0.0.1", door), WAIT_S) as near, far.accept() as other:
        near.sendall(b"ask")
        assert other.recv(3) == b"ask"
        other.sendall(b"say")
        assert near.recv(3) == b"say"
        yield near, other


Ends = tuple[socket.socket, socket.socket]


def hears(end: socket.socket) -> bytes:
    """What arrives within a short while."""
    end.settimeout(SHORT_S)
    try:
        return end.recv(100)
    except TimeoutError:
        return b""
    finally:
        end.settimeout(WAIT_S)


def is_reset(end: socket.socket) -> bool:
    try:
        return end.recv(100) == b""
    except ConnectionResetError:
        return True


def test_the_ports_of_the_doors_are_known(far: Far, links: Links) -> None:
    assert [links.door(far.port), links.door(far.port)] == links.ports


def test_a_deaf_link_carries_what_the_node_says_and_loses_the_answer(
    links: Links, ends: Ends
) -> None:
    near, other = ends
    links.set("deaf")
    near.sendall(b"write")
    assert other.recv(5) == b"write"
    other.sendall(b"done")
    assert hears(near) == b""
    links.set("open")
    assert is_reset(near)


def test_a_mute_link_carries_what_the_brokers_say_and_loses_what_the_node_says(
    links: Links, ends: Ends
) -> None:
    near, other = ends
    links.set("mute")
    other.sendall(b"news")
    assert near.recv(4) == b"news"
    near.sendall(b"write")
    assert hears(other) == b""
    links.set("open")
    assert is_reset(near)
    assert is_reset(other)


def test_a_half_open_link_ends_at_the_brokers_and_the_node_is_not_told(
    links: Links, ends: Ends
) -> None:
    near, other = ends
    links.set("half-open")
    assert is_reset(other)
    near.sendall(b"write")
    assert hears(near) == b""
    links.set("open")
    assert is_reset(near)
