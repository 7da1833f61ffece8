"""What an answer tells its client, as `docs/reference/http.md` has it.

answer                                             status     why
------------------------------------------------   --------   ---------------------------------
none, or half of one; 202, 500, 502, 504           unknown    the log may have it, now or later
200, 201, 204                                      done
409 `never`                                        never      settled: the event id is closed
404, 409, 412, 422 with an event and a position    rejected   the log has it, without effect
everything else                                    failed     it never reached the log

A write with a key is one of several tries, and its 503 says so: it denies this one alone, and so
nothing where a balancer may have made another. One that denies the write denies all of them,
whatever was told before.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from clusterlite.testing.load.connection import Answer

DONE: Final = frozenset({200, 201, 204})
REJECTED: Final = frozenset({404, 409, 412, 422})
DOUBTFUL: Final = frozenset({202, 500, 502, 504})
DENIAL: Final = "the write did not happen"
"""What the detail of a refusal says where it is about all tries."""


class Told(NamedTuple):
    """What a client knows after an answer; `history.Operation` has the same words.

    Args:
        status: one of `history.STATUSES`.
        code: of a rejection.
        event: the event's id.
        position: of the event, or of the snapshot that was read.
        version: of the row.
        value: the row, or the rows.
        token: to be sent back for a state at least this new.
        replayed: whether a node answered from an outcome that was there before.
        whole: whether a failure is told of the write, and not of this try alone.
    """

    status: str
    code: str | None = None
    event: str | None = None
    position: int | None = None
    version: int | None = None
    value: Any = None
    token: str | None = None
    replayed: bool = False
    whole: bool = False


def of_write(answer: Answer | None, *, keyed: bool = False) -> Told:
    """What the answer to a write tells.

    Args:
        answer: None where there was none.
        keyed: whether it was sent with a key. Then a balancer, which names itself in `Server` as
            no node does, may have tried another node before the one that refused.
    """
    if answer is None:
        return Told("unknown")
    headers = answer.headers
    event, token = headers.get("clusterlite-event"), headers.get("clusterlite-token")
    if answer.status in DOUBTFUL:
        return Told("unknown", event=event)
    position = position_of(token)
    if answer.status in DONE:
        row = answer.json() if answer.body else None
        replayed = headers.get("idempotency-replayed") == "true"
        return Told("done", None, event, position, version_of(answer), row, token, replayed)
    found = answer.json()
    code = found.get("code") if isinstance(found, dict) else None
    if code == "never":
        return Told("never", event=event, token=token)
    if answer.status in REJECTED and event is not None and position is not None:
        return Told("rejected", code, event, position, version_of(answer), None, token)
    detail = str(found.get("detail")) if isinstance(found, dict) else ""
    own = None if code == "key_reused" else event  # else it is another request's
    whole = DENIAL in detail
    if keyed and answer.status == 503 and "server" in headers and not whole:
        return Told("unknown", code, own)
    return Told("failed", code, own, whole=whole)


def of_read(answer: Answer | None) -> Told:
    """What the answer to a read tells; a row that is not there is read as None."""
    if answer is None:
        return Told("failed")
    token = answer.headers.get("clusterlite-token")
    found = answer.json()
    absent = answer.status == 404 and isinstance(found, dict) and found.get("code") == "not_found"
    if answer.status != 200 and not absent:
        return Told("failed", found.get("code") if isinstance(found, dict) else None)
    value = None if absent else found
    return Told("done", None, None, position_of(token), version_of(answer), value, token)


def of_event(answer: Answer | None, event: str) -> Told:
    """What the answer to `GET /-/events/{id}`, or to its `settle`, tells; `unseen` is unknown."""
    found = None if answer is None or answer.status != 200 else answer.json()
    if not isinstance(found, dict):
        return Told("unknown", event=event)
    position, said = found.get("position"), found.get("status")
    if said == "applied":
        return Told("done", None, event, position)
    if said == "rejected":
        return Told("rejected", found.get("code"), event, position, found.get("version"))
    return Told("never" if said == "never" else "unknown", event=event)


def position_of(token: str | None) -> int | None:
    """The position that a token names."""
    return int(token.rpartition(":")[2]) if token else None


def version_of(answer: Answer) -> int | None:
    """The version that an `ETag` names; that of a list names none."""
    tag = answer.headers.get("etag", "").strip('"')
    return int(tag) if tag.isdigit() else None
