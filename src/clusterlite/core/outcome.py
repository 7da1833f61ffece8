"""Outcomes: the verdict on an event, the same on every replica."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

APPLIED: Final = "applied"
REJECTED: Final = "rejected"
NEVER: Final = "never"
"""A FENCE closed this id before anything else had it."""
DUPLICATE: Final = "duplicate"
"""Of a record whose event id has an outcome already; never stored."""

REJECTIONS: Final = {
    "unreadable": "the record is not JSON as the rules accept it",
    "foreign": "the event names another cluster",
    "invalid": "the event's operation or shape is not one that the rules know",
    "expired": "the event is older than the window in which its id is remembered",
    "unknown_table": "no such table is declared",
    "exists": "a row with this id is there already",
    "not_found": "no row with this id is there",
    "precondition_failed": "the row is not as the precondition asks",
    "datatype": "a value does not fit its field's type",
    "not_null": "a field that must have a value has none",
    "unique": "another row has the same value in a unique field",
    "foreign_key": "the reference points to no row, or a row is still referred to",
    "check": "a value does not meet its field's check",
    "incompatible": "the declaration contradicts the table as the log declares it",
    "not_adoptable": "rows of the table do not fit the declaration",
    "skipped": "an operator closed a record that cannot be applied",
}
"""The closed list of codes. A new one is a new apply level."""


class Row(NamedTuple):
    """A row image: what a change left behind.

    Args:
        table: the table's declared name.
        key: the row's id.
        fields: every field but the id, as stored, by name in code point order; None where the
            row is gone.
    """

    table: str
    key: str
    fields: dict[str, Any] | None


class Result(NamedTuple):
    """What one change did: operation, table, key, and whether the row is new."""

    operation: str
    table: str
    key: str
    created: bool


class Outcome(NamedTuple):
    """The verdict on one event.

    Args:
        position: where it was given; also the version of every row that the event wrote.
        event_id: of the event.
        verdict: `applied`, `rejected`, `never` or, unstored, `duplicate`.
        code: of `REJECTIONS` where rejected, else None.
        field: the field that the rejection names, else None.
        change: index of the change that failed.
        version: of the row found at judgement where a precondition or existence failed.
        detail: further words for a person (ids that block an adoption), else None.
        fp: fingerprint of the request that made the event.
        results: a change each, where applied.
    """

    position: int
    event_id: str
    verdict: str
    code: str | None = None
    field: str | None = None
    change: int = 0
    version: int | None = None
    detail: str | None = None
    fp: str = ""
    results: tuple[Result, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `GET /-/events/{id}` shows it."""
        shown: dict[str, Any] = {
            "id": self.event_id,
            "status": self.verdict,
            "position": self.position,
        }
        if self.verdict == REJECTED:
            shown |= {"code": self.code, "change": self.change}
            shown |= {
                name: value
                for name in ("field", "version", "detail")
                if (value := getattr(self, name)) is not None
            }
        if self.results:
            shown["changes"] = [result._asdict() for result in self.results]
        return shown


class Applied(NamedTuple):
    """What the applier hands over for one record: its outcome and the images it wrote.

    Args:
        outcome: of the event.
        rows: what it wrote; none where an earlier record was judged.
        repeated: the event was judged, or its answer given, before: for another record of its
            id, or another request with its key.
    """

    outcome: Outcome
    rows: tuple[Row, ...]
    repeated: bool = False
