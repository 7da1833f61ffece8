"""The errors that programs get for outcomes that were rejected, by one table."""

from __future__ import annotations

from typing import Final

from clusterlite.core.outcome import Outcome
from clusterlite.errors import (
    ConstraintFailed,
    Contention,
    Exists,
    NotFound,
    PreconditionFailed,
    Rejected,
)

_KINDS: Final[dict[str, type[Rejected]]] = {
    "exists": Exists,
    "contention": Contention,
    "not_found": NotFound,
    "precondition_failed": PreconditionFailed,
    "unique": ConstraintFailed,
    "foreign_key": ConstraintFailed,
    "not_null": ConstraintFailed,
    "datatype": ConstraintFailed,
    "check": ConstraintFailed,
}


def rejection(outcome: Outcome, text: str = "", kind: type[Rejected] | None = None) -> Rejected:
    """The error of an outcome that is not applied.

    Args:
        outcome: of the event.
        text: what was rejected and why; by default what the outcome says.
        kind: in place of the one that its code has.
    """
    code = outcome.code or outcome.verdict
    return (kind or _KINDS.get(code, Rejected))(
        code,
        outcome.event_id,
        outcome.position,
        field=outcome.field,
        index=outcome.change,
        version=outcome.version,
        text=text or outcome.detail or code,
    )
