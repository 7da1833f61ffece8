"""One fixed log, byte by byte, and the hashes that every replica of format 1 has after it.

A change of these numbers means that two builds apply the same log differently: that needs a new
apply level, not a new number here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterlite.log.base import Record
from tests.support import replay

COLUMNS = [
    {"name": "text", "type": "text", "required": True},
    {"name": "integer", "type": "integer", "default": 7},
    {"name": "real", "type": "real"},
    {"name": "boolean", "type": "boolean"},
    {"name": "timestamp", "type": "timestamp"},
    {"name": "date", "type": "date"},
    {"name": "decimal", "type": "decimal", "scale": 2},
    {"name": "uuid", "type": "uuid"},
    {"name": "blob", "type": "blob"},
    {"name": "json", "type": "json"},
]
ROW = {
    "id": "k",
    "text": "Grüße 𝄞",
    "integer": -(2**63),
    "real": 0.1,
    "boolean": True,
    "timestamp": "2026-11-22T21:00:00.5+01:00",
    "date": "2026-11-22",
    "decimal": "-12.3",
    "uuid": "018F3C5E-7B1A-7C3D-9E4F-0123456789AB",
    "blob": "AP8=",
    "json": {"b": [1, 2.5], "a": None},
}


def event(number: int, operation: str, table: str, data: Any, **more: Any) -> bytes:
    return json.dumps(
        {
            "id": f"e-{number}",
            "operation": operation,
            "table_name": table,
            "data": data,
            "timestamp": "2026-11-22T20:00:00.123456Z",
            "format": 1,
            "cluster": "c-1",
            "node": "n",
            "actor": "",
            "after": -1,
            "fp": "",
            **more,
        }
    ).encode()


VALUES = [
    event(0, "GENESIS", "", {"level": 1, "window_positions": 1_000_000, "window_s": 86_400}),
    event(1, "SCHEMA", "things", {"table": "things", "revision": 0, "columns": COLUMNS}),
    event(2, "INSERT", "things", ROW, schema=1),
    event(3, "INSERT", "things", ROW, schema=1),  # exists
    event(4, "INSERT", "things", {**ROW, "id": "l", "real": 1e300}, schema=1),
    event(5, "UPDATE", "things", {"id": "l", "text": "new", "real": -0.0}, schema=1),
    event(6, "PATCH", "things", {"id": "k", "json": {"b": None, "c": "é"}}, schema=1),
    event(6, "DELETE", "things", {"id": "k"}),  # a duplicate
    event(8, "DELETE", "things", {"id": "m"}),  # not_found
    event(9, "DELETE", "things", {"id": "l"}, **{"if": {"version": 4}}),  # precondition_failed
    b"\xff no JSON",
    event(11, "INSERT", "things", ROW, cluster="another"),  # foreign
    b'{"operation":"INSERT","table_name":"other","data":{"id":"x","a":1,"b":[true],"c":null}}',
    event(13, "BARRIER", "", {}),
    event(14, "FENCE", "", {}),
    event(
        15,
        "TRANSACTION",
        "",
        {
            "changes": [
                {"operation": "DELETE", "table_name": "things", "data": {"id": "l"}},
                {"operation": "INSERT", "table_name": "things", "data": {**ROW, "id": "m"}},
            ]
        },
    ),
]
LOG = [Record(position, 1_795_377_600_000, value) for position, value in enumerate(VALUES)]

VERDICTS = [
    *("applied", "applied", "applied", "exists", "applied", "applied", "applied"),
    *("applied", "not_found", "precondition_failed", "unreadable", "foreign"),
    *("applied", "applied", "never", "applied"),
]
RUNNING = "438a5d19160371911bb676147848336f23c62235e0700f0ac3337903168e4eea"
CONTENT = "fc7bc991a148044c59c2a1c279bd8d9e7847d6671b6a42930c0824030669f1cd"


@pytest.mark.parametrize("cuts", [(), (3, 4, 8), tuple(range(16))])
def test_the_hashes_of_the_fixed_log(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    replica = replay(tmp_path, LOG, cuts)
    found = replica.verified()
    replica.close()
    assert (found.running, found.content) == (RUNNING, CONTENT)


def test_its_verdicts(tmp_path: Path) -> None:
    replica = replay(tmp_path, [])
    outcomes = replica.apply(*VALUES)
    replica.close()
    assert [outcome.code or outcome.verdict for outcome in outcomes] == VERDICTS
    assert outcomes[7].position == 6  # of a duplicate, the outcome that its id has already
