"""The first program and a node of ours on one log: each reads what the other writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from clusterlite.core import codec
from clusterlite.core.event import OPERATIONS, ROW_OPERATIONS, Change, Stamp
from clusterlite.node.ids import timestamp
from clusterlite.testing.cluster.kafka import KafkaCluster
from tests.go_program import GOLDEN, FileSide, GoSide, KafkaSide, go_decode, go_event, go_rows
from tests.http_node import check_problem, http_node, make_node, position, user
from tests.processes import WAIT_S, Answer, Serve

ANN = {"id": "e5145b64-49eb-4f59-8634-e56a10e130e4", "name": "Ann", "email": "ann@example.com"}
BEN = "8226ba44-6c8d-411c-a19b-4a7072bc798f"
WRITES = 100


@pytest.fixture(params=["file", "kafka"])
def side(request: pytest.FixtureRequest, tmp_path: Path, topic: str) -> Iterator[GoSide]:
    """The log as the first program reaches it."""
    opened: GoSide
    if request.param == "file":
        opened = FileSide(tmp_path / "log")
    else:
        broker: KafkaCluster = request.getfixturevalue("kafka")
        opened = KafkaSide(broker.address, topic)
    yield opened
    opened.close()


@pytest.fixture
def node(side: GoSide, tmp_path: Path) -> Iterator[Serve]:
    """A node on that log; started only once a test asks for it."""
    with http_node(tmp_path, log=side.url) as serve:
        yield serve


def read(node: Serve, path: str, at_least: int) -> Answer:
    """A read that sees everything up to a position."""
    cluster = node.request("GET", "/-/cluster").json["cluster"]
    return node.request("GET", path, headers={"ClusterLite-Token": f"{cluster}:{at_least}"})


def fate(node: Serve, event: str, at: int) -> dict[str, Any]:
    """What became of the event at a position."""
    status: dict[str, Any] = read(node, f"/-/events/{quote(event)}", at).json
    assert status["position"] == at, status
    return status


def test_the_golden_lines_are_what_the_first_programs_reader_takes() -> None:
    assert [go_decode(line)["operation"] for line in GOLDEN] == ["INSERT", "UPDATE", "DELETE"]
    assert go_rows(GOLDEN) == {ANN["id"]: ANN}
    assert go_rows(GOLDEN[:2]).keys() == {ANN["id"], BEN}
    for line in GOLDEN:
        event = go_decode(line)
        assert list(event) == ["id", "operation", "table_name", "data", "timestamp"]
        assert list(event["data"]) == sorted(event["data"])
        assert json.dumps(event, separators=(",", ":")).encode() == line


def test_a_node_joins_a_log_that_the_first_program_has_written_from_the_start(
    side: GoSide, tmp_path: Path
) -> None:
    positions = side.append(*GOLDEN)
    assert positions == [0, 1, 2]
    extra = side.append(
        go_event("INSERT", {"id": "twice", "name": "Old", "email": "o"}, event_id="x-1"),
        go_event("INSERT", {"id": "twice", "name": "New", "email": "n"}, event_id="x-2"),
        go_event("INSERT", {"id": "o-1", "total": 12}, "orders", "x-3"),
    )
    with http_node(tmp_path, log=side.url) as node:
        twice = {"id": "twice", "name": "New", "email": "n"}
        assert node.request("GET", "/users").json == [ANN, twice]
        assert node.request("GET", f"/users/{ANN['id']}").headers["etag"] == '"0"'
        assert node.request("GET", "/users/twice").headers["etag"] == f'"{extra[1]}"'
        assert node.request("GET", f"/users/{BEN}").status == 404
        for line, at in zip(GOLDEN, positions, strict=True):
            assert fate(node, go_decode(line)["id"], at)["status"] == "applied"
        replaced = node.request("PUT", f"/users/{ANN['id']}", user("Anna"), {"If-Match": '"0"'})
        assert replaced.status == 200
        check_problem(node.request("POST", "/users", user(id="twice")), 409, "exists")
    operations = [go_decode(value)["operation"] for value in side.records().values()]
    assert operations.count("GENESIS") == 1
    assert operations.count("SCHEMA") == 3, "one for each table that the node declares"


def test_a_node_whose_declaration_the_rows_break_does_not_start_and_names_them(
    side: GoSide, tmp_path: Path
) -> None:
    """A value of another type, which the first program's table took as it came."""
    side.append(*GOLDEN, go_event("INSERT", {"id": "seven", "name": [7], "email": "x"}))
    node = make_node(tmp_path, log=side.url).start(ready=False)
    assert node.process is not None
    assert node.process.wait(WAIT_S) == 3
    last = node.said().splitlines()[-1]
    assert last.startswith("clusterlite: ")
    assert "seven" in last
    assert "serving" not in node.said()


def write(node: Serve, number: int, rows: dict[str, dict[str, Any]]) -> tuple[str, Answer]:
    """One write over HTTP: mostly a new row, else an earlier one of this kind replaced or gone."""
    if number % 5 == 3:
        key = f"own-{number - 3:03}"
        answer = node.request("PUT", f"/users/{key}", user(f"Again {number}"))
        rows[key] = user(f"Again {number}", id=key)
    elif number % 5 == 4:
        key = f"own-{number - 3:03}"
        answer = node.request("DELETE", f"/users/{key}")
        del rows[key]
    else:
        key = f"own-{number:03}"
        answer = node.request("POST", "/users", user(f"New {number}", id=key))
        rows[key] = user(f"New {number}", id=key)
    assert answer.status in {200, 201, 204}, answer
    return key, answer


def test_golden_lines_between_a_nodes_own_writes(side: GoSide, node: Serve) -> None:
    rows: dict[str, dict[str, Any]] = {}
    versions: dict[str, int] = {}
    sent: list[bytes] = []
    for number in range(WRITES):
        key, answer = write(node, number, rows)
        versions[key] = position(answer)
        if number in {WRITES // 4, WRITES // 2, WRITES * 3 // 4}:
            line = GOLDEN[len(sent)]
            sent.append(line)
            (at,) = side.append(line)
            key = go_decode(line)["data"]["id"]
            versions[key] = at
            there = read(node, f"/users/{key}", at).status == 200
            assert there == (key in go_rows(sent))
    assert sent == GOLDEN
    rows[ANN["id"]] = ANN
    (again, *_) = side.append(*GOLDEN)
    listed = read(node, "/users", again + 2).json
    assert listed == [rows[key] for key in sorted(rows)], "a record that came twice had an effect"
    for key in rows:
        assert node.request("GET", f"/users/{key}").headers["etag"] == f'"{versions[key]}"', key
    records = side.records()
    for key, at in versions.items():
        assert json.loads(records[at])["data"]["id"] == key, at
    assert go_rows(records.values()) == {row["id"]: row for row in listed}


def test_events_without_a_format_are_judged_by_the_first_programs_rules(
    side: GoSide, node: Serve
) -> None:
    row = {"id": "r", "name": "Ann", "email": "a"}
    records = {
        "insert": go_event("INSERT", row, event_id="insert"),
        "insert again": go_event("INSERT", row | {"name": "Ben"}, event_id="insert again"),
        "update": go_event("UPDATE", row | {"id": "made"}, event_id="update"),
        "delete": go_event("DELETE", {"id": "absent"}, event_id="delete"),
        "same id": go_event("DELETE", {"id": "made"}, event_id="insert"),
        "more": go_event("INSERT", row | {"id": "more", "age": 7}, event_id="more", origin="go"),
        "less": go_event("INSERT", {"id": "less", "name": "x"}, event_id="less"),
        "no key": go_event("INSERT", {"name": "x", "email": "y"}, event_id="no key"),
        "number": go_event("INSERT", row | {"id": 7}, event_id="number"),
        "merge": go_event("MERGE", row, event_id="merge"),
        "patch": go_event("PATCH", row, event_id="patch"),
        "new table": go_event("INSERT", {"id": "o", "total": 1}, "orders", "new table"),
        "foreign": go_event("DELETE", {"id": "r"}, event_id="foreign", cluster="other"),
    }
    at = dict(zip(records, side.append(*records.values()), strict=True))
    last = max(at.values())
    found = {name: read(node, f"/-/events/{quote(name)}", last).json for name in records}
    invalid = ("less", "no key", "number", "merge", "patch")
    codes = dict.fromkeys(invalid, "invalid") | {"foreign": "foreign"}
    assert {name: found[name]["code"] for name in codes} == codes
    applied = records.keys() - codes.keys() - {"same id"}
    assert {found[name]["status"] for name in applied} == {"applied"}
    assert all(found[name]["position"] == at[name] for name in applied | codes.keys())
    assert found["same id"]["status"] == "unseen", "that is no event's id"
    assert {row["id"]: row["name"] for row in read(node, "/users", last).json} == {
        "r": "Ben",
        "made": "Ann",
        "more": "Ann",
    }
    assert node.request("GET", "/users/r").headers["etag"] == f'"{at["insert again"]}"'


def test_a_record_without_an_id_is_named_by_its_position_and_none_stops_a_node(
    side: GoSide, node: Serve
) -> None:
    unreadable = (b"", b"\xff\x00", b"null", b"[]", b'{"id":', b'{"id":"x","id":"y"}')
    nameless = go_event("INSERT", {"id": "nameless", "name": "Ann", "email": "a"})
    positions = side.append(*unreadable, nameless, go_event("DELETE", {"id": 7}))
    for at in positions[: len(unreadable)]:
        status = fate(node, f"@{at}", at)
        assert (status["status"], status["code"]) == ("rejected", "unreadable")
    assert fate(node, f"@{positions[-2]}", positions[-2])["status"] == "applied"
    assert fate(node, f"@{positions[-1]}", positions[-1])["code"] == "invalid"
    found = node.request("GET", "/users/nameless")
    assert found.headers["etag"] == f'"{positions[-2]}"'
    assert node.request("POST", "/users", user()).status == 201


def test_the_first_programs_reader_takes_every_record_that_a_node_writes(
    side: GoSide, node: Serve
) -> None:
    key = {"Idempotency-Key": "é"}
    assert node.request("POST", "/users", user('漢 \u2028 \\ " \x01', id="a"), key).status == 201
    assert node.request("PUT", "/users/b", user("Ben"), {"If-None-Match": "*"}).status == 201
    assert node.request("PUT", "/users/c", user("Cid")).status == 201
    assert node.request("DELETE", "/users/c").status == 204
    listed = node.request("GET", "/users").json
    assert go_rows(side.records().values()) == {row["id"]: row for row in listed}
    node.request("POST", "/users", [user(id="d"), user(id="e")])
    node.request("POST", "/-/events/lost/settle")
    read(node, "/users", 1_000_000)  # beyond the log: it is asked where it ends
    written = {go_decode(value)["operation"] for value in side.records().values()}
    expected = {"GENESIS", "SCHEMA", "INSERT", "UPDATE", "DELETE", "TRANSACTION", "FENCE"}
    assert written == expected | ({"BARRIER"} if side.url.startswith("kafka") else set())


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_operation_keeps_the_five_fields(operation: str) -> None:
    stamp = Stamp("01a2079b-0000-7000-8000-000000000001", timestamp(), "c-1", "n", -1, "ann", "ff")
    change = Change("PATCH", "users", "a", {"id": "a", "name": "é"}, 3)
    if operation == "TRANSACTION":
        event = go_decode(codec.encode_transaction(stamp, [change]))
    else:
        table = "users" if operation in {"SCHEMA", *ROW_OPERATIONS} else ""
        event = go_decode(codec.encode(stamp, operation, table, change.data if table else None))
        assert event["table_name"] == table
    assert (event["id"], event["operation"]) == (stamp.id, operation)
    assert list(event)[:5] == ["id", "operation", "table_name", "data", "timestamp"]
