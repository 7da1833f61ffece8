"""`POST /-/transaction`: many changes of any tables in one event, all or none.

    {"changes": [{"operation": "ASSERT", "table_name": "users", "data": {"id": "ann"},
                  "if": {"version": 41}},
                 {"operation": "INSERT", "table_name": "orders", "data": {"user": "ann"}}]}

A change is spelled as in the event, and answered as in the outcome that `GET /-/events/{id}`
shows, with the row that it left. Members that are not known are refused: a precondition that is
spelled wrong must not be passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from clusterlite.core import codec
from clusterlite.core.event import Change, Condition, Stamp
from clusterlite.core.fields import Json
from clusterlite.core.names import KEY_RULE, fold, is_key
from clusterlite.core.outcome import NEVER, REJECTIONS, Outcome, Result, Row
from clusterlite.core.partial import partial_of
from clusterlite.core.transaction import at_change, check_conditions
from clusterlite.errors import InputError, Problem
from clusterlite.http.messages import JSON, Headers, Request, Response
from clusterlite.http.problems import HttpError, did_you_mean, from_outcome
from clusterlite.http.service import Served, Service, encode_json
from clusterlite.http.writes import CHANGES_MAX, Write, Writes, image, new_row, read_entity

PATH: Final = "/-/transaction"
OPERATIONS: Final = ("INSERT", "UPDATE", "PATCH", "DELETE", "ASSERT")
MEMBERS: Final = ("operation", "table_name", "id", "data", "if")
_OF_THE_EVENT: Final = frozenset({"unreadable", "foreign", "expired", "skipped"})
"""Codes that are about no change in particular."""


class Transactions:
    """The transactions of one worker.

    Args:
        service: of the worker.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._writes = Writes(service)

    def begin(self, request: Request) -> Response | Write:
        """The event of a request, or its answer where it was judged before.

        Raises:
            HttpError, ClusterLiteError: it was refused before the append.
        """
        self._service.cors.check_write(request)
        if b"if-match" in request.headers or b"if-none-match" in request.headers:
            raise HttpError(
                400,
                "bad_precondition",
                "a transaction has its preconditions in the body: `if` in each change",
            )
        value = request.json()
        spelled = _spelled(value)
        stamp = self._writes.stamp(request, value)
        write = TransactionWrite(self._service, request, stamp, spelled)
        replay = self._writes.replay(write)
        if replay is not None:
            return replay
        write.record = codec.encode_transaction(stamp, _read(spelled, self._service))
        return self._writes.checked(write)


class TransactionWrite(Write):
    """A transaction on its way.

    Args:
        service: of the worker.
        request: that asked for it.
        stamp: of the event.
        spelled: the changes as the client sent them.
    """

    __slots__ = ("_spelled",)

    def __init__(
        self, service: Service, request: Request, stamp: Stamp, spelled: list[Any]
    ) -> None:
        super().__init__(service, request, stamp)
        self._spelled = spelled

    def _refused(self, outcome: Outcome) -> HttpError:
        code = outcome.code or outcome.verdict
        if outcome.verdict == NEVER or code in _OF_THE_EVENT:
            return from_outcome(outcome)
        failed, place = self._spelled[outcome.change], f"/changes/{outcome.change}"
        if failed["operation"] == "DELETE" and outcome.field is not None:
            told = f"{REJECTIONS[code]}: {outcome.field}"  # a field of another table
            return from_outcome(outcome._replace(field=None, detail=told), change=place)
        beside = code == "exists" and "id" in failed
        return from_outcome(outcome, place if beside else f"{place}/data", place)

    def _remembered(self, outcome: Outcome) -> list[Row]:
        served = self._served()
        self._service.reader.release()  # what this tick reads may be older than the outcome
        rows: list[Row] = []
        for table, key in _last_writes(outcome.results):
            row = None
            if table in served:
                row = image(self._service, served[table], key, outcome.position)
            if row is not None:
                rows.append(row)
        return rows

    def _written(self, outcome: Outcome, rows: Sequence[Row], headers: Headers) -> Response:
        left = {(fold(row.table), row.key): row.fields for row in rows}
        last = _last_writes(outcome.results)
        there = {row for row, operation in last.items() if operation != "DELETE"}
        whole = all(left.get(row) is not None for row in there)
        if self.prefer.whole and whole:
            headers.append((b"preference-applied", b"return=representation"))
        elif not self.prefer.minimal and not whole:
            headers.append((b"preference-applied", b"return=minimal"))
        served = self._served()
        shown: list[dict[str, Any]] = []
        for result in outcome.results:
            told: dict[str, Any] = result._asdict()
            row = fold(result.table), result.key
            if result.operation != "ASSERT" and row in there:
                told["version"] = outcome.position
                fields = left.get(row)
                if whole and fields is not None and not self.prefer.minimal:
                    told["row"] = served[row[0]].shown_image(result.key, fields)
            shown.append(told)
        headers.append((b"content-type", JSON))
        return Response(200, headers, encode_json({**outcome.to_json(), "changes": shown}))

    def _served(self) -> dict[str, Served]:
        return {fold(name): served for name, served in self._service.served.items()}


def _last_writes(results: Sequence[Result]) -> dict[tuple[str, str], str]:
    """The last operation on each row that was written."""
    return {
        (fold(result.table), result.key): result.operation
        for result in results
        if result.operation != "ASSERT"
    }


# From the body to the changes of the event.


def _spelled(value: Json) -> list[Any]:
    if not isinstance(value, dict) or value.keys() != {"changes"}:
        raise _wrong("", "type", 'must be a JSON object with one member: {"changes": [...]}')
    spelled = value["changes"]
    if not isinstance(spelled, list):
        raise _wrong("/changes", "type", "must be an array of changes")
    if not 0 < len(spelled) <= CHANGES_MAX:
        raise _wrong(
            "/changes",
            "size",
            f"has {len(spelled)} changes; a transaction has 1 to {CHANGES_MAX}",
        )
    return spelled


def _read(spelled: list[Any], service: Service) -> list[Change]:
    changes: list[Change] = []
    problems: list[Problem] = []
    for index, item in enumerate(spelled):
        try:
            changes.append(_change(item, service))
        except InputError as error:
            problems += at_change(index, error)
    if problems:
        raise InputError(problems)
    check_conditions(changes)
    return changes


def _change(item: Any, service: Service) -> Change:
    if not isinstance(item, dict):
        raise _wrong("", "type", f"must be a JSON object of {', '.join(MEMBERS)}")
    for name in item:
        if name not in MEMBERS:
            known = f"known are: {', '.join(MEMBERS)}"
            raise _wrong("", "unknown_member", f"no member {name!r}{_meant(name)}; {known}")
    operation, data = item.get("operation"), item.get("data", {})
    if operation not in OPERATIONS:
        raise _wrong("/operation", "operation", f"must be one of {', '.join(OPERATIONS)}")
    served = _table(item.get("table_name"), service)
    if not isinstance(data, dict):
        raise _wrong("/data", "type", "must be a JSON object")
    key = _key(operation, item, data)
    condition = _condition(item["if"]) if "if" in item else None
    if operation in {"DELETE", "ASSERT"}:
        for name in data.keys() - {"id"}:
            raise _wrong("/data", "unknown_member", f"{operation} takes the id alone, not {name!r}")
        return Change(operation, served.name, key, {"id": key}, served.schema, condition)
    row = _row(operation, served, key, data)
    return Change(operation, served.name, row["id"], row, served.schema, condition)


def _meant(name: str) -> str:
    return "; did you mean table_name?" if name == "table" else did_you_mean(name, MEMBERS)


def _table(name: Json, service: Service) -> Served:
    if not isinstance(name, str):
        raise _wrong("/table_name", "type", "must be the name of a table")
    try:
        return service.table(name)
    except HttpError as error:
        raise _wrong("/table_name", error.code, error.detail) from None


def _key(operation: str, item: dict[str, Any], data: dict[str, Any]) -> str:
    """The row's id, which stands in `data` or beside it; empty where an INSERT has none."""
    place = "/id" if "id" in item else "/data/id"
    key = item["id"] if "id" in item else data.get("id", "")
    if not isinstance(key, str):
        raise _wrong(place, "type", "must be a string")
    if not key and operation != "INSERT":
        raise _wrong(place, "key", f"{operation} needs the id of a row")
    if key and not is_key(key):
        raise _wrong(place, "key", f"must be {KEY_RULE}")
    if data.get("id", key) != key:
        raise _wrong("/data/id", "key", f"must be {key!r}, as beside `data`, or absent")
    return key


def _row(operation: str, served: Served, key: str, data: dict[str, Any]) -> dict[str, Any]:
    sent = {**data, "id": key} if key else data
    try:
        if operation == "PATCH":
            return {"id": key, **_part(served, key, sent)}
        entity = read_entity(served, encode_json(sent), sent)
        return new_row(entity) if operation == "INSERT" else {"id": key, **entity.row()}
    except InputError as error:
        raise InputError(
            [p._replace(pointer=f"/data{p.pointer}") for p in error.problems]
        ) from None


def _part(served: Served, key: str, sent: dict[str, Any]) -> dict[str, Json]:
    part = partial_of(served.entity).read(encode_json(sent), key)
    if part.data is None:
        why = (
            f"a PATCH of {served.name} needs the whole row, to judge its fields together; read "
            'it, and send it with UPDATE and "if": {"version": n}'
        )
        raise _wrong("", "whole_row", why)
    return part.data


def _condition(spelled: Json) -> Condition:
    try:
        return codec.read_condition(spelled)
    except ValueError:
        raise _wrong(
            "/if",
            "precondition",
            'must be one of {"version": n}, {"absent": true}, {"present": true}',
        ) from None


def _wrong(pointer: str, code: str, message: str) -> InputError:
    return InputError([Problem(pointer, code, message)])
