"""From answers over HTTP to rows, outcomes and errors; what is refused has the library's errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from clusterlite.client.address import Answer
from clusterlite.core.outcome import APPLIED, NEVER, Outcome, Result
from clusterlite.core.rejections import rejection
from clusterlite.errors import (
    ClusterLiteError,
    ForeignToken,
    InputError,
    KeyReused,
    Problem,
    RecordTooLarge,
)


class Refused(ClusterLiteError):
    """An answer that has no class of its own; nothing was written.

    Args:
        status: of HTTP.
        problem: the stable code, as the reference lists it.
        detail: what is wrong and what would be right.
    """

    code = "refused"

    def __init__(self, status: int, problem: str, detail: str) -> None:
        super().__init__(f"{problem} ({status}): {detail}")
        self.status = status
        self.problem = problem


class Row(dict[str, Any]):
    """A row: its fields by name, with `id`.

    Attributes:
        version: the position of the event that wrote it; -1 in a list, which tells none.
    """

    version: int = -1


class Changed(NamedTuple):
    """What one change of a transaction did.

    Args:
        operation: INSERT, UPDATE, PATCH, DELETE or ASSERT.
        table: the table's name.
        key: the row's id.
        created: whether the row was not there before the change.
        row: as the transaction left it; None where it left none, of an ASSERT, and where a row
            of the transaction was written since.
    """

    operation: str
    table: str
    key: str
    created: bool
    row: Row | None


def is_refusal(answer: Answer) -> bool:
    """Whether it was answered without a look at the log: a verdict names its event."""
    return answer.status >= 400 and "clusterlite-event" not in answer.headers


def good(answer: Answer) -> Answer:
    """The answer, if it is none of an error."""
    if answer.status < 400:
        return answer
    document = answer.problem
    code, detail = document.get("code", ""), document.get("detail", "no node answers so")
    if "position" in document and "event" in document:
        errors = document.get("errors") or [{"pointer": ""}]
        outcome = Outcome(
            document["position"],
            document["event"],
            "rejected",
            code,
            errors[0]["pointer"].rpartition("/")[2] or None,
            document.get("change", 0),
            document.get("version"),
            detail,
        )
        raise rejection(outcome)
    if code in {"invalid", "malformed"}:
        wrong = [Problem(e["pointer"], e["code"], e["message"]) for e in document["errors"]]
        raise InputError(wrong, malformed=code == "malformed")
    kinds: dict[str, type[ClusterLiteError]] = {
        "key_reused": KeyReused,
        "record_too_large": RecordTooLarge,
        "foreign_token": ForeignToken,
    }
    if code in kinds:
        raise kinds[code](detail)
    raise Refused(answer.status, code or "unknown", detail)


def row_of(written: Answer | Outcome, known: Mapping[str, Any]) -> Row:
    """The row that a write left.

    Args:
        written: what became of it.
        known: its fields where the answer has none, since the row changed again.
    """
    if isinstance(written, Outcome):
        found = Row({**known, "id": written.results[0].key})
        found.version = written.position
        return found
    if written.body:
        return row_at(dict(written.document), written)
    location = written.headers.get("location", "")
    made = {"id": unquote(location.rpartition("/")[2])} if location else {}
    return row_at({**known, **made}, written)


def changes_of(written: Answer | Outcome) -> list[Changed]:
    """What each change of a transaction did."""
    if isinstance(written, Outcome):
        return [Changed(*result, row=None) for result in written.results]
    found: list[Changed] = []
    for told in written.document["changes"]:
        row = Row(told["row"]) if "row" in told else None
        if row is not None:
            row.version = told["version"]
        what = told["operation"], told["table"], told["key"], told["created"]
        found.append(Changed(*what, row=row))
    return found


def row_at(fields: dict[str, Any], answer: Answer) -> Row:
    """A row at the version that an answer's `ETag` names."""
    row = Row(fields)
    row.version = int(answer.headers.get("etag", "-1").strip('"'))
    return row


def outcome_of(document: dict[str, Any]) -> Outcome | None:
    """The outcome that `GET /-/events/{id}` shows, None while there is none."""
    if document.get("status") not in {APPLIED, "rejected", NEVER}:
        return None
    return Outcome(
        document["position"],
        document["id"],
        document["status"],
        document.get("code"),
        document.get("field"),
        document.get("change", 0),
        document.get("version"),
        document.get("detail"),
        results=tuple(
            Result(item["operation"], item["table"], item["key"], item["created"])
            for item in document.get("changes", ())
        ),
    )
