"""Errors as answers: problem documents (RFC 9457), by one table.

`type` names the page of the documents, `code` is stable. No stack, SQL or path stands in one.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException

from clusterlite.core.outcome import NEVER, REJECTIONS, Outcome
from clusterlite.errors import (
    Behind,
    ClusterLiteError,
    ConfigError,
    ForeignToken,
    Halt,
    InputError,
    KeyReused,
    LogUnavailable,
    NotServing,
    OutcomeUnknown,
    Overloaded,
    Problem,
    RecordTooLarge,
    TokenAhead,
)
from clusterlite.http.codes import PATH

CONTENT_TYPE: Final = b"application/problem+json"
RETRY_AFTER_S: Final = 1
_DETAIL_MAX: Final = 1_000
_ERRORS_MAX: Final = 100
_ASKED_MAX: Final = 100
_NEAR: Final = 0.6

_STATUS: Final[tuple[tuple[type[ClusterLiteError], int, str], ...]] = (
    (KeyReused, 422, "the idempotency key came with another request before"),
    (RecordTooLarge, 413, "the event is larger than the log takes"),
    (LogUnavailable, 503, "the log cannot be reached"),
    (OutcomeUnknown, 504, "the outcome is not known yet"),
    (Halt, 503, "the node has stopped acknowledging"),
    (NotServing, 503, "the node is not serving now"),
    (Overloaded, 503, "the node is overloaded"),
    (ConfigError, 503, "the node cannot serve as it is set up"),
    (Behind, 503, "this node is behind the state that was asked for"),
    (ForeignToken, 409, "the token belongs to another cluster"),
    (TokenAhead, 409, "the token is from beyond the log"),
    (ClusterLiteError, 500, "unexpected error"),
)

_REJECTED: Final = {
    "contention": 409,
    "exists": 409,
    "unique": 409,
    "foreign_key": 409,
    "not_found": 404,
    "precondition_failed": 412,
    "unknown_table": 404,
    "expired": 409,
    "foreign": 409,
    "skipped": 409,
}


class HttpError(Exception):
    """An answer that is not what was asked for.

    Args:
        status: HTTP status.
        code: stable, documented.
        detail: for a person: what is wrong here, and what would be right.
        errors: places in the input.
        headers: to add to the answer.
        extra: further members of the document.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: tuple[Problem, ...] = (),
        headers: tuple[tuple[bytes, bytes], ...] = (),
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers
        self.extra = extra or {}

    def body(self, instance: str) -> bytes:
        """The problem document.

        Args:
            instance: path of the request, percent-encoded as it came (a URI reference).
        """
        document: dict[str, Any] = {
            "type": f"{PATH}#{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self._shortened(),
            "instance": instance,
            "code": self.code,
            **self.extra,
        }
        if self.errors:
            document["errors"] = [problem._asdict() for problem in self.errors[:_ERRORS_MAX]]
        return msgspec.json.encode(document)

    def _shortened(self) -> str:
        """The detail, without what a client sent in bulk (I14)."""
        detail = self.detail
        if len(detail) > _DETAIL_MAX:
            detail = f"{detail[: _DETAIL_MAX // 2]}…{detail[-_DETAIL_MAX // 2 :]}"
        if len(self.errors) > _ERRORS_MAX:
            detail += f" ({len(self.errors)} errors, the first {_ERRORS_MAX} are listed)"
        return detail


def did_you_mean(asked: str, known: Iterable[str]) -> str:
    """`; did you mean …?` where a name that is known is near the one that was asked for.

    Args:
        asked: as the client wrote it.
        known: what would have been found.
    """
    folded = {name.lower(): name for name in known}
    near = get_close_matches(asked[:_ASKED_MAX].lower(), folded, 1, _NEAR)
    return f"; did you mean {folded[near[0]]}?" if near else ""


def from_error(
    error: ClusterLiteError,
    event_id: str | None = None,
    *,
    denied: str = "the write did not happen",
) -> HttpError:
    """The answer for an error of ours.

    Args:
        error: what was raised or answered.
        event_id: of the write that it is about.
        denied: what a definite refusal says of it.
    """
    if isinstance(error, InputError):
        status = 400 if error.malformed else 422
        return HttpError(
            status, "malformed" if error.malformed else "invalid", str(error), errors=error.problems
        )
    status, title = next((s, t) for kind, s, t in _STATUS if isinstance(error, kind))
    headers: list[tuple[bytes, bytes]] = []
    extra: dict[str, Any] = {}
    if status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    if event_id is not None:
        if isinstance(error, LogUnavailable | Overloaded | ConfigError):
            title += f": {denied}"
        extra["event"] = event_id
        headers.append((b"clusterlite-event", event_id.encode()))
        if status == 504:
            headers.append((b"location", f"/-/events/{event_id}".encode()))
    code = error.reason if isinstance(error, Halt) else error.code
    # What is wrong with a set-up names folders and addresses: that is for the operator.
    told = "/-/cluster says why" if isinstance(error, ConfigError) else str(error)
    return HttpError(status, code, f"{title}: {told}", headers=tuple(headers), extra=extra)


def of_exception(error: Exception) -> HttpError | None:
    """The answer for whatever a route raised; None where that is a defect."""
    if isinstance(error, HttpError):
        return error
    if isinstance(error, ClusterLiteError):
        return from_error(error)
    if isinstance(error, HTTPException):
        allow = (error.headers or {}).get("Allow")
        code = "method_not_allowed" if error.status_code == 405 else "no_such_route"
        headers = ((b"allow", allow.encode()),) if allow else ()
        return HttpError(error.status_code, code, str(error.detail), headers=headers)
    return None


def from_outcome(outcome: Outcome, place: str = "", change: str = "") -> HttpError:
    """The answer for an event that was judged and has no effect.

    Args:
        outcome: of the event.
        place: JSON pointer to the row in the body that the outcome is about.
        change: JSON pointer to the change that failed, where the body lists changes: it is named
            even where no field is to blame, and so is its index.
    """
    code = NEVER if outcome.verdict == NEVER else outcome.code or outcome.verdict
    status = 409 if code == NEVER else _REJECTED.get(code, 422)
    extra: dict[str, Any] = {"event": outcome.event_id, "position": outcome.position}
    errors: tuple[Problem, ...] = ()
    detail = REJECTIONS.get(code, "the event was closed before it was written")
    headers: tuple[tuple[bytes, bytes], ...] = ()
    field = "id" if code == "exists" else outcome.field
    if field is not None:
        errors = (Problem(f"{place}/{field}", code, outcome.detail or detail),)
    elif change:
        errors = (Problem(change, code, outcome.detail or detail),)
    if outcome.version is not None:
        extra["version"] = outcome.version
        if not change:  # else it is not of what the path names
            headers = ((b"etag", f'"{outcome.version}"'.encode()),)
    if outcome.change or change:
        extra["change"] = outcome.change
    return HttpError(
        status,
        code,
        outcome.detail or detail,
        errors=errors,
        headers=headers,
        extra=extra,
    )
