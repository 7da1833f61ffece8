"""The model and a replica give every record the same outcome, and end with the same rows.

They share no code, so what both say is what the documents say, or both misread them alike.
Records are drawn from a small world in which keys, ids and values collide often, and some are
of no shape at all.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clusterlite.log.base import Record
from clusterlite.testing.history import Model, Outcome
from tests.support import CLUSTER, Replica

TIME = "2026-11-22T20:00:00Z"

COLUMNS: list[dict[str, Any]] = [
    {"name": "name", "type": "text", "required": True, "unique": True},
    {"name": "size", "type": "integer", "default": 7},
    {"name": "owner", "type": "text", "references": "things"},
    {"name": "price", "type": "decimal", "scale": 2},
    {"name": "doc", "type": "json"},
    {"name": "real", "type": "real"},
    {"name": "flag", "type": "boolean"},
    {"name": "at", "type": "timestamp"},
    {"name": "day", "type": "date"},
    {"name": "blob", "type": "blob"},
    {"name": "uuid", "type": "uuid"},
]

VALUES: dict[str, list[Any]] = {
    "name": ["x", "y", "z", "é", None, 3],
    "size": [1, 2**63 - 1, True, "1", 1.0, None],
    "owner": ["a", "b", "c", None],
    "price": ["1.5", "1.500", "1.505", "-0", 3, 1.5, None],
    "doc": [{"a": 1, "b": {"c": 2}}, {"a": None}, {"b": {"d": [1]}}, [1], "s", 1.0, None],
    "real": [1, -0.0, 1e300, "1", None],
    "flag": [True, False, 1, None],
    "at": [TIME, "2026-11-22t21:00:00.12345678+01:00", "2026-11-22", "2026-13-01T00:00:00Z"],
    "day": ["2026-11-22", "2026-02-30", 3],
    "blob": ["aGk=", "aGl=", "?", ""],
    "uuid": ["018F3C5E-7B1A-7C3D-9E4F-0123456789AB", "018f"],
    "SIZE": [4],
    "more": [1, "x", [1], True, None, 1.5],
    "no name": [1],
}

keys = st.sampled_from(["a", "b", "c", "d"])
ids = st.integers(0, 60).map("e-{}".format)
tables = st.sampled_from(["things", "things", "Things", "wild", "late", "1"])
conditions = st.sampled_from(
    [
        None,
        None,
        None,
        {"present": True},
        {"absent": True},
        {"version": 3},
        {"version": 4},
        {"x": 1},
    ]
)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    odd = {"SIZE", "no name"}
    usual = [name for name in VALUES if name not in odd and name != "more"]
    names = draw(st.lists(st.sampled_from(usual), max_size=3, unique=True))
    if draw(st.integers(0, 9)) == 0:
        names.append(draw(st.sampled_from(["SIZE", "no name", "more"])))
    row = {name: draw(st.sampled_from(VALUES[name])) for name in ["name", *names]}
    return {"id": draw(keys), **row}


@st.composite
def changes(draw: st.DrawFn, operations: list[str]) -> dict[str, Any]:
    operation = draw(st.sampled_from(operations))
    row = draw(rows())
    if operation in {"DELETE", "ASSERT"} or (operation == "PATCH" and draw(st.booleans())):
        row.pop("name")
    change = {
        "operation": operation,
        "table_name": draw(tables),
        "data": {"id": row["id"]} if operation in {"DELETE", "ASSERT"} else row,
        "schema": draw(st.sampled_from([1, 99])),
    }
    condition = draw(conditions)
    return change if condition is None else {**change, "if": condition}


def ours(event_id: str, spelled: dict[str, Any]) -> dict[str, Any]:
    envelope = {"timestamp": TIME, "format": 1, "cluster": CLUSTER, "node": "n", "after": 0}
    return {"id": event_id, "table_name": "", "data": {}, **envelope, **spelled}


ROW_OPERATIONS = ["INSERT", "INSERT", "UPDATE", "PATCH", "DELETE"]
own = st.builds(ours, ids, changes(ROW_OPERATIONS))
transactions = st.builds(
    lambda event_id, made: ours(event_id, {"operation": "TRANSACTION", "data": {"changes": made}}),
    ids,
    st.lists(changes([*ROW_OPERATIONS, "ASSERT"]), max_size=4),
)
marks = st.builds(
    lambda event_id, operation: ours(event_id, {"operation": operation}),
    ids,
    st.sampled_from(["FENCE", "BARRIER", "GENESIS", "CHECKPOINT", "DROP"]),
)


def elsewhere(event_id: str | None, operation: str, table: str, row: dict[str, Any]) -> Any:
    spelled = {"operation": operation, "table_name": table, "data": row}
    return spelled if event_id is None else {"id": event_id, **spelled}


foreign = st.builds(
    elsewhere, st.none() | ids, st.sampled_from(["INSERT", "UPDATE", "DELETE"]), tables, rows()
)


@st.composite
def declarations(draw: st.DrawFn) -> dict[str, Any]:
    table = draw(st.sampled_from(["things", "wild", "late"]))
    base = COLUMNS if table == "things" else COLUMNS[1:2]
    more = [
        {"name": "more", "type": "any" if draw(st.integers(0, 9)) == 0 else "integer"},
        {"name": "more", "type": "integer", "unique": True},
        {"name": "extra", "type": "text", "default": "d", "required": True},
        {"name": "extra", "type": "text", "required": True},
        {"name": "link", "type": "text", "references": "late"},
        {"name": "name", "type": "text"},
        {"name": "size", "type": "integer", "default": draw(st.integers(7, 8))},
        {"name": "size", "type": "integer", "default": 7, "unique": True},
    ]
    added = draw(st.lists(st.sampled_from(more), max_size=2))
    names = {column["name"] for column in added}
    columns = [column for column in base if column["name"] not in names] + added
    data = {"table": table, "revision": draw(st.integers(0, 1)), "columns": columns}
    return ours(draw(ids), {"operation": "SCHEMA", "table_name": table, "data": data})


@st.composite
def twisted(draw: st.DrawFn) -> dict[str, Any]:
    """An event of which one field is not as it should be."""
    event = dict(draw(own | transactions | marks | foreign))
    name = draw(
        st.sampled_from(
            ["id", "operation", "table_name", "data", "format", "cluster", "after", "fp", "if"]
        )
    )
    event[name] = draw(st.sampled_from([None, 0, 1, "", "@1", "x", {}, [], True, {"id": "a"}]))
    if event.get("format") and draw(st.integers(0, 4)) == 0:
        del event[name]
    return event


records = st.one_of(own, own, transactions, marks, foreign, declarations(), twisted()).map(
    lambda event: json.dumps(event).encode()
) | st.sampled_from(
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"id":"e-1","id":"e-2"}',
        b'{"id":NaN}',
        b'{"id":18446744073709551616}',
        b'{"id":"\\ud800"}',
        b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
        b'\xef\xbb\xbf{"id":"e-1"}',
        b'{"id":1e999}',
    ]
)

DECLARED = [
    ours("g", {"operation": "GENESIS"}),
    ours(
        "s",
        {
            "operation": "SCHEMA",
            "table_name": "things",
            "data": {"table": "things", "columns": COLUMNS},
        },
    ),
]


def event_has_one(model: Model, outcome: Outcome) -> bool:
    """Whether its id was judged before: a replica then tells what it has."""
    known = model.outcomes.get(outcome.event)
    return known is not None and known.position != outcome.position


@settings(max_examples=250, deadline=None)
@given(st.lists(records, max_size=40))
def test_the_model_judges_every_record_as_a_replica_does(drawn: list[bytes]) -> None:
    values = [*(json.dumps(event).encode() for event in DECLARED), *drawn]
    model = Model()
    with tempfile.TemporaryDirectory() as folder:
        replica = Replica(Path(folder))
        try:
            for position, value in enumerate(values):
                told = replica.applier.apply([Record(position, 1000, value)])[0].outcome
                own = model.feed(Record(position, 1000, value))
                if event_has_one(model, own):
                    own = model.outcomes[own.event]
                judged = (own.position, own.event, own.verdict, own.code, own.change, own.version)
                said = (told.position, told.event_id, told.verdict, told.code)
                assert judged == (*said, told.change, told.version), value
            for name, table in model.tables.items():
                rows = [cell.row for _, cell in sorted(table.cells.items())]
                assert replica.rows(name) == rows
                for key, cell in table.cells.items():
                    assert replica.version(key, name) == cell.version
                    assert model.at(name, key, model.position) == cell
            assert model.tables.keys() == replica.applier.tables.keys()
        finally:
            replica.close()


def test_the_window_forgets_alike() -> None:
    """Event ids are remembered for so many positions and so long; then `expired` guards them."""

    def insert(number: int, after: int) -> bytes:
        change = {"operation": "UPDATE", "table_name": "things", "schema": 1}
        row = {"id": "a", "name": f"n-{number}"}
        return json.dumps(ours(f"e-{number}", {**change, "data": row, "after": after})).encode()

    window = ours("g", {"operation": "GENESIS", "data": {"window_positions": 1, "window_s": 1}})
    values = [json.dumps(window).encode(), json.dumps(DECLARED[1]).encode()]
    values += [insert(number % 1100, number) for number in range(4500)]
    model = Model()
    with tempfile.TemporaryDirectory() as folder:
        replica = Replica(Path(folder))
        log = [Record(position, 2 * position, value) for position, value in enumerate(values)]
        late = [Record(9000, 20000, insert(2000, 10)), Record(9001, 20000, insert(7, 10))]
        told = replica.applier.apply([*log, *late])
        own = [model.feed(record) for record in [*log, *late]]
        replica.close()
    assert model.floor == 8192
    assert {outcome.verdict for outcome in own} == {"applied", "duplicate", "rejected"}
    for applied, outcome in zip(told, own, strict=True):
        if outcome.verdict != "duplicate":
            said = (applied.outcome.position, applied.outcome.verdict, applied.outcome.code)
            assert said == (outcome.position, outcome.verdict, outcome.code)
    assert own[-2].code == "expired"
