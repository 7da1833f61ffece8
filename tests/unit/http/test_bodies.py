"""Words for bodies that are refused: whatever the bytes, an answer that is short and soon there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterlite.core.acceptance import Unreadable, read_json
from clusterlite.core.fields import DOCUMENT_DEPTH_MAX
from clusterlite.http.bodies import check_content_type, explain
from clusterlite.http.problems import HttpError

PIECES = (
    *(b"[", b"]", b"{", b"}", b":", b",", b'"', b"\\", b"\\u", b"\\ud800", b"\\udc00", b"\n"),
    *(b"NaN", b"-Infinity", b"null", b"1e400", b"-", b"0", b"00", b"9" * 19, b"9" * 5_000),
    *(b'"a"', b'"a":', b"\xff", b"\xc3", b"\x00", b"\xef\xbb\xbf", b"\xff\xfe", b" ", b"."),
    "é".encode(),
    "٣".encode(),
)


def refused(raw: bytes) -> str | None:
    """The words for a body, None where it is accepted."""
    try:
        read_json(raw, DOCUMENT_DEPTH_MAX)
    except Unreadable as error:
        return explain(raw, str(error))
    return None


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_any_body_that_is_refused_has_words_that_are_short(raw: bytes) -> None:
    told = refused(raw)
    if told is not None:
        assert 10 < len(told) < 250
        json.dumps(told).encode()


@given(st.binary(max_size=40))
def test_any_bytes_have_words_or_are_json(raw: bytes) -> None:
    told = refused(raw)
    assert told is None or told


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{"a":1,}', "line 1, column 8: "),
        (b'\n\n  {"a" 1}', "line 3, column 8: "),
        ('{"é":"ö",\n"a":x}'.encode(), "line 2, column 5: "),
        (b'{"a":"NaN 1e999 [[[", "b":NaN}', "line 1, column 27: NaN is no JSON; "),
        (b'{"a":00000000000000000000001}', "line 1, column 6: the integer"),
        (b"9" * 5_000 + b"-", "line 1, column 5001: "),
        (b'{"a":"\\"","b":"\x02"}', "line 1, column 15: a string with a raw control"),
    ],
)
def test_the_place_is_the_line_and_column_of_what_is_wrong(raw: bytes, told: str) -> None:
    words = refused(raw)
    assert words is not None
    assert words.startswith(told)


@pytest.mark.parametrize(
    ("host", "path", "url"),
    [
        (b"node-1:8082", b"/users", "http://node-1:8082/users"),
        (b"[::1]:8082", b"/users", "'http://[::1]:8082/users'"),
        (b"a b;reboot", b"/users", "http://localhost/users"),
        (b"", b"/users", "http://localhost/users"),
        (b"h", b"/users/a'$(x)", "'http://h/users/a'\"'\"'$(x)'"),
    ],
)
def test_the_right_call_is_safe_to_paste(host: bytes, path: bytes, url: str) -> None:
    with pytest.raises(HttpError) as refused_:
        check_content_type("POST", path, {b"host": host})
    assert f"the right call: curl {url} -H " in refused_.value.detail
