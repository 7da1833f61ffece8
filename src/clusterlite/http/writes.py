"""Writes: from a request to an event, and from its outcome to an answer.

    request -> JSON -> entity -> event bytes -> link -> outcome and row images -> answer

Nothing that depends on rows is judged here: a 404, 409 or 412 from a local look would not be
linearizable. The one look is for the event's own id, where the client brought a key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import pydantic

from clusterlite.core import codec
from clusterlite.core.entity import Entity, check_key, invalid
from clusterlite.core.event import Change, Condition, Stamp
from clusterlite.core.fields import Json
from clusterlite.core.keys import (
    KEY_CHARACTERS_MAX,
    fingerprint,
    keyed_event_id,
    same_request,
)
from clusterlite.core.outcome import APPLIED, NEVER, Applied, Outcome, Row
from clusterlite.core.tries import is_lost
from clusterlite.errors import (
    THIS_TRY,
    ClusterLiteError,
    InputError,
    KeyReused,
    OutcomeUnknown,
    Problem,
    RecordTooLarge,
)
from clusterlite.http.messages import (
    JSON,
    NO_PREFERENCE,
    TOKEN_HEADER,
    Headers,
    Prefer,
    Request,
    Response,
    row_path,
)
from clusterlite.http.problems import HttpError, from_error, from_outcome
from clusterlite.http.service import WAIT_S, Served, Service, encode_json
from clusterlite.node.answers import Answer, Appended
from clusterlite.node.ids import timestamp, uuid7

CHANGES_MAX: Final = codec.CHANGES_MAX


class Write:
    """One write on its way: the event, and how its outcome becomes an answer.

    No ABC: an `isinstance` of one takes longer, and each request asks it.

    Args:
        service: of the worker.
        request: that asked for it.
        stamp: of the event.

    Attributes:
        record: the event's bytes; empty until they are made.
    """

    __slots__ = ("_service", "prefer", "record", "request", "stamp")

    def __init__(self, service: Service, request: Request, stamp: Stamp) -> None:
        self._service = service
        self.request = request
        self.stamp = stamp
        self.record = b""
        self.prefer = (
            Prefer(request.header(b"prefer")) if b"prefer" in request.headers else NO_PREFERENCE
        )

    def send(self, reply: Callable[[Answer], None]) -> None:
        """Hand the event to the node.

        Args:
            reply: told the node's answer, once; maybe before this returns.
        """
        wait_s = WAIT_S if self.prefer.wait_s is None else self.prefer.wait_s
        self._service.link.submit(
            self.stamp.id, self.record, wait_s, reply, early=self.prefer.respond_async
        )

    async def decided(self) -> Answer:
        """Hand the event to the node, and wait for its answer."""
        found: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.send(lambda answer: None if found.done() else found.set_result(answer))
        return await found

    def response(self, answer: Answer) -> Response:
        """The answer to the request, from the node's.

        Raises:
            HttpError: the event has no effect, or that is not known.
        """
        if isinstance(answer, Applied):
            return self.judged(answer)
        event_id = self.stamp.id
        position = answer.position if isinstance(answer, Appended | OutcomeUnknown) else None
        if position is not None:
            headers = self._headers(position)
            headers.append((b"location", f"/-/events/{event_id}".encode()))
            return Response(202, headers)
        error = answer if isinstance(answer, ClusterLiteError) else OutcomeUnknown(event_id)
        if self.stamp.fp:
            raise from_error(error, event_id, denied=THIS_TRY)
        raise from_error(error, event_id)

    def judged(self, applied: Applied) -> Response:
        """The answer from an outcome.

        Args:
            applied: the outcome, with images where it was judged while this request waited.

        Raises:
            HttpError: the event has no effect.
        """
        outcome, rows, repeated = applied
        self._service.saw(outcome.position)
        # A fence has no fingerprint: it closed the id for any request.
        if self.stamp.fp and outcome.verdict != NEVER:
            if not same_request(self.stamp.fp, outcome.fp):
                raise from_error(
                    KeyReused("send the same request again, or choose a new key"), self.stamp.id
                )
            if is_lost(outcome):  # another node, which knows another class, tries on
                raise from_error(OutcomeUnknown(self.stamp.id), self.stamp.id)
        replayed = repeated and bool(self.stamp.fp)
        headers = self._headers(outcome.position, replayed=replayed)
        if outcome.verdict != APPLIED:
            problem = self._refused(outcome)
            problem.headers += tuple(headers)
            raise problem
        # An event that was sent twice, by the client with its key or by the link after a break,
        # is answered from its first outcome, whose images are gone.
        images = rows or self._remembered(outcome)
        return self._written(outcome, images, headers)

    def _headers(self, position: int, *, replayed: bool = False) -> Headers:
        headers = [
            self._service.token_header(position),
            (b"clusterlite-event", self.stamp.id.encode()),
        ]
        if not (replayed and self._is_beyond(position)):
            headers.append(self._service.token_cookie(position))
        if replayed:
            headers.append((b"idempotency-replayed", b"true"))
        if self.prefer.applied:
            headers.append((b"preference-applied", ", ".join(self.prefer.applied).encode()))
        return headers

    def _is_beyond(self, position: int) -> bool:
        """Whether the browser has seen a later state: its reads must not go back (I7)."""
        if b"cookie" not in self.request.headers or TOKEN_HEADER in self.request.headers:
            return False
        token, _ = self.request.token()
        return (
            token is not None
            and token.cluster == self._service.cluster
            and (token.position > position)
        )

    def _refused(self, outcome: Outcome) -> HttpError:
        """The answer to an event that has no effect."""
        raise NotImplementedError

    def _remembered(self, outcome: Outcome) -> list[Row]:
        """The images of an earlier event, as far as its rows were not written since."""
        raise NotImplementedError

    def _written(self, outcome: Outcome, rows: Sequence[Row], headers: Headers) -> Response:
        """The answer to an event that was applied, from the images that are there."""
        raise NotImplementedError


class RowsWrite(Write):
    """A write of one table's row, or of many new ones.

    Args:
        served: the table.
        collection: the body is an array of rows.
    """

    __slots__ = ("collection", "served")

    def __init__(
        self,
        service: Service,
        request: Request,
        served: Served,
        stamp: Stamp,
        *,
        collection: bool = False,
    ) -> None:
        super().__init__(service, request, stamp)
        self.served = served
        self.collection = collection

    def _refused(self, outcome: Outcome) -> HttpError:
        return from_outcome(outcome, f"/{outcome.change}" if self.collection else "")

    def _written(self, outcome: Outcome, rows: Sequence[Row], headers: Headers) -> Response:
        if self.request.method == "DELETE":
            return Response(204, headers)
        first = outcome.results[0]
        status = 201 if first.created else 200
        if not self.collection:
            headers.append((b"etag", b'"%d"' % outcome.position))
            if first.created:
                headers.append((b"location", row_path(first.table, first.key)))
        images = [row for row in rows if row.fields is not None]
        if self.prefer.minimal or len(images) != len(outcome.results):
            if not self.prefer.minimal:  # as the first answer, but for its body
                headers.append((b"preference-applied", b"return=minimal"))
                return Response(status, headers)
            return Response(204 if status == 200 else status, headers)
        if self.prefer.whole:
            headers.append((b"preference-applied", b"return=representation"))
        headers.append((b"content-type", JSON))
        shown = [self.served.shown_image(row.key, row.fields or {}) for row in images]
        body: Any = shown if self.collection else shown[0]
        return Response(status, headers, encode_json(body))

    def _remembered(self, outcome: Outcome) -> list[Row]:
        self._service.reader.release()  # what this tick reads may be older than the outcome
        return [
            row
            for result in outcome.results
            if (row := image(self._service, self.served, result.key, outcome.position)) is not None
        ]


class Writes:
    """The writes of one worker.

    Args:
        service: of the worker.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def create(self, request: Request, served: Served) -> Response | Write:
        """Create one row from an object, or many from an array in one event."""
        value = request.json()
        collection = isinstance(value, list)
        stamp = self.stamp(request, value)
        write = RowsWrite(self._service, request, served, stamp, collection=collection)
        replay = self.replay(write)
        if replay is not None:
            return replay
        condition = read_condition(request, created=True)
        if collection:
            changes = self._changes(served, value, condition)
            write.record = codec.encode_transaction(stamp, changes)
        else:
            row = new_row(read_entity(served, request.body, value))
            if condition is None:
                write.record = served.operations.create_event(stamp, row, served.schema)
            else:
                write.record = codec.encode(
                    stamp, "INSERT", served.name, row, schema=served.schema, condition=condition
                )
        return self.checked(write)

    def put(self, request: Request, served: Served, key: str) -> Response | Write:
        """Create or replace the row of the path."""
        value = request.json()
        stamp = self.stamp(request, value)
        write = RowsWrite(self._service, request, served, stamp)
        replay = self.replay(write)
        if replay is not None:
            return replay
        check_key(key)
        entity = read_entity(served, request.body, value)
        if entity.id not in {"", key}:
            raise InputError([Problem("/id", "key", f"must be {key!r}, as in the path, or absent")])
        write.record = served.operations.update_event(
            stamp, {"id": key, **entity.row()}, served.schema, read_condition(request)
        )
        return self.checked(write)

    def delete(self, request: Request, served: Served, key: str) -> Response | Write:
        """Remove the row of the path."""
        stamp = self.stamp(request, None)
        write = RowsWrite(self._service, request, served, stamp)
        replay = self.replay(write)
        if replay is not None:
            return replay
        check_key(key)
        write.record = served.operations.delete_event(stamp, key, read_condition(request))
        return self.checked(write)

    def _changes(
        self, served: Served, values: list[Json], condition: Condition | None
    ) -> list[Change]:
        if not 0 < len(values) <= CHANGES_MAX:
            raise InputError([Problem("", "size", f"must have 1 to {CHANGES_MAX} rows")])
        changes: list[Change] = []
        for index, value in enumerate(values):
            try:
                row = new_row(read_entity(served, encode_json(value), value))
            except InputError as error:
                raise InputError(
                    [p._replace(pointer=f"/{index}{p.pointer}") for p in error.problems]
                ) from None
            changes.append(Change("INSERT", served.name, row["id"], row, served.schema, condition))
        return changes

    def stamp(self, request: Request, body: Json) -> Stamp:
        """What this worker adds to the event; a client's key becomes the event's id."""
        service = self._service
        if b"idempotency-key" not in request.headers:
            event_id, fp = uuid7(), ""
        else:
            key = request.header(b"idempotency-key") or ""
            if not 0 < len(key) <= KEY_CHARACTERS_MAX:
                rule = f"Idempotency-Key has 1 to {KEY_CHARACTERS_MAX} characters"
                raise HttpError(400, "bad_key", rule)
            event_id = keyed_event_id(service.cluster, "", key)
            fp = fingerprint(
                request.method, "/" + "/".join(request.path), request.query(), _ifs(request), body
            )
        return Stamp(
            event_id, timestamp(), service.cluster, service.node_id, service.after(), fp=fp
        )

    def replay(self, write: Write) -> Response | None:
        """The answer to a request that was judged before, as far as this node has got.

        It comes before all that could refuse the request: a class that takes less than it did
        then must not deny what happened.

        Args:
            write: still without its record.

        Raises:
            HttpError: the event has no effect, or the key came with another request.
        """
        if not write.stamp.fp:
            return None
        outcome = self._service.reader.fate(write.stamp.id).outcome
        return None if outcome is None else write.judged(Applied(outcome, (), repeated=True))

    def checked(self, write: Write) -> Write:
        """The write.

        Raises:
            HttpError: 413, the event is larger than the log takes.
        """
        hello, size = self._service.link.hello, len(write.record)
        if hello is not None and 0 < hello.record_bytes_max < size:
            raise from_error(RecordTooLarge(f"{size} bytes, the limit is {hello.record_bytes_max}"))
        return write


def image(service: Service, served: Served, key: str, position: int) -> Row | None:
    """A row as the event at `position` left it, None where it was written since."""
    found = service.reader.get(served.selection, key)
    if found.version != position:
        return None
    return Row(served.name, key, dict(zip(served.names, found.row[1:], strict=True)))


def new_row(entity: Entity) -> dict[str, Json]:
    """The row of an entity that is created; its id is made where it has none."""
    return {"id": check_key(entity.id) if entity.id else uuid7(), **entity.row()}


def read_entity(served: Served, raw: bytes, value: Json) -> Entity:
    """A body, or a part of one, as an entity.

    Raises:
        InputError: what is wrong where, by JSON pointer.
    """
    if not isinstance(value, dict):
        raise InputError([Problem("", "type", "must be a JSON object")])
    try:
        return served.entity.model_validate_json(raw)
    except pydantic.ValidationError as error:
        raise invalid(error) from None


def _ifs(request: Request) -> dict[str, str]:
    return {
        name.decode(): request.header(name) or ""
        for name in request.headers
        if name.startswith(b"if-")
    }


def read_condition(request: Request, *, created: bool = False) -> Condition | None:
    """`If-Match` and `If-None-Match` as a precondition that travels in the event.

    Raises:
        HttpError: one of them is not of the form that a write takes.
    """
    if b"if-match" not in request.headers and b"if-none-match" not in request.headers:
        return None
    match, none_match = request.header(b"if-match"), request.header(b"if-none-match")
    if match is not None and none_match is not None:
        raise HttpError(400, "bad_precondition", "send If-Match or If-None-Match, not both")
    if none_match is not None:
        if none_match != "*":
            raise HttpError(400, "bad_precondition", "a write takes If-None-Match: * only")
        return Condition(present=False)
    if match == "*":
        return Condition(present=True)
    version = (match or "").strip('"')
    if not version.isascii() or not version.isdigit() or len(version) > 18 or created:
        raise HttpError(
            400, "bad_precondition", 'a write takes If-Match: "<version>", as ETag gave it'
        )
    return Condition(int(version))
