"""What a body must be, and what is wrong with one: its type first, then where it is no JSON.

Both are looked at only for a body that is refused, so good ones pay nothing for the words.
"""

from __future__ import annotations

import codecs
import json
import re
import shlex
from collections.abc import Mapping
from typing import Final

from clusterlite.core.fields import DOCUMENT_DEPTH_MAX, INT64_MAX, INT64_MIN
from clusterlite.http.problems import HttpError

JSON: Final = b"application/json"
_PATCHES: Final = frozenset({JSON, b"application/merge-patch+json"})
"""A PATCH is not just any JSON: of RFC 6902 for example it is another language."""
_HOST: Final = re.compile(rb"[\w.:\[\]-]+")
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PIECE: Final = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*"?|-?(?:NaN|Infinity)|-?\d[\d.eE+-]*|[\[\]{}]',
    re.DOTALL | re.ASCII,
)
"""What can be wrong by itself in a text that is well formed otherwise, and what nests."""
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_DIGITS_MAX: Final = 19
_PLAINER: Final = {
    "Extra data": "the JSON has ended and more text follows; send one value",
    "Unterminated string starting at": "a string without an end; close it",
    "Expecting value": "a value must stand here: an object, array, string, number, true or null",
    "Expecting property name enclosed in double quotes": "a key in double quotes must stand here",
}
_SHOWN_MAX: Final = 40


def check_content_type(method: str, raw_path: bytes, headers: Mapping[bytes, bytes]) -> None:
    """Refuse a body that is not plain JSON by its headers; says the right call.

    Raises:
        HttpError: 415.
    """
    kind, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    kind = kind.strip()
    if kind not in _PATCHES if method == "PATCH" else not _is_json(kind):
        was = kind.decode("latin-1") or "none"
        if was == "application/x-www-form-urlencoded":
            was += ", as curl -d sends it by itself"
        call = _curl(method, raw_path, headers.get(b"host", b""))
        raise _unsupported(
            "content_type",
            f"send JSON as application/json (this was {was}); the right call: {call}",
        )
    for parameter in parameters.split(b";"):
        name, _, value = parameter.partition(b"=")
        charset = value.strip().strip(b'"').decode("latin-1")
        if name.strip() == b"charset" and charset not in {"utf-8", "utf8", "us-ascii"}:
            raise _unsupported(
                "content_type",
                f"JSON is sent as UTF-8 (this was {charset or 'an empty charset'}); encode the body"
                " as UTF-8 and leave the charset out",
            )
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding != b"identity":
        raise _unsupported(
            "content_encoding",
            f"send the body as it is, without Content-Encoding (this was "
            f"{encoding.decode('latin-1') or 'empty'})",
            (b"accept-encoding", b"identity"),
        )


def _is_json(kind: bytes) -> bool:
    return kind == JSON or kind.endswith(b"+json")


def _unsupported(code: str, detail: str, *headers: tuple[bytes, bytes]) -> HttpError:
    return HttpError(415, code, detail, headers=((b"accept", JSON), *headers))


def _curl(method: str, raw_path: bytes, host: bytes) -> str:
    """The same request as it should have been, for a shell."""
    name = host if _HOST.fullmatch(host) else b"localhost"
    url = shlex.quote((b"http://" + name + raw_path).decode("latin-1"))
    chosen = "" if method == "POST" else f"-X {shlex.quote(method)} "
    return f"curl {chosen}{url} -H 'Content-Type: application/json' -d '{{…}}'"


def explain(raw: bytes, reason: str) -> str:
    """Why a body is no JSON as the rules accept it: the place, and what to do.

    Args:
        raw: the body.
        reason: as `Unreadable` gave it.
    """
    if not raw.strip():
        return "the body is empty; send a JSON object, or an array of them"
    if raw.startswith(codecs.BOM_UTF8):
        return "the body begins with a byte order mark (EF BB BF); send UTF-8 without one"
    if raw.startswith(_UTF16) or 0 in raw[:2]:
        return "the body looks like UTF-16 or UTF-32; send UTF-8"
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        place = _place(raw[: error.start].decode(), error.start)
        return f"{place}: the byte 0x{raw[error.start]:02X} is no UTF-8; send the text as UTF-8"
    return _wrong_piece(text) or _wrong_syntax(text) or f"{_short(reason)}; leave one of them out"


def _place(text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    column = min(position, len(text)) - text.rfind("\n", 0, position)
    return f"line {line}, column {column}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX * 2 else f"{text[:_SHOWN_MAX]}…{text[-_SHOWN_MAX:]}"


def _wrong_piece(text: str) -> str:
    depth = 0
    for match in _PIECE.finditer(text):
        piece, wrong = match[0], ""
        if piece in "[{":
            depth += 1
            if depth > DOCUMENT_DEPTH_MAX:
                wrong = f"nested deeper than {DOCUMENT_DEPTH_MAX}; send it flatter"
        elif piece in "]}":
            depth -= 1
        elif piece[0] == '"':
            wrong = _wrong_string(piece)
        else:
            wrong = _wrong_number(piece)
        if wrong:
            return f"{_place(text, match.start())}: {wrong}"
    return ""


def _wrong_string(piece: str) -> str:
    control = _CONTROL.search(piece)
    if control:
        code = ord(control[0])
        return f"a string with a raw control character U+{code:04X}; write it as \\u{code:04x}"
    if "\\u" not in piece:
        return ""
    try:
        json.loads(piece).encode()
    except json.JSONDecodeError:
        return ""  # the syntax is wrong there, which is told as such
    except UnicodeEncodeError as error:
        lone = ord(error.object[error.start])
        return (
            f"a string with half a surrogate pair, \\u{lone:04x}; "
            "send the character itself, or both halves"
        )
    return ""


def _wrong_number(piece: str) -> str:
    if piece.endswith(("NaN", "Infinity")):
        return f"{piece} is no JSON; send a number, or null"
    digits = piece.removeprefix("-")
    if digits.isdigit():
        if len(digits) > _DIGITS_MAX or not INT64_MIN <= int(piece) <= INT64_MAX:
            return f"the integer {_short(piece)} is outside 64 bits; send a smaller one, or text"
        return ""
    try:
        finite = abs(float(piece)) != float("inf")
    except ValueError:
        return ""
    return "" if finite else f"the number {_short(piece)} is beyond a double; send a smaller one"


def _wrong_syntax(text: str) -> str:
    try:
        json.loads(text, parse_int=float)  # an int of many digits is an error of another kind
    except json.JSONDecodeError as error:
        place = _place(text, error.pos)
        if error.pos >= len(text.rstrip()):
            return f"{place}: the text ends before the JSON does; send all of it"
        told = _PLAINER.get(error.msg, error.msg[0].lower() + error.msg[1:])
        return f"{place}: {told}"
    return ""
