"""Who may write from a browser: origins and host names, as a table."""

from __future__ import annotations

import pytest

from clusterlite.http.cors import Cors
from clusterlite.http.messages import Request
from clusterlite.http.problems import HttpError


def request(origin: str | None, host: str | None) -> Request:
    headers = [(b"origin", origin), (b"host", host)]
    raw = [(name, value.encode("latin-1")) for name, value in headers if value is not None]
    return Request("POST", b"/users", b"", raw)


def verdict(cors: Cors, origin: str | None, host: str | None) -> str:
    """The code of the refusal, `allowed` where there is none; the same when asked again."""
    found = set()
    for _ in range(2):
        try:
            cors.check_write(request(origin, host))
        except HttpError as error:
            told = error.status == 403 and "--allow-origin " in error.detail
            found.add(error.code if told else f"{error.status} without the setting")
        else:
            found.add("allowed")
    (one,) = found
    return one


OWN = "127.0.0.1:8082"


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        (None, OWN, "allowed"),
        (None, None, "allowed"),
        (None, "localhost:8082", "allowed"),
        (None, "LocalHost", "allowed"),
        (None, "[::1]:8082", "allowed"),
        (None, "127.0.0.1", "allowed"),
        ("http://127.0.0.1:8082", OWN, "allowed"),
        ("HTTP://LOCALHOST:8082", "localhost:8082", "allowed"),
        ("http://[::1]:8082", "[::1]:8082", "allowed"),
        ("https://localhost", "localhost", "allowed"),
        ("null", OWN, "foreign_origin"),
        ("", OWN, "foreign_origin"),
        ("http://evil.example", OWN, "foreign_origin"),
        ("http://127.0.0.1:9", OWN, "foreign_origin"),
        ("http://127.0.0.1", OWN, "foreign_origin"),
        ("http://127.0.0.1:8082.evil.example", OWN, "foreign_origin"),
        ("http://localhost:8082", OWN, "foreign_origin"),
        ("http://evil.example", None, "foreign_origin"),
        ("http://evil.example", "evil.example", "foreign_host"),
        (None, "evil.example", "foreign_host"),
        (None, "127.0.0.1.evil.example:8082", "foreign_host"),
        (None, "192.168.0.7:8082", "foreign_host"),
        (None, "127.0.0.1@evil.example", "foreign_host"),
        ("http://[x", OWN, "foreign_origin"),
        (None, "[x", "foreign_host"),
        (None, "[x]y", "foreign_host"),
    ],
)
def test_a_node_on_loopback(origin: str | None, host: str | None, expected: str) -> None:
    assert verdict(Cors("127.0.0.1"), origin, host) == expected


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "", None, "http://[x"])
@pytest.mark.parametrize("host", ["evil.example", OWN, None, "[x"])
def test_a_star_allows_every_origin_and_host(origin: str | None, host: str | None) -> None:
    assert verdict(Cors("127.0.0.1", ["http://a.example", "*"]), origin, host) == "allowed"


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("https://app.example", OWN, "allowed"),
        ("HTTPS://APP.EXAMPLE", OWN, "allowed"),
        ("https://app.example", "app.example", "allowed"),
        (None, "app.example:8443", "allowed"),
        ("null", OWN, "allowed"),
        ("http://app.example", OWN, "foreign_origin"),
        ("https://app.example:8443", OWN, "foreign_origin"),
        ("https://www.app.example", OWN, "foreign_origin"),
        (None, "www.app.example", "foreign_host"),
        (None, "[x", "foreign_host"),
    ],
)
def test_a_listed_origin_may_write_and_its_name_is_one_of_the_nodes(
    origin: str | None, host: str, expected: str
) -> None:
    cors = Cors("127.0.0.1", ["https://app.example/", "null"])
    assert verdict(cors, origin, host) == expected


@pytest.mark.parametrize("listening", ["0.0.0.0", "::", ""])
@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        (None, "192.168.0.7:8082", "allowed"),
        ("http://192.168.0.7:8082", "192.168.0.7:8082", "allowed"),
        (None, "[2001:db8::7]:8082", "allowed"),
        (None, "localhost", "allowed"),
        (None, "evil.example", "foreign_host"),
        ("http://evil.example", "192.168.0.7:8082", "foreign_origin"),
    ],
)
def test_a_node_on_every_address_goes_by_any_address_and_no_name(
    listening: str, origin: str | None, host: str, expected: str
) -> None:
    assert verdict(Cors(listening), origin, host) == expected


def test_a_node_that_listens_on_a_name_goes_by_it() -> None:
    cors = Cors("Node-1.lan")
    assert verdict(cors, "http://node-1.lan:8082", "node-1.lan:8082") == "allowed"
    assert verdict(cors, None, "node-2.lan:8082") == "foreign_host"


def test_many_different_pages_take_no_memory_without_end() -> None:
    cors = Cors("127.0.0.1")
    for port in range(1, 5_000):
        cors.check_write(request(None, f"localhost:{port}"))
    assert len(cors._passed) <= 1_000
    assert verdict(cors, "http://evil.example", "localhost:4999") == "foreign_origin"
