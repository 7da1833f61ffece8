"""Which bytes are JSON for us: golden bytes, the same on every Python and library version."""

from __future__ import annotations

import pytest

from clusterlite.core.acceptance import DEPTH_MAX, Unreadable, read_json

ACCEPTED = [
    (b"{}", {}),
    (b' {"a" : 1} ', {"a": 1}),
    (b'{"a":9223372036854775807}', {"a": 2**63 - 1}),
    (b'{"a":-9223372036854775808}', {"a": -(2**63)}),
    (b'{"a":"\\u00e9"}', {"a": "é"}),
    (b'{"a":"\\u0000"}', {"a": "\x00"}),
    (b'{"a:b":"c:d","e":["f:g",{"h:":":"}]}', {"a:b": "c:d", "e": ["f:g", {"h:": ":"}]}),
    (b'{"\\u003a":"x:"}', {":": "x:"}),
    (b'{"a":{"a":{"a":1}}}', {"a": {"a": {"a": 1}}}),
    (b'{"a":1e308}', {"a": 1e308}),
    (b'"\\ud83d\\ude00"', "😀"),
    (b"[" * DEPTH_MAX + b"]" * DEPTH_MAX, None),
    (b'"' + b"[" * 200 + b'"', "[" * 200),
]

REFUSED = {
    "empty": b"",
    "byte order mark": b"\xef\xbb\xbf{}",
    "not UTF-8": b'{"a":"\xff"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "lone surrogate": b'{"a":"\\ud800"}',
    "raw control character": b'{"a":"\x01"}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "beyond a double": b'{"a":1e400}',
    "integer over 64 bits": b'{"a":9223372036854775808}',
    "integer under 64 bits": b'{"a":[{"b":-9223372036854775809}]}',
    "huge integer": b'{"a":' + b"9" * 5000 + b"}",
    "duplicate key": b'{"a":1,"a":2}',
    "duplicate key, equal values": b'{"a":1,"a":1}',
    "duplicate key in depth": b'[{"x":{"a":1,"b":2,"a":3}}]',
    "duplicate key by escape": b'{"a":1,"\\u0061":2}',
    "duplicate key hidden by an escaped colon": b'{"a":1,"a":"\\u003a"}',
    "too deep": b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1),
    "far too deep": b'{"a":' * 100_000,
    "truncated": b'{"a":',
    "two values": b"{} {}",
    "trailing comma": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "comment": b'{"a":1} // one',
}


@pytest.mark.parametrize(("raw", "value"), ACCEPTED, ids=[repr(raw[:30]) for raw, _ in ACCEPTED])
def test_accepted(raw: bytes, value: object) -> None:
    found = read_json(raw)
    if value is not None:
        assert found == value


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_refused(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        read_json(raw)
