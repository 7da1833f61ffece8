"""PATCH of a row: one event that merges, or a few tries where the row must be read first.

1. Where each field is judged alone, the patch is a write as any other.
2. Else the row is read, and the event asks for the version that was read (`core.partial`). An
   attempt that lost to another write is made anew, `TRIES` times; a client's own `If-Match` is
   not. Each try of a keyed request has an id that every node derives alike, and none is made
   before the one before it is known to have no effect: the key has one effect.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any

from clusterlite.core import codec
from clusterlite.core.entity import check_key
from clusterlite.core.event import Condition, Stamp
from clusterlite.core.keys import attempt_event_id
from clusterlite.core.outcome import Applied, Outcome
from clusterlite.core.partial import TRIES, Attempt, Part, contended, may_try_again, partial_of
from clusterlite.http.messages import Prefer, Request, Response
from clusterlite.http.service import WAIT_S, Served, Service
from clusterlite.http.writes import RowsWrite, Write, Writes, read_condition
from clusterlite.node.ids import uuid7


class Patches:
    """The patches of one worker.

    Args:
        service: of the worker.
        writes: of the worker.
    """

    def __init__(self, service: Service, writes: Writes) -> None:
        self._service = service
        self._writes = writes

    def patch(
        self, request: Request, served: Served, key: str
    ) -> Response | Write | Coroutine[Any, Any, Response]:
        """Merge the body into the row of the path."""
        value = request.json()
        write = RowsWrite(self._service, request, served, self._writes.stamp(request, value))
        asked = read_condition(request)
        replay = self._replay(write, asked)
        if replay is not None:
            return replay
        part = partial_of(served.entity).read(request.body, check_key(key))
        if part.data is None or self._writes.remembered(write.stamp) is not None:
            return self._tried(request, served, part, asked, write.stamp)
        self._encode(write, Attempt("PATCH", {"id": key, **part.data}, asked))
        return self._writes.checked(write)

    def _replay(self, first: RowsWrite, asked: Condition | None) -> Response | None:
        """The answer to a request whose tries were judged before, as far as this node has got.

        A try that lost says nothing of the request: the one after it may have been applied.
        """
        for number in range(TRIES):
            stamp = first.stamp if number == 0 else self._again(first.stamp, number)
            outcome = self._writes.remembered(stamp)
            if outcome is None:
                return None
            write = RowsWrite(self._service, first.request, first.served, stamp)
            judged = Applied(outcome, (), repeated=True)
            if not self._is_lost(outcome, stamp, asked):
                return write.judged(_as_asked(judged, asked))
            if number == TRIES - 1:
                return write.judged(contended(judged))
        return None

    @staticmethod
    def _encode(write: RowsWrite, attempt: Attempt) -> None:
        served = write.served
        write.record = codec.encode(
            write.stamp,
            attempt.operation,
            served.name,
            attempt.data,
            schema=served.schema,
            condition=attempt.condition,
        )

    async def _tried(
        self, request: Request, served: Served, part: Part, asked: Condition | None, first: Stamp
    ) -> Response:
        prefer = Prefer(request.header(b"prefer"))
        prefer.wait_for_outcome()
        wait_s = WAIT_S if prefer.wait_s is None else prefer.wait_s
        ends = time.monotonic() + wait_s
        number = 0
        while True:
            stamp = first if number == 0 else self._again(first, number)
            write = RowsWrite(self._service, request, served, stamp)
            write.prefer = prefer
            outcome = self._writes.remembered(stamp)
            if outcome is not None:
                judged = Applied(outcome, (), repeated=True)
            else:
                found = self._service.snapshot().get(served.selection, part.key)
                row = None if found.version is None else (found.version, found.row[1:])
                self._encode(write, part.attempt(row, asked))
                self._writes.checked(write)
                prefer.wait_s = max(0.0, ends - time.monotonic())
                answer = await write.decided()
                if not isinstance(answer, Applied):
                    return write.response(answer)
                judged = answer
            number += 1
            if not self._is_lost(judged.outcome, stamp, asked):
                return write.judged(_as_asked(judged, asked))
            if number == TRIES or (outcome is None and time.monotonic() > ends):
                return write.judged(contended(judged))

    def _again(self, first: Stamp, number: int) -> Stamp:
        event_id = attempt_event_id(first.id, number) if first.fp else uuid7()
        return first._replace(id=event_id, after=self._service.after())

    @staticmethod
    def _is_lost(outcome: Outcome, stamp: Stamp, asked: Condition | None) -> bool:
        of_this_request = outcome.fp == stamp.fp
        return of_this_request and may_try_again(outcome, asked)


def _as_asked(judged: Applied, asked: Condition | None) -> Applied:
    """An absent row, told as the failed precondition that it is with `If-Match: *`."""
    if judged.outcome.code == "not_found" and asked is not None and asked.present:
        return judged._replace(outcome=judged.outcome._replace(code="precondition_failed"))
    return judged
