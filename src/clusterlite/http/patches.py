"""PATCH of a row: one event that merges, or a few tries where the row must be read first.

1. Where each field is judged alone, the patch is a write as any other.
2. Else the row is read, and the event asks for the version that was read: `core.tries` says what
   is sent, and which try counts. What is still open is told under the first id, which with a key
   names the request whichever of its tries is under way.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine, Generator
from typing import Any

from clusterlite.core import codec
from clusterlite.core.entity import check_key
from clusterlite.core.event import Condition, Stamp
from clusterlite.core.keys import same_request
from clusterlite.core.outcome import Applied
from clusterlite.core.partial import Part, partial_of
from clusterlite.core.tries import Around, Try, tries
from clusterlite.errors import OutcomeUnknown
from clusterlite.http.messages import Prefer, Request, Response
from clusterlite.http.problems import from_error
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
        first = self._writes.stamp(request, request.json())
        patch = _Patch(self._service, request, served, first, read_condition(request))
        try:
            sent = patch.begin(key)
        except StopIteration as ended:
            return patch.judged(ended.value)
        if not sent.lost_by and sent.event_id == first.id:
            return self._writes.checked(patch.write(sent))
        return patch.tried(sent, self._writes)


class _Patch:
    """One patch on its way."""

    def __init__(
        self,
        service: Service,
        request: Request,
        served: Served,
        first: Stamp,
        asked: Condition | None,
    ) -> None:
        self._service = service
        self._request = request
        self._served = served
        self._first = first
        self._asked = asked
        self._prefer = Prefer(request.header(b"prefer"))
        wait_s = WAIT_S if self._prefer.wait_s is None else self._prefer.wait_s
        self._ends = time.monotonic() + wait_s
        self._tries: Generator[Try, Applied, Applied]

    def begin(self, key: str) -> Try:
        """What is to be sent first.

        Raises:
            StopIteration: the answer is known already.
        """
        service, selection = self._service, self._served.selection

        def read() -> Part:
            return partial_of(self._served.entity).read(self._request.body, check_key(key))

        def row() -> tuple[int, tuple[Any, ...]] | None:
            found = service.snapshot().get(selection, key)
            return None if found.version is None else (found.version, found.row[1:])

        around = Around(
            lambda event_id: service.reader.fate(event_id).outcome,
            row,
            uuid7,
            lambda: time.monotonic() > self._ends,
        )
        self._tries = tries(self._first.id, self._first.fp, self._asked, read, around)
        return next(self._tries)

    def write(self, sent: Try) -> RowsWrite:
        """One try as a write."""
        stamp = self._first
        if sent.lost_by or sent.event_id != stamp.id:
            stamp = stamp._replace(id=sent.event_id, fp=sent.fp, after=self._service.after())
        write = self._as_write(stamp)
        write.record = codec.encode(
            stamp,
            sent.attempt.operation,
            self._served.name,
            sent.attempt.data,
            schema=self._served.schema,
            condition=sent.attempt.condition,
        )
        return write

    async def tried(self, sent: Try, writes: Writes) -> Response:
        """The answer, after as many tries as it takes."""
        self._prefer.wait_for_outcome()
        while True:
            write = writes.checked(self.write(sent))
            self._prefer.wait_s = max(0.0, self._ends - time.monotonic())
            answer = await write.decided()
            if not isinstance(answer, Applied):
                if not self._first.fp:
                    return write.response(answer)
                if isinstance(answer, OutcomeUnknown):  # where a try stands is not where the key's
                    answer = OutcomeUnknown(self._first.id)  # request will be applied
                return self._as_write(self._first).response(answer)
            try:
                sent = self._tries.send(answer)
            except StopIteration as ended:
                return self.judged(ended.value)
            except OutcomeUnknown as error:
                raise from_error(error, error.event_id) from None

    def judged(self, applied: Applied) -> Response:
        """The answer from the verdict on the whole."""
        outcome, asked = applied.outcome, self._asked
        if outcome.code == "not_found" and asked is not None and asked.present:
            # An absent row, told as the failed precondition that it is with `If-Match: *`. It is
            # the last word, where that code of a try would let another follow.
            fp = self._first.fp if same_request(self._first.fp, outcome.fp) else outcome.fp
            applied = applied._replace(outcome=outcome._replace(code="precondition_failed", fp=fp))
        return self._as_write(self._first._replace(id=outcome.event_id)).judged(applied)

    def _as_write(self, stamp: Stamp) -> RowsWrite:
        write = RowsWrite(self._service, self._request, self._served, stamp)
        write.prefer = self._prefer
        return write
