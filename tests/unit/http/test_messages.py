"""Requests as they arrive: paths, queries, headers, bodies, tokens and preferences."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import pytest

from clusterlite.core.token import Token
from clusterlite.errors import InputError
from clusterlite.http.messages import Prefer, Request, read_body, row_path, split_path
from clusterlite.http.problems import HttpError


def request(
    headers: Iterable[tuple[str, str]] = (), query: bytes = b"", body: bytes = b""
) -> Request:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return Request("POST", b"/users", query, raw, body)


def arriving(messages: Iterable[dict[str, Any]], limit: int = 7) -> bytes:
    """The body that these ASGI messages carry."""
    left = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(left)

    return asyncio.run(read_body(receive, limit))


def body(*chunks: bytes) -> list[dict[str, Any]]:
    """As a server hands the chunks on."""
    return [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
        for number, chunk in enumerate(chunks, start=1)
    ]


@pytest.mark.parametrize(
    ("raw", "segments"),
    [
        (b"/", [""]),
        (b"/users", ["users"]),
        (b"/-/ui/", ["-", "ui", ""]),
        (b"/users/a%2F", ["users", "a/"]),
        (b"/users/a/-/history", ["users", "a", "-", "history"]),
        (b"/users/a%2Fb%20c", ["users", "a/b c"]),
        (b"/users/a+b", ["users", "a+b"]),
        (b"/users/%E6%BC%A2", ["users", "漢"]),
        (b"/users/%2525", ["users", "%25"]),
        (b"/users/100%", ["users", "100%"]),
        (b"//x", ["", "x"]),
    ],
)
def test_each_segment_of_a_path_is_decoded_by_itself(raw: bytes, segments: list[str]) -> None:
    assert split_path(raw) == segments


@pytest.mark.parametrize("raw", [b"/users/%FF", b"/users/%C3", b"/users/\xff", b"/%ED%A0%80"])
def test_a_path_that_is_no_utf8_is_refused(raw: bytes) -> None:
    with pytest.raises(HttpError) as refused:
        split_path(raw)
    assert (refused.value.status, refused.value.code) == (400, "bad_path")


@pytest.mark.parametrize(
    "key", ["a", "A-b-9", "a/b", "a b", "é漢", "100%", "a%2Fb", "?#&=+", "..", "a_b.c~d", "'\"<"]
)
def test_the_path_of_a_row_leads_back_to_its_key(key: str) -> None:
    path = row_path("users", key)
    assert path == f"/users/{quote(key, safe='')}".encode()
    assert split_path(path) == ["users", key]


@pytest.mark.parametrize(
    ("raw", "meant"),
    [(b"/users/", "/users"), (b"/users///", "/users"), (b"/users/%C3%A9/", "/users/%C3%A9")],
)
def test_a_path_that_ends_in_a_slash_says_which_was_meant(raw: bytes, meant: str) -> None:
    with pytest.raises(HttpError) as refused:
        split_path(raw)
    assert (refused.value.status, refused.value.code) == (404, "no_such_route")
    assert refused.value.detail == f"the path ends in a slash; did you mean {meant}?"


def test_a_query_is_pairs_in_order_and_keeps_empty_and_repeated_ones() -> None:
    found = request(query=b"a=1&b=&a=%C3%A9&c&d=x+y").query()
    assert found == [("a", "1"), ("b", ""), ("a", "é"), ("c", ""), ("d", "x y")]
    assert request().query() == []


@pytest.mark.parametrize("query", [b"a=%FF", b"%FF", b"a=\xff", b"&".join([b"a=1"] * 201)])
def test_a_query_that_is_no_utf8_or_endless_is_refused(query: bytes) -> None:
    with pytest.raises(HttpError) as refused:
        request(query=query).query()
    assert (refused.value.status, refused.value.code) == (400, "bad_query")


def test_of_repeated_headers_the_last_counts_and_cookies_are_joined() -> None:
    found = request([("Cookie", "a=1"), ("If-Match", '"1"'), ("Cookie", "b=2"), ("if-match", "*")])
    assert found.header(b"cookie") == "a=1; b=2"
    assert found.header(b"if-match") == "*"
    assert found.header(b"prefer") is None


# Tokens.


@pytest.mark.parametrize(
    ("headers", "token", "cookie"),
    [
        ([], None, False),
        ([("ClusterLite-Token", " c-1:7 ")], Token("c-1", 7), False),
        ([("ClusterLite-Token", "a:b:-1")], Token("a:b", -1), False),
        ([("Cookie", "clusterlite_token=c-1:7")], Token("c-1", 7), True),
        ([("Cookie", 'x=1; clusterlite_token="c-1:7"; y=2')], Token("c-1", 7), True),
        ([("Cookie", "x=1"), ("Cookie", "clusterlite_token=c-1:7")], Token("c-1", 7), True),
        ([("Cookie", "my_clusterlite_token=c-1:7")], None, False),
        ([("Cookie", "clusterlite_token=soon")], None, True),
        (
            [("Cookie", "clusterlite_token=c-1:9"), ("ClusterLite-Token", "c-1:7")],
            Token("c-1", 7),
            False,
        ),
    ],
)
def test_a_token_comes_by_header_else_by_cookie(
    headers: list[tuple[str, str]], token: Token | None, cookie: bool
) -> None:
    assert request(headers).token() == (token, cookie)


@pytest.mark.parametrize("text", ["", "7", ":7", "c-1:", "c-1:x", "c-1:1e3", "c-1:" + "9" * 19])
def test_a_header_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(HttpError) as refused:
        request([("ClusterLite-Token", text)]).token()
    assert (refused.value.status, refused.value.code) == (400, "bad_token")


# Bodies.

JSON = [("Content-Type", "application/json")]


def test_a_body_is_whole_however_it_was_cut() -> None:
    for chunks in ([b'{"a":1}'], [b'{"a"', b":1}"], [b"", b'{"a":1', b"}", b""]):
        assert arriving(body(*chunks)) == b'{"a":1}'


@pytest.mark.parametrize("chunks", [[b"12345678"], [b"1234", b"5678"], [b"", b"12345678"]])
def test_a_body_over_the_limit_is_refused(chunks: list[bytes]) -> None:
    with pytest.raises(HttpError) as refused:
        arriving(body(*chunks))
    assert (refused.value.status, refused.value.code) == (413, "too_large")


def test_a_body_that_never_ends_is_refused_once_it_is_over_the_limit() -> None:
    """Nothing more is asked for after the chunk that passes it."""
    endless = body(b"1234", b"5678", b"never asked for")[:2]
    with pytest.raises(HttpError) as refused:
        arriving(endless)
    assert refused.value.code == "too_large"


@pytest.mark.parametrize("before", [0, 1])
def test_a_body_whose_client_went_away_is_incomplete(before: int) -> None:
    messages = [*body(b"12", b"")[:before], {"type": "http.disconnect"}]
    with pytest.raises(HttpError) as refused:
        arriving(messages)
    assert (refused.value.status, refused.value.code) == (400, "incomplete")


def test_malformed_json_is_the_callers_error() -> None:
    with pytest.raises(InputError) as refused:
        request(JSON, body=b'{"a":1,"a":2}').json()
    assert refused.value.malformed


# Preferences.


@pytest.mark.parametrize(
    ("text", "respond_async", "minimal", "wait_s", "applied"),
    [
        (None, False, False, None, []),
        ("", False, False, None, []),
        ("respond-async", True, False, None, ["respond-async"]),
        ("Respond-Async, wait=10", True, False, 10.0, ["respond-async", "wait=10"]),
        ("return=minimal", False, True, None, ["return=minimal"]),
        ("wait=0", False, False, 0.0, ["wait=0"]),
        ("wait=9999", False, False, 60.0, ["wait=60"]),
        ("wait=-1, wait=1.5, wait=, wait=²", False, False, None, []),
        ("return, handling=strict, x", False, False, None, []),
    ],
)
def test_preferences_that_are_known_are_applied_and_others_passed_over(
    text: str | None, respond_async: bool, minimal: bool, wait_s: float | None, applied: list[str]
) -> None:
    prefer = Prefer(text)
    assert (prefer.respond_async, prefer.minimal) == (respond_async, minimal)
    assert (prefer.wait_s, prefer.applied) == (wait_s, applied)
