"""The contract of table operations, as tests that a class of your own passes.

    class TestUsers(OperationsContract):
        @pytest.fixture
        def operations(self) -> TableOperations:
            return UserOperations(User)

        @pytest.fixture
        def sample_rows(self) -> list[dict[str, Json]]:
            return [{"id": "1", "name": "Ann"}, {"id": "2", "name": "Ben"}]

What a handler does becomes part of the replicated state machine: where it reads the clock, the
environment or a variable of its own, replicas part. The suite applies one story of events again
and again, on fresh databases, in other batches, time zones, locales, years and hash seeds, and
compares every outcome, every row image and all contents. It finds what these move; it cannot
prove that there is nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterlite.core import codec
from clusterlite.core.event import Change, Condition, Event
from clusterlite.core.fields import Json
from clusterlite.core.names import is_name
from clusterlite.core.operations import DeclaredOperations, TableOperations
from clusterlite.core.outcome import APPLIED, Applied
from clusterlite.core.schema import Table
from clusterlite.testing.scratch import (
    SHIFT_S,
    SURROUNDINGS,
    Rows,
    Scratch,
    stamp,
    trace,
    trace_elsewhere,
)

FIELDS = ("id", "operation", "table_name", "data", "timestamp")
"""What every event has, whoever wrote it."""


class GivenRows:
    """Rows in a dict, as handlers are given them (`operations.TableRows`)."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Json]] = {}

    def fetch(self, key: str) -> dict[str, Json] | None:
        return self._rows.get(key)

    def upsert(self, row: Any) -> None:
        self._rows[row["id"]] = dict(row)

    def remove(self, key: str) -> bool:
        return self._rows.pop(key, None) is not None


class OperationsContract:
    """Inherit, give the fixtures `operations` and `sample_rows`, and the contract is tried.

    operations: of a class and an entity that other processes can import.
    sample_rows: at least two full rows in canonical JSON form, with different keys and
        different unique values, that refer to no other table.
    """

    def expected(self, row: dict[str, Json]) -> dict[str, Json]:
        """What is stored of a sample row; override it where a handler changes rows."""
        return row

    @pytest.fixture
    def scratch(self, operations: TableOperations, tmp_path: Path) -> Iterator[Scratch]:
        """A fresh replica with the table declared."""
        scratch = Scratch(tmp_path / "scratch", operations)
        yield scratch
        scratch.close()

    # What the table is.

    def test_the_table_has_one_name(self, operations: TableOperations) -> None:
        assert is_name(operations.table_name)
        assert operations.create_table().name == operations.table_name

    def test_the_declaration_is_the_same_each_time_and_reads_as_it_is_written(
        self, operations: TableOperations
    ) -> None:
        declared = operations.create_table()
        assert operations.create_table() == declared
        assert Table.from_json(json.loads(json.dumps(declared.to_json()))) == declared

    def test_declaring_the_table_again_changes_nothing(self, scratch: Scratch) -> None:
        before = scratch.table.schema
        (again,) = scratch.apply([scratch.declaration(2)])
        assert again.outcome.verdict == APPLIED
        assert again.rows == ()
        assert scratch.table.schema == before

    def test_the_declaration_names_the_code_that_is_replaced_at_apply(
        self, operations: TableOperations
    ) -> None:
        code = operations.create_table().code
        if not _replaces_apply(operations):
            assert code is None, "no handler is replaced"
            return
        assert code is not None, "handlers that no SCHEMA event names are never called"
        assert code.version == operations.apply_version

    # The events that it makes.

    def test_a_create_event_inserts_the_full_row(
        self, operations: TableOperations, sample_rows: Rows
    ) -> None:
        for row in sample_rows:
            event = _decoded(operations.create_event(stamp(7, 5), row, 3), operations)
            assert event.operation == "INSERT"
            assert event.data == row
            assert event.changes[0].schema == 3

    def test_an_update_event_carries_the_full_row_and_the_condition(
        self, operations: TableOperations, sample_rows: Rows
    ) -> None:
        for condition in (None, Condition(version=4), Condition(present=True)):
            record = operations.update_event(stamp(7, 5), sample_rows[0], 3, condition)
            event = _decoded(record, operations)
            assert event.operation == "UPDATE"
            assert event.data == sample_rows[0]
            assert event.changes[0].schema == 3
            assert event.changes[0].condition == condition

    def test_a_delete_event_carries_the_key_and_the_condition(
        self, operations: TableOperations, sample_rows: Rows
    ) -> None:
        key = sample_rows[0]["id"]
        for condition in (None, Condition(version=4)):
            event = _decoded(operations.delete_event(stamp(7, 5), key, condition), operations)
            assert event.operation == "DELETE"
            assert event.changes[0].key == key
            assert event.changes[0].condition == condition

    # What its events do, and how its rows are read.

    def test_created_rows_are_read_one_by_one_and_all_by_key(
        self, scratch: Scratch, operations: TableOperations, sample_rows: Rows
    ) -> None:
        assert operations.get_all(scratch.rows) == []
        _create(scratch, sample_rows)
        for row in sample_rows:
            assert operations.get(scratch.rows, row["id"]) == self.expected(row)
        wanted = sorted(map(self.expected, sample_rows), key=lambda row: str(row["id"]))
        assert operations.get_all(scratch.rows) == wanted
        assert operations.get(scratch.rows, "no such row") is None

    def test_a_second_create_of_a_row_is_rejected_and_changes_nothing(
        self, scratch: Scratch, operations: TableOperations, sample_rows: Rows
    ) -> None:
        _create(scratch, sample_rows)
        before = operations.get_all(scratch.rows)
        (again,) = scratch.apply([operations.create_event(stamp(99), sample_rows[0], 1)])
        assert again.outcome.code == "exists"
        assert operations.get_all(scratch.rows) == before

    def test_an_update_replaces_the_row_or_creates_it(
        self, scratch: Scratch, operations: TableOperations, sample_rows: Rows
    ) -> None:
        first, second, *_ = sample_rows
        replaced = {**second, "id": first["id"]}
        _applied(scratch.apply([operations.update_event(stamp(20), first, 1)]))
        _applied(scratch.apply([operations.update_event(stamp(21), replaced, 1)]))
        assert operations.get_all(scratch.rows) == [self.expected(replaced)]

    def test_a_deleted_row_is_gone_and_the_others_stay(
        self, scratch: Scratch, operations: TableOperations, sample_rows: Rows
    ) -> None:
        _create(scratch, sample_rows)
        key = sample_rows[0]["id"]
        _applied(scratch.apply([operations.delete_event(stamp(20), key)]))
        assert operations.get(scratch.rows, key) is None
        assert len(operations.get_all(scratch.rows)) == len(sample_rows) - 1
        (again,) = scratch.apply([operations.delete_event(stamp(21), key)])
        assert again.outcome.code == "not_found"

    def test_handlers_write_the_rows_that_they_are_given(
        self, operations: TableOperations, sample_rows: Rows
    ) -> None:
        rows, table = GivenRows(), operations.table_name
        for row in sample_rows:
            operations.handle_upsert(rows, Change("INSERT", table, row["id"], dict(row)))
            assert rows.fetch(row["id"]) == self.expected(row)
        key = sample_rows[0]["id"]
        operations.handle_delete(rows, Change("DELETE", table, key, {"id": key}))
        assert rows.fetch(key) is None

    # Determinism.

    def test_the_same_events_give_the_same_contents_and_images_each_time(
        self, operations: TableOperations, sample_rows: Rows, tmp_path: Path
    ) -> None:
        first = trace(tmp_path / "1", operations, sample_rows)
        second = trace(tmp_path / "2", operations, sample_rows)
        assert first == second, "it depends on something else than the events"

    def test_how_the_log_is_cut_into_batches_does_not_matter(
        self, operations: TableOperations, sample_rows: Rows, tmp_path: Path
    ) -> None:
        whole = trace(tmp_path / "whole", operations, sample_rows)
        for size in (1, 3):
            assert trace(tmp_path / f"{size}", operations, sample_rows, size) == whole

    def test_clock_time_zone_locale_and_hash_seed_do_not_matter(
        self, operations: TableOperations, sample_rows: Rows, tmp_path: Path
    ) -> None:
        here = trace(tmp_path / "here", operations, sample_rows)
        for number, environment in enumerate(SURROUNDINGS):
            there = trace_elsewhere(
                tmp_path / f"there-{number}",
                operations,
                sample_rows,
                environment,
                number * SHIFT_S,
            )
            assert there == here, f"it is otherwise under {environment}"


def _replaces_apply(operations: TableOperations) -> bool:
    own, default = type(operations), DeclaredOperations
    return (
        own.handle_upsert is not default.handle_upsert
        or own.handle_delete is not default.handle_delete
    )


def _decoded(record: bytes, operations: TableOperations) -> Event:
    """The event, once the five fields of every event are seen to be there."""
    spelled = json.loads(record)
    assert set(FIELDS) <= spelled.keys()
    event = codec.decode(record, 0)
    assert event is not None
    assert event.problem is None
    assert (event.id, event.timestamp) == (stamp(7).id, stamp(7).timestamp)
    assert event.table == operations.table_name
    assert (event.format, event.after) == (1, 5)
    return event


def _create(scratch: Scratch, rows: Rows) -> None:
    create = scratch.operations.create_event
    _applied(scratch.apply([create(stamp(10 + n), row, 1) for n, row in enumerate(rows)]))


def _applied(done: list[Applied]) -> None:
    for applied in done:
        assert applied.outcome.verdict == APPLIED, applied.outcome
