"""Records that other programs may write, one log of them, and the outcome of each.

A record's place in `CASES` is its position in a fresh log. Each case stands under the words by
which `docs/reference/events.md` lists it. What halts a node stands apart, in `HALTS`.
"""

from __future__ import annotations

from typing import Any, Final

from clusterlite.core.schema import COLUMNS_MAX
from tests.foreign_events import (
    CLUSTER,
    Case,
    Orphan,
    Person,
    Stubborn,
    Task,
    Twin,
    broken,
    declared,
    nested,
    own,
    person,
    plain,
    record,
    wide,
)

ENTITIES: Final = (Person, Task)
"""What the nodes of the tests declare; the log's own declarations are equal."""


LONG = "x" * 10_000
WILD = {
    "id": "w1",
    "whole": -(2**63),
    "real": 0.1,
    "truth": True,
    "list": [1, {"a": None}],
    "object": {"b": 1, "a": [True]},
    "text": "\0 😀 \u202e",
    "nothing": None,
}

AGE_OF_TEXT = {"table": "people", "columns": [{"name": "age", "type": "text"}]}
ANY_TYPE = {"table": "new", "columns": [{"name": "a", "type": "any"}]}
TO_WILD = {"table": "new", "columns": [{"name": "a", "type": "text", "references": "wild"}]}
SCALED = {"table": "scaled", "columns": [{"name": "a", "type": "text", "scale": 5}]}
CODE = {"name": "shop.Operations", "version": 1}

BEFORE: Final[dict[str, list[Case]]] = {
    "with `format`, before the cluster is founded": [
        own("early insert", "INSERT", person("early"), code="foreign"),
        own("early declaration", "SCHEMA", Person.declaration.to_json(), code="foreign"),
        own("early transaction", "TRANSACTION", {"changes": []}, "", "foreign"),
        own("founding of a newer format", "GENESIS", {}, "", "foreign", format=99),
    ],
    "without `format`, a table that no node declared": [
        plain("first row", "INSERT", WILD, "wild"),
        plain("further keys", "UPDATE", {"id": "w2", "more": "x"}, "wild"),
        plain("another type", "INSERT", {"id": "w3", "whole": "seven", "list": 7}, "wild"),
        plain("other case of the table", "INSERT", {"id": "w4", "WHOLE": 4}, "WILD"),
        plain("delete of a row", "DELETE", {"id": "w3"}, "wild"),
        plain("delete of no row", "DELETE", {"id": "none"}, "wild"),
        plain("delete in no table", "DELETE", {"id": "none", "x": 1}, "hollow"),
        plain("words of SQL", "INSERT", {"id": "1", "group": 1, "rowid": 2, "x": "'"}, "order"),
        plain("all the fields", "INSERT", wide(COLUMNS_MAX), "broad"),
        plain("as deep as may be", "INSERT", {"id": "deep", "list": nested(62)}, "wild"),
        plain("to be adopted", "INSERT", person("p1", age=41, extra=[1])),
        plain("to be adopted, fewer keys", "INSERT", person("p2")),
        plain("to be adopted, null", "INSERT", person("p3", age=None)),
        plain("to be adopted, in other case", "INSERT", {"id": "p4", "NAME": "Di", "Email": "d"}),
        plain("to a later row", "INSERT", {"id": "t1", "parent": "t2", "owner": "p1"}, "tasks"),
        plain("to an earlier row", "INSERT", {"id": "t2", "parent": "t1"}, "tasks"),
        plain("to itself", "INSERT", {"id": "t3", "parent": "t3"}, "tasks"),
        plain("not to be adopted", "INSERT", {"id": "s1", "size": "big"}, "stubborn"),
        plain("to be adopted in vain", "INSERT", {"id": "s2", "size": 2}, "stubborn"),
        plain("one of two", "INSERT", {"id": "1", "sku": "x"}, "twins"),
        plain("two of two", "INSERT", {"id": "2", "sku": "x"}, "twins"),
        plain("to no person", "INSERT", {"id": "o1", "owner": "nobody"}, "orphans"),
        plain("to no orphan", "INSERT", {"id": "o2", "owner": "p1", "parent": "o9"}, "orphans"),
        plain("to a misfit", "INSERT", {"id": "o0", "owner": "p1", "parent": "o2"}, "orphans"),
    ],
    "without `format`, more than 200 fields": [
        plain("one field too many", "INSERT", {"id": "w", "more": 1}, "broad", "invalid"),
        plain("201 fields at once", "INSERT", wide(COLUMNS_MAX + 1), "broader", "invalid"),
    ],
    "": [own("founding", "GENESIS", {"level": 1}, "")],
    "a SCHEMA for a table that such events made": [
        declared("people adopted", Person),
        declared("tasks adopted, rows that name each other", Task),
        declared("a value that does not convert", Stubborn, "not_adoptable", field="size"),
        declared("two rows of one value", Twin, "not_adoptable", field="sku"),
        declared("references to no row", Orphan, "not_adoptable"),
    ],
}

AFTER: Final[dict[str, list[Case]]] = {
    "bytes that are no JSON object (see below)": [
        broken("empty", b""),
        broken("tombstone", None),
        broken("one byte", b"\0"),
        broken("no UTF-8", b'{"id":"\xff"}'),
        broken("overlong UTF-8", b'{"id":"\xc0\x80"}'),
        broken("surrogate in UTF-8", b'{"id":"\xed\xa0\x80"}'),
        broken("lone surrogate", b'{"id":"\\ud800"}'),
        broken("UTF-16", '{"id":"x"}'.encode("utf-16")),
        broken("byte order mark", b"\xef\xbb\xbf{}"),
        broken("truncated", record({"id": "x"})[:-1]),
        broken("two objects", b"{}{}"),
        broken("no object", b"[{}]"),
        broken("null", b"null"),
        broken("a string", b'"{}"'),
        broken("NaN", b'{"data":NaN}'),
        broken("beyond a double", b'{"data":1e400}'),
        broken("beyond 64 bits", b'{"data":9223372036854775808}'),
        broken("a huge number", b'{"data":' + b"9" * 5_000 + b"}"),
        broken("raw control character", b'{"id":"\x01"}'),
        broken("a key twice", b'{"id":"x","id":"x"}'),
        broken("a key twice, by escape", b'{"data":{"a":1,"\\u0061":1}}'),
        broken("too deep", b'{"data":' + b"[" * 64 + b"]" * 64 + b"}"),
        broken("far too deep", b"[" * 100_000),
        broken("another serialisation", b"\x00\x00\x00\x00\x01\x10Ann"),
    ],
    "`cluster` names another one": [
        own("of another", "INSERT", person("other"), code="foreign", cluster="c-2"),
        own("of no name", "INSERT", person("other"), code="foreign", cluster=""),
        declared("declaration of another", Stubborn, "foreign", cluster="c-2"),
        own("fence of another", "FENCE", {}, "", "foreign", cluster="c-2"),
        own("level of another", "SETTINGS", {"level": 9}, "", "foreign", cluster="c-2"),
        own("shapeless of another", "MERGE", [], 7, "foreign", cluster="c-2"),
        plain("plain, of another", "INSERT", person("other"), code="foreign", cluster="c-2"),
    ],
    "`format` and no `cluster`": [
        own("without a cluster", "INSERT", person("other"), code="foreign", cluster=...),
        own("cluster null", "INSERT", person("other"), code="foreign", cluster=None),
        own("cluster a number", "INSERT", person("other"), code="foreign", cluster=1),
    ],
    "`format` above 1, of another cluster or of none": [
        own("newer, of another", "INSERT", person("n"), code="foreign", cluster="c-2", format=2),
        own("newer, of none", "INSERT", person("n"), code="foreign", cluster=..., format=2),
        own("newer founding", "GENESIS", {}, "", "foreign", cluster="c-2", format=2),
    ],
    "`format` that is no whole number from 1": [
        own(f"format {number!r}", "INSERT", person("n"), code="invalid", format=number)
        for number in (0, -1, 1.0, True, "1", [1], {})
    ],
    "an operation that is not in the list above": [
        plain("MERGE", "MERGE", person("m"), code="invalid"),
        plain("lower case", "insert", person("m"), code="invalid"),
        plain("no operation", ..., person("m"), code="invalid"),
        plain("operation a number", 7, person("m"), code="invalid"),
        own("own MERGE", "MERGE", person("m"), code="invalid"),
        own("ASSERT by itself", "ASSERT", person("m"), code="invalid"),
    ],
    "without `format`, any but INSERT, UPDATE and DELETE": [
        plain(f"plain {operation}", operation, person("m"), code="invalid")
        for operation in ("PATCH", "TRANSACTION", "SCHEMA", "GENESIS", "SETTINGS", "FENCE")
    ],
    "`data` is no object, or `table_name` no string": [
        plain("data a list", "INSERT", [], code="invalid"),
        plain("data text", "INSERT", "{}", code="invalid"),
        plain("data null", "INSERT", None, code="invalid"),
        plain("no data", "INSERT", ..., code="invalid"),
        plain("no table", "INSERT", person("m"), ..., "invalid"),
        plain("table null", "DELETE", person("m"), None, "invalid"),
        own("own data a list", "UPDATE", [], code="invalid"),
        Case("an empty object", b"{}", "invalid", event="@"),
    ],
    "`table_name` is no name": [
        plain("empty name", "INSERT", person("m"), "", "invalid"),
        plain("bookkeeping", "DELETE", {"id": "founding"}, "_cl_outcome", "invalid"),
        plain("SQLite's own", "INSERT", person("m"), "sqlite_schema", "invalid"),
        plain("spaces", "INSERT", person("m"), "my people", "invalid"),
        plain("not ASCII", "INSERT", person("m"), "menschen_ü", "invalid"),
        plain("64 letters", "INSERT", person("m"), "t" * 64, "invalid"),
        plain("a statement", "INSERT", person("m"), 'x"; DROP TABLE people; --', "invalid"),
        own("own, bookkeeping", "DELETE", {"id": "founding"}, "_cl_outcome", "invalid"),
    ],
    "the event's `id` is no string, or begins with `@`": [
        plain("id a number", "INSERT", person("m"), code="invalid", event="@", id=7),
        plain("id a list", "INSERT", person("m"), code="invalid", event="@", id=["a"]),
        plain("id of a position", "INSERT", person("m"), code="invalid", event="@", id="@0"),
        own("own id of a position", "INSERT", person("m"), code="invalid", event="@", id="@0"),
    ],
    "without `format`, no `id` of the event, an empty one or null": [
        plain("no id", "INSERT", person("i1"), event="@", id=...),
        plain("empty id", "INSERT", person("i2"), event="@", id=""),
        plain("id null", "INSERT", person("i3"), event="@", id=None),
        plain("no id again", "INSERT", person("i1", note="again"), event="@", id=...),
    ],
    "without `format`, an event's `id` of any other kind": [
        plain(name, "DELETE", {"id": "none"}, event=event)
        for name, event in {
            "a slash": "a/b",
            "an accent and a face": "é 😀",
            "right to left": "\u202ecba",
            "a hyphen": "-",
            "an underscore": "_cl",
            "two dots": "..",
            "a question": "?x=1#y&%2F",
            "a quote": "'\"",
            "line break and NUL": "a\n\0",
            "10,000 characters": LONG,
        }.items()
    ],
    "the `id` of an earlier event": [
        plain("applied before", "DELETE", {"id": "p1"}, code="duplicate", event="first row"),
        plain("rejected before", "DELETE", {"id": "p1"}, code="duplicate", event="no data"),
        own("own, applied before", "DELETE", {"id": "p1"}, code="duplicate", event="first row"),
        own("settled too late", "FENCE", {}, "", "duplicate", event="first row"),
        plain("no event at all", "MERGE", 7, code="duplicate", event="first row"),
        own("elsewhere's", "DELETE", {}, code="duplicate", event="first row", cluster="c-2"),
    ],
    "no `id` in `data`, or an empty one, or no string": [
        plain("no key", "INSERT", {"name": "x", "email": "y"}, code="invalid"),
        plain("empty key", "INSERT", person(""), code="invalid"),
        plain("key null", "DELETE", {"id": None}, code="invalid"),
        plain("key a number", "UPDATE", person("m") | {"id": 7}, code="invalid"),
        plain("key a truth", "DELETE", {"id": True}, code="invalid"),
        plain("no key in no table", "INSERT", {"x": 1}, "never", "invalid"),
        own("own, no key", "INSERT", {"name": "x", "email": "y"}, code="invalid"),
        own("own, key a list", "DELETE", {"id": ["a"]}, code="invalid"),
    ],
    "without `format`, an `id` in `data` that no node would take": [
        plain("person of a hyphen", "INSERT", person("-")),
        plain("person with an underscore", "INSERT", person("_/ 😀")),
        *(
            plain(f"key {name}", "INSERT", {"id": key}, "odd")
            for name, key in {
                "with a slash": "a/b",
                "of a hyphen": "-",
                "with an underscore": "_x",
                "of a space": " ",
                "right to left": "\u202ecba",
                "with NUL": "a\0b",
                "of 10,000 characters": LONG,
            }.items()
        ),
    ],
    "with `format`, an `id` of event or row that no node would take": [
        own("own key of a hyphen", "INSERT", person("-"), code="invalid"),
        own("own key with a control", "INSERT", person("a\n"), code="invalid"),
        own("own key of 256", "INSERT", person("k" * 256), code="invalid"),
        own("own id with a control", "INSERT", person("m"), code="invalid", event="a\x7f"),
        own("own id with an underscore", "INSERT", person("m"), code="invalid", event="_x"),
        own("own id of 256", "INSERT", person("m"), code="invalid", event="e" * 256),
        own("own without an id", "INSERT", person("m"), code="invalid", event="@", id=...),
    ],
    "two keys of `data` equal but for case, `ID`, or a key that is no name": [
        plain("NAME and name", "INSERT", person("m", NAME="x"), code="invalid"),
        plain("ID and id", "INSERT", person("m", ID="n"), code="invalid"),
        plain("bookkeeping key", "UPDATE", person("p1", _version=1), code="invalid"),
        plain("key with a space", "INSERT", person("m", **{"a b": 1}), code="invalid"),
        plain("empty name of a key", "DELETE", {"id": "p1", "": 1}, code="invalid"),
        plain("key not ASCII", "INSERT", person("m", größe=1), code="invalid"),
        plain("key of 64", "INSERT", person("m", **{"k" * 64: 1}), code="invalid"),
        plain("two cases, undeclared", "INSERT", {"id": "a", "b": 1, "B": 2}, "wild", "invalid"),
        plain("ID, undeclared", "INSERT", {"id": "a", "ID": 1}, "never", "invalid"),
        plain("version, undeclared", "INSERT", {"id": "a", "_version": 1}, "wild", "invalid"),
        own("own NAME and name", "INSERT", person("m", NAME="x"), code="invalid"),
    ],
    "a key in another case than its field": [
        plain("NAME alone", "INSERT", {"id": "c1", "NAME": "Cy", "EMAIL": "c1"}),
        own("own NAME alone", "INSERT", {"id": "c2", "NAME": "Cy", "EMAIL": "c2"}),
        plain("table in another case", "UPDATE", person("c3"), "People"),
    ],
    "with `format`, a field of the envelope of a wrong type": [
        *(
            own(f"own {field} {value!r}", "INSERT", person("m"), code="invalid", **{field: value})
            for field, value in (
                ("after", ...),
                ("after", "1"),
                ("after", 1.5),
                ("timestamp", ...),
                ("timestamp", "yesterday"),
                ("fp", 7),
                ("schema", "1"),
                ("if", "absent"),
                ("if", {}),
                ("if", {"version": -1}),
                ("if", {"absent": False}),
                ("if", {"version": 1, "present": True}),
            )
        ),
        own("no changes", "TRANSACTION", {"changes": []}, "", "invalid"),
        own("a change that is none", "TRANSACTION", {"changes": [7]}, "", "invalid"),
        own("another table", "SCHEMA", Stubborn.declaration.to_json(), "people", "invalid"),
        own("no such setting", "SETTINGS", {"colour": "red"}, "", "invalid"),
        own("a window of nothing", "SETTINGS", {"window_s": 0}, "", "invalid"),
        own("a checkpoint of nothing", "CHECKPOINT", {}, "", "invalid"),
    ],
    "with `format`, a table that no SCHEMA declared": [
        own("own, no table", "INSERT", {"id": "a"}, "nowhere", "unknown_table"),
        own("own, undeclared table", "INSERT", {"id": "a"}, "wild", "unknown_table"),
        own("own, table of refused rows", "DELETE", {"id": "s1"}, "stubborn", "unknown_table"),
    ],
    "a declared table, and a field without a value where it has a default or may be null": [
        plain("fewer keys", "INSERT", person("d1")),
        plain("fewer keys in place of more", "UPDATE", person("p1")),
        own("own, fewer keys", "INSERT", person("d2")),
    ],
    "a declared table, and a field without a value where it must have one": [
        plain("no name", "INSERT", {"id": "m", "email": "m"}, "people", "invalid", "name"),
        plain("only a key", "UPDATE", {"id": "p2"}, "people", "invalid", "name"),
        plain("name null", "INSERT", person("m", name=None), "people", "not_null", "name"),
        plain("default null", "INSERT", person("m", age=None), "people", "not_null", "age"),
        own("own, no name", "INSERT", {"id": "m", "email": "m"}, "people", "invalid", "name"),
        own("own, name null", "INSERT", person("m", name=None), "people", "not_null", "name"),
    ],
    "a declared table, without `format`: a key that is not declared": [
        plain("a key too many", "INSERT", person("k1", extra={"a": 1}, origin="go")),
    ],
    "a declared table, with `format`: a key that is not declared": [
        own("own, a key too many", "INSERT", person("m", extra=1), "people", "invalid", "extra"),
    ],
    "a declared table, and a value of another type": [
        plain("name a number", "INSERT", person("m", name=7), "people", "datatype", "name"),
        plain("age text", "INSERT", person("m", age="7"), "people", "datatype", "age"),
        plain("age a fraction", "UPDATE", person("p2", age=7.5), "people", "datatype", "age"),
        plain("age a truth", "INSERT", person("m", age=True), "people", "datatype", "age"),
        plain("note a list", "INSERT", person("m", note=["a"]), "people", "datatype", "note"),
        own("own, age text", "INSERT", person("m", age="7"), "people", "datatype", "age"),
    ],
    "a declared table, and a value that a unique field has already": [
        plain("email twice", "INSERT", person("m", email="d"), "people", "unique", "email"),
        own("own, email twice", "INSERT", person("m", email="d"), "people", "unique", "email"),
    ],
    "a declared table, and a reference to no row, or the end of a row that is referred to": [
        plain("no owner", "INSERT", {"id": "t", "owner": "x"}, "tasks", "foreign_key", "owner"),
        plain("owner gone", "DELETE", {"id": "p1"}, "people", "foreign_key", "tasks.owner"),
        plain("parent gone", "DELETE", {"id": "t2"}, "tasks", "foreign_key", "tasks.parent"),
    ],
    "without `format`: INSERT of a row that is there, UPDATE or DELETE of one that is not": [
        plain("insert of what is there", "INSERT", person("p2", name="Bea")),
        plain("update of nothing", "UPDATE", person("u1")),
        plain("delete of nothing", "DELETE", {"id": "nobody"}),
        plain("format null", "INSERT", person("p2", name="Bo"), format=None),
        plain("no time, more fields", "INSERT", person("u2"), timestamp=..., trace="1", key=[]),
    ],
    "with `format`: INSERT of a row that is there, PATCH or DELETE of one that is not": [
        own("own insert of what is there", "INSERT", person("p2"), "people", "exists"),
        own("own patch of nothing", "PATCH", {"id": "nobody"}, "people", "not_found"),
        own("own delete of nothing", "DELETE", {"id": "nobody"}, "people", "not_found"),
    ],
    "a further GENESIS, or a SCHEMA that says nothing new": [
        own("founding again", "GENESIS", {"window_s": 1}, ""),
        own("founding of another", "GENESIS", {}, "", cluster="c-2"),
        declared("people once more", Person),
        own("fewer fields", "SCHEMA", {"table": "tasks", "columns": []}, "tasks"),
        own("a scale of text", "SCHEMA", SCALED, "scaled"),
        own("a scale of text, once more", "SCHEMA", SCALED, "scaled"),
    ],
    "a SCHEMA that contradicts the table, or declares none": [
        own("another type of age", "SCHEMA", AGE_OF_TEXT, "people", "incompatible"),
        own("no such type", "SCHEMA", ANY_TYPE, "new", "incompatible"),
        own("columns a number", "SCHEMA", {"table": "new", "columns": 7}, "new", "incompatible"),
        own("to an undeclared table", "SCHEMA", TO_WILD, "new", "incompatible", "a"),
    ],
    "without `format`, a table that no node declared": [
        plain("rows that were not adopted go on", "INSERT", {"id": "s3", "size": []}, "stubborn"),
        plain("a first row, later", "INSERT", {"id": "1", "x": 1}, "late"),
    ],
}

CASES: Final = [case for group in (BEFORE, AFTER) for cases in group.values() for case in cases]
DECLARED: Final = sum(len(cases) for cases in BEFORE.values())
"""So many records found and declare all that a node of the tests would else propose itself."""

VALUES: Final = [case.value or b"" for case in CASES]
"""The records as every log but Kafka's holds them."""

HALTS: Final = [
    own("newer format", "INSERT", person("n"), format=2),
    own("newer format, unknown operation", "MERGE", [], 7, format=2),
    Case("newer format, nothing else", record({"format": 2, "cluster": CLUSTER})),
    own("newer level", "SETTINGS", {"level": 2}, ""),
    own("code of another build", "SCHEMA", {"table": "new", "code": CODE}, "new"),
]
HALT_KIND: Final = "`format` above 1, a newer level, or code that is missing here, of this cluster"
LIMIT_KIND: Final = "over the log's record limit"


def people() -> dict[str, dict[str, Any]]:
    """The people that are left: of everything above, only what was applied."""
    ann = {"name": "Ann", "age": 18, "note": None}
    keys = ("p1", "p2", "p3", "i1", "i2", "i3", "c3", "d1", "d2", "k1", "u1", "u2", "-", "_/ 😀")
    rows = {key: {"id": key, **ann, "email": f"{key}@example.com"} for key in keys}
    rows["p2"]["name"] = "Bo"
    rows["i1"]["note"] = "again"
    rows["p4"] = {"id": "p4", **ann, "name": "Di", "email": "d"}
    rows |= {key: {"id": key, **ann, "name": "Cy", "email": key} for key in ("c1", "c2")}
    return rows
