"""A patch that must read its row, as a chain of tries: what each sends, and which one counts.

    K -- lost --> A1 -- lost --> A2 …    at most TRIES of them

1. A try is lost where it was judged, and rejected because another write came between the read and
   the event. Only then is the next one sent.
2. With a key, the first id is the key's, and every node derives the later ones alike. So the
   request has one fate: that of its first try which is not lost. Until there is one it is open,
   also when the node that tried has stopped: whoever brings the key back goes on.
3. The first id names the request, whichever try is under way; `fate` walks from it.
4. The fingerprint of a keyed try has after it the code by which that try would be lost, and the
   number of a later one. So its outcome alone tells whether another may follow; that of any other
   write which was rejected by that code is its last word.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from clusterlite.core.event import Condition
from clusterlite.core.fields import Stored
from clusterlite.core.keys import (
    attempt_event_id,
    is_later,
    lost_by,
    same_request,
    try_fingerprint,
)
from clusterlite.core.outcome import Applied, Outcome
from clusterlite.core.partial import Attempt, Part
from clusterlite.errors import OutcomeUnknown

TRIES: Final = 5
"""How often a part that needs its row is tried before the writers around it are told to wait."""

CONTENTION: Final = "other writers changed the row at each of the tries; nothing was written"
"""What is told then."""

Found = TypeVar("Found", Outcome, Outcome | None)


class Around(NamedTuple):
    """What a patch is told of its node.

    Args:
        known: the outcome of an event, None where this replica has none.
        row: the row's version and values in the order of the columns, None where it is absent.
        new_id: makes an event's id.
        is_late: whether the call's time is over.
    """

    known: Callable[[str], Outcome | None]
    row: Callable[[], tuple[int, Sequence[Stored]] | None]
    new_id: Callable[[], str]
    is_late: Callable[[], bool]


class Try(NamedTuple):
    """One event to send.

    Args:
        event_id: of the event.
        fp: its fingerprint.
        attempt: what it says.
        lost_by: the code by which it is lost; empty where it is a write as any other.
    """

    event_id: str
    fp: str
    attempt: Attempt
    lost_by: str


def tries(
    event_id: str,
    fp: str,
    asked: Condition | None,
    read: Callable[[], Part],
    around: Around,
) -> Generator[Try, Applied, Applied]:
    """The tries of one patch: each is to be sent, and the generator told what became of it.

    Args:
        event_id: of the first try; with a key it names the request.
        fp: of the request, empty without a key.
        asked: the caller's own precondition.
        read: judges the body; not called where the answer is known already.
        around: the node.

    Returns:
        The verdict on the whole.

    Raises:
        InputError: the body, or what it makes of the row, does not fit.
        OutcomeUnknown: the time is over, and whoever brings the key back may go on.
    """
    part: Part | None = None
    for number in range(TRIES):
        used = event_id
        if number > 0:
            used = attempt_event_id(event_id, number) if fp else around.new_id()
        known = around.known(used) if fp else None
        if known is not None:
            judged = Applied(known, (), repeated=True)
            lost = same_request(fp, known.fp) and is_lost(known)
        else:
            part = read() if part is None else part
            sent = _try(part, number, used, fp, asked, around)
            judged = yield sent
            if fp:
                lost = same_request(fp, judged.outcome.fp) and is_lost(judged.outcome)
            else:
                lost = bool(sent.lost_by) and sent.lost_by == judged.outcome.code
        if not lost:
            return judged
        if known is None and number < TRIES - 1 and around.is_late():
            if fp:
                raise OutcomeUnknown(event_id)
            break
    named = event_id if fp else judged.outcome.event_id
    return judged._replace(outcome=contended(judged.outcome, named))


def _try(
    part: Part, number: int, used: str, fp: str, asked: Condition | None, around: Around
) -> Try:
    if part.data is not None and number == 0:
        return Try(used, fp, Attempt("PATCH", {"id": part.key, **part.data}, asked), "")
    if asked is None or asked.present:
        code = "precondition_failed"
    else:  # an INSERT that asks for a version: the row has just come to that version
        code = "exists" if asked.version is not None else ""
    attempt = part.attempt(around.row(), asked)
    return Try(used, try_fingerprint(fp, code, number), attempt, code)


def is_lost(outcome: Outcome) -> bool:
    """Whether it is that of a keyed try after which another may come."""
    code = lost_by(outcome.fp)
    return bool(code) and code == outcome.code


def is_open(outcome: Outcome) -> bool:
    """Whether it is that of a request's first try, and no verdict on the request."""
    return is_lost(outcome) and not is_later(outcome.fp)


def contended(outcome: Outcome, event_id: str) -> Outcome:
    """A patch whose last try lost, as its caller is told.

    Args:
        outcome: of that try.
        event_id: which names the whole.
    """
    return outcome._replace(event_id=event_id, code="contention", detail=CONTENTION)


def later_ids(event_id: str) -> Iterator[str]:
    """The ids of the tries after the first, in order.

    Args:
        event_id: of the first, which is the key's.
    """
    for number in range(1, TRIES):
        yield attempt_event_id(event_id, number)


def fate(event_id: str, look: Callable[[str], Found]) -> Found:
    """The outcome that counts: the event's own, or that of the last try of its request.

    Args:
        event_id: of any event.
        look: gives an event's outcome, None where there is none.

    Returns:
        None where the event is not known, or its request is still open.
    """
    outcome = look(event_id)
    if outcome is None or not is_open(outcome):
        return outcome
    for used in later_ids(event_id):
        outcome = look(used)
        if outcome is None or not is_lost(outcome):
            return outcome
    return contended(outcome, event_id)
