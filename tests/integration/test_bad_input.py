"""Bad input over HTTP: each kind is refused with its place and a cure, and nothing is lost.

After each one the node still answers, the log has not grown, and no row has changed.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from tests.http_node import ENTITIES, check_problem, user
from tests.processes import Answer, Serve

MIB = 1024 * 1024
JSON = {"Content-Type": "application/json"}
THING = """

class Thing(Entity, table="things"):
    number: int = 0
    ratio: float = 0.0
    flag: bool = False
    numbers: list[int] = []
    extra: dict[str, object] = {}
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A node of this module, with one row that nothing here may change."""
    folder = tmp_path_factory.mktemp("bad-input")
    (folder / "odd_shop.py").write_text(ENTITIES + THING)
    with Serve(folder / "node", "", ("--entities", "odd_shop"), cwd=folder) as serve:
        assert serve.request("PUT", "/users/witness", user("Witness")).status == 201
        yield serve


@contextmanager
def unharmed(node: Serve) -> Iterator[None]:
    """What happens inside is answered, and writes nothing."""
    before = node.request("GET", "/-/cluster").json
    yield
    after = node.request("GET", "/-/cluster").json
    assert (after["state"], after["pid"]) == ("ready", before["pid"])
    assert (after["position"], after["hash"]) == (before["position"], before["hash"])
    assert node.request("GET", "/users/witness").json == user("Witness", id="witness")


# Bodies that are no JSON.

MALFORMED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the body is empty; send a JSON object"),
    "spaces-only": (b" \r\n", "the body is empty; send a JSON object"),
    "malformed-truncated": (b'{"name":', "line 1, column 9: the text ends before the JSON does"),
    "malformed-no-comma": (b'{"name":"a"\n "email":"b"}', "line 2, column 2: expecting ','"),
    "malformed-single-quotes": (b"{'name': 1}", "line 1, column 2: a key in double quotes"),
    "malformed-two-values": (b"{} {}", "line 1, column 4: the JSON has ended and more text"),
    "malformed-form": (b"name=Ann&email=x", "line 1, column 1: a value must stand here"),
    "malformed-open-string": (b'{"name":"Ann}', "line 1, column 9: a string without an end"),
    "malformed-escape": (b'{"name":"\\x41"}', "line 1, column 10: invalid \\escape"),
    "deep-57": (b"[" * 57 + b"]" * 57, "line 1, column 57: nested deeper than 56"),
    "deep-100000": (b"[" * 100_000, "line 1, column 57: nested deeper than 56"),
    "deep-in-a-field": (
        b'{"extra":' + b'{"a":' * 99 + b"1" + b"}" * 100,
        "nested deeper than 56; send it flatter",
    ),
    "nan": (b'{"email":"NaN",\n"number":NaN}', "line 2, column 10: NaN is no JSON"),
    "infinity": (b'{"ratio":-Infinity}', "line 1, column 10: -Infinity is no JSON"),
    "lone-surrogate-high": (b'{"name":"\\ud800"}', "line 1, column 9: a string with half a surr"),
    "lone-surrogate-low": (b'{"name":"x\\udc00y"}', "\\udc00; send the character itself"),
    "lone-surrogate-in-bytes": (b'{"name":"\xed\xa0\x80"}', "the byte 0xED is no UTF-8"),
    "duplicate-key": (b'{"name":"a","name":"b"}', "the key 'name' stands twice in one object"),
    "duplicate-key-escaped": (b'{"name":1,"\\u006eame":1}', "the key 'name' stands twice"),
    "duplicate-key-in-depth": (b'{"extra":{"a":[{"b":1,"b":1}]}}', "the key 'b' stands twice"),
    "integer-over-64-bits": (
        b'{"number":9223372036854775808}',
        "line 1, column 11: the integer 9223372036854775808 is outside 64 bits",
    ),
    "integer-under-64-bits": (b'{"number":-9223372036854775809}', "is outside 64 bits"),
    "integer-of-5000-digits": (b'{"number":' + b"9" * 5000 + b"}", "9…9"),
    "1e400": (b'{"ratio":1e400}', "line 1, column 10: the number 1e400 is beyond a double"),
    "minus-1e400": (b'{"ratio":-1e400}', "the number -1e400 is beyond a double"),
    "nul-in-a-string": (b'{"name":"a\x00b"}', "raw control character U+0000; write it as \\u0000"),
    "nul-behind": (b'{"name":"a"}\x00', "line 1, column 13: the JSON has ended"),
    "control-character": (b'{"name":"a\x1bb"}', "raw control character U+001B; write it as"),
    "line-break-in-a-string": (b'{"name":"a\nb"}', "raw control character U+000A"),
    "byte-order-mark": (b"\xef\xbb\xbf{}", "begins with a byte order mark (EF BB BF)"),
    "utf-16": ('{"name":"Ann"}'.encode("utf-16"), "looks like UTF-16 or UTF-32; send UTF-8"),
    "utf-16-without-mark": ('{"name":1}'.encode("utf-16-be"), "looks like UTF-16 or UTF-32"),
    "utf-32": ('{"name":"Ann"}'.encode("utf-32"), "looks like UTF-16 or UTF-32"),
    "latin-1": (
        '{\n"name":"Zoë"}'.encode("latin-1"),
        "line 2, column 11: the byte 0xEB is no UTF-8; send the text as UTF-8",
    ),
    "utf-8-cut": (b'{"name":"\xc3', "line 1, column 10: the byte 0xC3 is no UTF-8"),
}


@pytest.mark.parametrize(("body", "words"), MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_is_no_strict_json_says_where_and_what_to_do(
    node: Serve, body: bytes, words: str
) -> None:
    with unharmed(node):
        for method, path in (("POST", "/users"), ("PUT", "/users/witness"), ("POST", "/things")):
            document = check_problem(node.request(method, path, body), 400, "malformed")
            assert words in document["detail"]
            assert len(document["detail"]) < 300
            (error,) = document["errors"]
            assert words in error["message"]


# JSON that does not fit the entity.

INVALID: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "non-object-null": ("/users", b"null", {"": "must be a JSON object"}),
    "non-object-string": ("/users", b'"Ann"', {"": "must be a JSON object"}),
    "non-object-number": ("/users", b"5", {"": "must be a JSON object"}),
    "non-object-true": ("/users", b"true", {"": "must be a JSON object"}),
    "non-object-in-an-array": (
        "/users",
        b'[{"name":"a","email":"b"},5]',
        {"/1": "must be a JSON object"},
    ),
    "empty-array": ("/users", b"[]", {"": "must have 1 to"}),
    "wrong-type-object-for-text": ("/users", b'{"name":{},"email":"x"}', {"/name": "string"}),
    "wrong-type-number-for-text": ("/users", b'{"name":5,"email":"x"}', {"/name": "string"}),
    "wrong-type-null-for-text": ("/users", b'{"name":null,"email":"x"}', {"/name": "string"}),
    "wrong-type-text-for-integer": ("/things", b'{"number":"many"}', {"/number": "integer"}),
    "wrong-type-fraction": ("/things", b'{"number":1.5}', {"/number": "fractional part"}),
    "wrong-type-null-for-integer": ("/things", b'{"number":null}', {"/number": "integer"}),
    "wrong-type-array-for-real": ("/things", b'{"ratio":[1]}', {"/ratio": "number"}),
    "wrong-type-nan-as-text": ("/things", b'{"ratio":"NaN"}', {"/ratio": "finite number"}),
    "wrong-type-infinity-as-text": ("/things", b'{"ratio":"-inf"}', {"/ratio": "finite number"}),
    "wrong-type-text-for-boolean": ("/things", b'{"flag":"perhaps"}', {"/flag": "boolean"}),
    "wrong-type-array-for-object": ("/things", b'{"extra":[]}', {"/extra": "object"}),
    "wrong-type-in-a-list": ("/things", b'{"numbers":[1,"x"]}', {"/numbers/1": "integer"}),
    "wrong-type-number-for-id": ("/things", b'{"id":5}', {"/id": "string"}),
    "integer-text-over-64-bits": (
        "/things",
        b'{"number":"9223372036854775808"}',
        {"/number": "64 bits"},
    ),
    "missing-fields": ("/users", b"{}", {"/name": "required", "/email": "required"}),
    "missing-field-by-case": ("/users", b'{"Name":"a","email":"b"}', {"/name": "required"}),
    "several-at-once": ("/users", b'{"name":"","email":1}', {"/name": "1 char", "/email": "str"}),
}


@pytest.mark.parametrize(("path", "body", "places"), INVALID.values(), ids=INVALID)
def test_a_value_that_does_not_fit_is_refused_with_its_place(
    node: Serve, path: str, body: bytes, places: dict[str, str]
) -> None:
    with unharmed(node):
        document = check_problem(node.request("POST", path, body), 422, "invalid")
    found = {error["pointer"]: error["message"] for error in document["errors"]}
    assert found.keys() == places.keys()
    for pointer, words in places.items():
        assert words in found[pointer]
        assert f"{pointer or 'input'}: " in document["detail"]


@pytest.mark.parametrize(
    "unknown",
    [{"colour": "red"}, {"_version": 7}, {"Number": 7}, {"": 1}, {"a\0": {}}, {"é" * 999: 1}],
    ids=["colour", "_version", "other-case", "empty-name", "nul", "long"],
)
def test_an_unknown_field_is_passed_over_and_not_stored(
    node: Serve, unknown: dict[str, Any]
) -> None:
    created = node.request("POST", "/things", {"number": 3, **unknown})
    assert created.status == 201
    stored = node.request("GET", created.headers["location"]).json
    assert stored.keys() == {"id", "number", "ratio", "flag", "numbers", "extra"}
    assert stored["number"] == 3


def test_ten_thousand_mistakes_are_answered_with_a_hundred(node: Serve) -> None:
    body = {"numbers": ["x"] * 10_000}
    with unharmed(node):
        answer = node.request("POST", "/things", body)
    document = check_problem(answer, 422, "invalid")
    assert len(document["errors"]) == 100
    assert "(10000 errors, the first 100 are listed)" in document["detail"]
    assert len(answer.body) < 20_000


HUGE: dict[str, tuple[bytes, str]] = {
    "spaces": (b" " * (MIB + 1), "too_large"),
    "one-string": (b'"' + b"x" * MIB + b'"', "too_large"),
    "ten-mebibytes": (b'{"name":"' + b"x" * 10 * MIB + b'"}', "too_large"),
    "over-the-logs-limit": (
        b'{"name":"a","email":"' + b"x" * (MIB - 100) + b'"}',
        "record_too_large",
    ),
}


@pytest.mark.parametrize(("body", "code"), HUGE.values(), ids=HUGE)
def test_a_huge_body_is_refused_with_the_limit(node: Serve, body: bytes, code: str) -> None:
    with unharmed(node):
        answer = node.request("POST", "/users", body)
        assert str(MIB)[:3] in check_problem(answer, 413, code)["detail"]


# Values and ids of odd characters.

ODD = {
    "nul": "a\0b",
    "controls": "".join(map(chr, [*range(1, 32), 127, 133, 159])),
    "byte-order-mark": "\ufeffa",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈",
    "right-to-left": "\u202eevil\u202c \u200f שלום",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "line-separators": "\u2028\u2029\x85",
    "quotes": "'\"`\\ '; DROP TABLE users; --",
    "10000-characters": "é" * 10_000,
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
@pytest.mark.parametrize("escaped", [False, True], ids=["as-utf-8", "as-escapes"])
def test_text_of_any_characters_comes_back_as_it_was(node: Serve, text: str, escaped: bool) -> None:
    sent = json.dumps(user("odd", email=text), ensure_ascii=escaped).encode()
    created = node.request("POST", "/users", sent)
    assert created.status == 201, created
    assert created.json["email"] == text
    assert node.request("GET", created.headers["location"]).json["email"] == text


GOOD_IDS = {
    "slash": "a/b",
    "only-a-slash": "/",
    "encoded-slash": "a%2Fb",
    "space": " ",
    "spaces-around": "  a ",
    "quotes": "'\"`",
    "sql": "'; DROP TABLE users; --",
    "backslash": "\\",
    "emoji": "👩‍👩‍👧‍👦",
    "right-to-left-mark": "\u200f",
    "right-to-left-override": "\u202egpj.exe",
    "dots": "..",
    "question-and-hash": "?a=b#c",
    "star": "*",
    "plus": "a+b",
    "byte-order-mark": "\ufeff",
    "255-characters": "x" * 255,
    "255-emoji": "😀" * 255,
    "word-null": "null",
    "word-schema": "schema",
}


@pytest.mark.parametrize("key", GOOD_IDS.values(), ids=GOOD_IDS)
def test_an_id_of_any_characters_is_written_read_listed_and_removed(node: Serve, key: str) -> None:
    path = f"/users/{quote(key, safe='')}"
    created = node.request("PUT", path, user())
    assert (created.status, created.headers["location"]) == (201, path)
    taken = node.request("POST", "/users", user(id=key))
    check_problem(taken, 409, "exists")
    assert node.request("GET", path).json["id"] == key
    assert key in [row["id"] for row in node.request("GET", "/users?_limit=10000").json]
    assert node.request("DELETE", path).status == 204
    assert node.request("GET", path).status == 404


BAD_IDS = {
    "256-characters": "x" * 256,
    "256-emoji": "😀" * 256,
    "10000-characters": "x" * 10_000,
    "nul": "a\0b",
    "line-break": "a\nb",
    "escape-character": "\x1b[2J",
    "delete-character": "\x7f",
    "next-line": "\x85",
    "reserved-underscore": "_",
    "reserved-underscore-first": "_id",
    "reserved-dash-first": "-x",
    "reserved-dash-and-slash": "-/schema",
}


@pytest.mark.parametrize("key", BAD_IDS.values(), ids=BAD_IDS)
def test_an_id_that_is_not_acceptable_is_refused_with_the_rule(node: Serve, key: str) -> None:
    path = f"/users/{quote(key, safe='')}"
    with unharmed(node):
        for answer in (
            node.request("PUT", path, user()),
            node.request("DELETE", path),
            node.request("POST", "/users", user(id=key)),
        ):
            document = check_problem(answer, 422, "invalid")
            assert [error["pointer"] for error in document["errors"]] == ["/id"]
            assert "must be 1 to 255 characters, no control characters, not" in document["detail"]
        document = check_problem(node.request("GET", path), 404, "not_found")
        assert len(document["detail"]) <= 1_100


# Paths, tables, parameters.

PATHS: dict[str, tuple[str, str, str]] = {
    "reserved-dash": ("/users/-", "no_such_route", "/ lists the routes"),
    "table-trailing-slash": ("/users/", "no_such_route", "did you mean /users?"),
    "table-two-slashes": ("/users//", "no_such_route", "did you mean /users?"),
    "row-trailing-slash": ("/users/witness/", "no_such_route", "did you mean /users/witness?"),
    "odd-row-trailing-slash": ("/users/a%2Fb/", "no_such_route", "did you mean /users/a%2Fb?"),
    "leading-slashes": ("//users", "no_such_route", "did you mean /users?"),
    "system-trailing-slash": ("/-/cluster/", "no_such_route", "did you mean /-/cluster?"),
    "system-misspelt": ("/-/health/redy", "no_such_route", "did you mean /-/health/ready?"),
    "system-other-case": ("/-/Cluster", "no_such_route", "did you mean /-/cluster?"),
    "system-nothing-near": ("/-/xyzzy", "no_such_route", "no such route; / lists the routes"),
    "table-singular": ("/user", "no_such_table", "did you mean users?"),
    "table-other-case": ("/USERS", "no_such_table", "did you mean users?"),
    "table-misspelt": ("/acounts/1", "no_such_table", "did you mean accounts?"),
    "table-nothing-near": ("/xyzzy", "no_such_table", "this node has users, accounts"),
    "table-with-slash": ("/users%2F1", "no_such_table", "no table 'users/1'"),
    "table-nul": ("/users%00", "no_such_table", "no table 'users\\x00'"),
    "table-of-10000-characters": ("/" + "x" * 10_000, "no_such_table", "this node has users"),
    "reserved-sqlite": ("/sqlite_master", "no_such_table", "this node has users"),
    "reserved-bookkeeping": ("/_cl_state", "no_such_table", "this node has users"),
}


@pytest.mark.parametrize(("path", "code", "words"), PATHS.values(), ids=PATHS)
def test_a_path_that_leads_nowhere_says_what_was_meant(
    node: Serve, path: str, code: str, words: str
) -> None:
    with unharmed(node):
        for method, body in (("GET", None), ("POST", user()), ("PUT", user()), ("DELETE", None)):
            answer = node.request(method, path, body)
            document = json.loads(answer.body)
            assert (answer.status, document["code"]) == (404, code)
            assert words in document["detail"]
            assert len(document["detail"]) <= 1_100


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/-/cluster", "/-/health/live", "/-/health/ready", "/-/openapi.json"),
        *("/-/events/x", "/-/docs/problems", "/-/ui", "/users/-/schema", "/users/witness"),
    ],
)
def test_no_route_passes_over_a_query_parameter(node: Serve, path: str) -> None:
    for query in ("x=1", "x", "_limit=1", "x=%FF"):
        answer = node.request("GET", f"{path}?{query}")
        assert answer.status == 400, (query, answer)
        assert answer.json["code"] in {"unknown_parameter", "bad_query"}
    assert "'x'" in node.request("GET", f"{path}?x=1").json["detail"]
    assert node.request("GET", f"{path}?").status < 400


def test_settling_an_event_takes_no_parameter(node: Serve) -> None:
    with unharmed(node):
        answer = node.request("POST", "/-/events/x/settle?force=1")
        check_problem(answer, 400, "unknown_parameter")


# Content types and encodings.

TYPES: dict[str, tuple[dict[str, str], str]] = {
    "missing": ({"Content-Type": ""}, "(this was none)"),
    "plain-curl": (
        {"Content-Type": "application/x-www-form-urlencoded"},
        "(this was application/x-www-form-urlencoded, as curl -d sends it by itself)",
    ),
    "text": ({"Content-Type": "text/plain; charset=utf-8"}, "(this was text/plain)"),
    "multipart": ({"Content-Type": "multipart/form-data; boundary=x"}, "multipart/form-data"),
    "near-miss": ({"Content-Type": "application/jsonx"}, "(this was application/jsonx)"),
    "no-type-at-all": ({"Content-Type": ";;,"}, "send JSON as application/json"),
}


@pytest.mark.parametrize(("headers", "words"), TYPES.values(), ids=TYPES)
def test_another_content_type_is_refused_with_the_right_call(
    node: Serve, headers: dict[str, str], words: str
) -> None:
    with unharmed(node):
        for method, path in (("POST", "/users"), ("PUT", "/users/a%20b")):
            answer = node.request(method, path, json.dumps(user()).encode(), headers)
            document = check_problem(answer, 415, "content_type")
            assert words in document["detail"]
            _, _, call = document["detail"].partition("the right call: ")
            chosen = "" if method == "POST" else "-X PUT "
            assert call == (
                f"curl {chosen}{node.url}{path} -H 'Content-Type: application/json' -d '{{…}}'"
            )
            assert answer.headers["accept"] == "application/json"


def test_the_call_that_plain_curl_is_told_works(node: Serve) -> None:
    """The commonest first command, and what its answer says to do, by curl itself."""
    body = json.dumps(user("Curl"))
    first = subprocess.run(
        ["curl", "-s", f"{node.url}/users", "-d", body],
        capture_output=True,
        check=True,
    )
    _, _, call = json.loads(first.stdout)["detail"].partition("the right call: ")
    command = [part if part != "{…}" else body for part in shlex.split(call)]
    second = subprocess.run([*command, "-s"], capture_output=True, check=True)
    assert json.loads(second.stdout)["name"] == "Curl"


def test_the_right_call_cannot_smuggle_a_command(node: Serve) -> None:
    path = "/users/$(reboot);'x"
    answer = node.request("PUT", path, b"{}", {"Content-Type": "a/b", "Host": "127.0.0.1`x`"})
    assert answer.status in {403, 415}
    answer = node.request("PUT", path, b"{}", {"Content-Type": "a/b"})
    _, _, call = check_problem(answer, 415, "content_type")["detail"].partition("call: ")
    assert shlex.split(call)[:4] == ["curl", "-X", "PUT", f"{node.url}{path}"]


ENCODINGS: dict[str, tuple[dict[str, str], bytes, str]] = {
    "charset-utf-16": (
        {"Content-Type": "application/json; charset=utf-16"},
        json.dumps(user()).encode("utf-16"),
        "JSON is sent as UTF-8 (this was utf-16); encode the body as UTF-8",
    ),
    "charset-latin-1": (
        {"Content-Type": 'application/json; charset="ISO-8859-1"'},
        json.dumps(user("Zoë"), ensure_ascii=False).encode("latin-1"),
        "JSON is sent as UTF-8 (this was iso-8859-1)",
    ),
    "charset-empty": (
        {"Content-Type": "application/json;charset="},
        b"{}",
        "JSON is sent as UTF-8 (this was an empty charset)",
    ),
    "gzip": (
        {**JSON, "Content-Encoding": "gzip"},
        b"\x1f\x8b\x08\x00",
        "without Content-Encoding (this was gzip)",
    ),
}


@pytest.mark.parametrize(("headers", "body", "words"), ENCODINGS.values(), ids=ENCODINGS)
def test_another_encoding_is_refused_before_the_body_is_read(
    node: Serve, headers: dict[str, str], body: bytes, words: str
) -> None:
    code = "content_encoding" if "Content-Encoding" in headers else "content_type"
    with unharmed(node):
        for method, path in (("POST", "/users"), ("PUT", "/users/witness")):
            document = check_problem(node.request(method, path, body, headers), 415, code)
            assert words in document["detail"]


@pytest.mark.parametrize(
    "kind",
    [
        "application/json;charset=UTF-8",
        'Application/JSON; Charset="utf-8"',
        "application/json; charset=us-ascii",
        "application/json; profile=x",
        "application/merge-patch+json",
    ],
)
def test_json_in_utf8_is_taken_however_it_is_called(node: Serve, kind: str) -> None:
    headers = {"Content-Type": kind, "Content-Encoding": "identity"}
    assert node.request("POST", "/users", user("Type"), headers).status == 201


# What is told.


def test_the_type_of_a_problem_leads_to_a_page_that_explains_its_code(node: Serve) -> None:
    answers: list[Answer] = [
        node.request("GET", "/nope"),
        node.request("GET", "/users/absent"),
        node.request("POST", "/users", b"{"),
        node.request("POST", "/users", b"{}"),
        node.request("POST", "/users", b"{}", {"Content-Type": "text/plain"}),
        node.request("POST", "/users", user(id="witness")),
    ]
    for answer in answers:
        path, _, anchor = answer.json["type"].partition("#")
        page = node.request("GET", path)
        assert page.status == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"].startswith("default-src 'none'; ")
        assert f'<tr id="{anchor}"><td>{answer.status}</td>'.encode() in page.body


@pytest.mark.parametrize("path", ["/-/cluster", "/-/health/ready", "/users", "/users/absent"])
def test_an_answer_that_read_state_names_it(node: Serve, path: str) -> None:
    status = node.request("GET", "/-/cluster").json
    token = node.request("GET", path).headers["clusterlite-token"]
    assert token == f"{status['cluster']}:{status['position']}"
