"""The client: what each call sends, and what it makes of the answer."""

from __future__ import annotations

import builtins
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self
from urllib.parse import quote

from clusterlite.client.address import Answer
from clusterlite.client.answers import (
    Changed,
    Row,
    changes_of,
    good,
    is_refusal,
    outcome_of,
    row_at,
    row_of,
)
from clusterlite.client.rotation import Call, Rotation
from clusterlite.core.keys import check_idempotency_key, keyed_event_id
from clusterlite.core.outcome import APPLIED, NEVER, Outcome
from clusterlite.core.rejections import rejection
from clusterlite.errors import ConfigError, NotServing, OutcomeUnknown

TIMEOUT_S: Final = 30.0
SETTLE_S: Final = 5.0
"""What a call may take beyond its time, to settle what it left open."""

_EARLIER: Final = (
    "this call wrote nothing, but an earlier one with its key may have: call again with it"
)


class Client:
    """Reads and writes rows of tables at any of several nodes.

    Args:
        urls: of nodes of one cluster, as `http://node-1:8082`; one after the other is asked.
        timeout_s: how long one call may take, in seconds.
        settle: what becomes of a write whose outcome is not known when its time is over, and
            whose key the client made: True settles it, which may take 5 s more; False raises
            `OutcomeUnknown`. A write with the caller's own key is never settled unasked, since
            that would close the key: it may be called again.
    """

    def __init__(
        self, urls: Sequence[str], *, timeout_s: float = TIMEOUT_S, settle: bool = True
    ) -> None:
        if isinstance(urls, str) or not urls:
            raise ConfigError("urls is a list of the nodes' addresses, at least one")
        self.timeout_s = timeout_s
        self._settles = settle
        self._nodes = Rotation(urls)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are free."""
        self._nodes.close()

    @property
    def token(self) -> str:
        """The newest state that this client has seen, as `ClusterLite-Token`; empty at first."""
        return "" if self._nodes.token is None else str(self._nodes.token)

    def create(self, table: str, row: Mapping[str, Any], *, key: str | None = None) -> Row:
        """Insert a row; its id is made where it has none.

        Args:
            table: its name.
            row: fields by name, as JSON has them.
            key: of this write; made where there is none.

        Returns:
            The row as written. Where another write came in between: the fields of this call.

        Raises:
            Exists, ConstraintFailed, PreconditionFailed, NotFound, Rejected: the log's verdict.
            InputError, RecordTooLarge, KeyReused, Refused: this call was refused, without effect.
            NotServing: no node took it in time; it did not happen. With a key of the caller's:
                no node was found, and this call wrote nothing; an earlier one may have.
            OutcomeUnknown: it may happen, or an earlier call with the caller's key may have
                written it; call again with the same key, or `settle` it.
        """
        return row_of(self._write("POST", f"/{_segment(table)}", row, {}, key), row)

    def put(
        self,
        table: str,
        row_id: str,
        row: Mapping[str, Any],
        *,
        if_version: int | None = None,
        key: str | None = None,
    ) -> Row:
        """Create or replace a row, at `if_version` where that is given. Raises as `create`."""
        written = self._write("PUT", _path(table, row_id), row, _match(if_version), key)
        return row_of(written, {**row, "id": row_id})

    def patch(
        self,
        table: str,
        row_id: str,
        fields: Mapping[str, Any],
        *,
        if_version: int | None = None,
        key: str | None = None,
    ) -> Row:
        """Change some fields of a row that is there, at `if_version` where that is given.

        Args:
            table: its name.
            row_id: of the row.
            fields: by name; None is NULL, and documents are merged (RFC 7396).
            if_version: only where the row still has this version.
            key: as for `create`.

        Returns:
            The whole row. Where another write came in between: its `id` alone, with the version
            that this patch gave it.

        Raises:
            Contention: the row had to be read first, and other writers came between each time.
            NotFound, PreconditionFailed, OutcomeUnknown: these and others as `create`.
        """
        written = self._write("PATCH", _path(table, row_id), fields, _match(if_version), key)
        return row_of(written, {"id": row_id})

    def delete(
        self, table: str, row_id: str, *, if_version: int | None = None, key: str | None = None
    ) -> None:
        """Remove a row, at `if_version` where that is given. Raises as `create`."""
        self._write("DELETE", _path(table, row_id), None, _match(if_version), key)

    def transaction(
        self, changes: Sequence[Mapping[str, Any]], *, key: str | None = None
    ) -> builtins.list[Changed]:
        """Write many rows of any tables in one event, all or none.

        Args:
            changes: as `POST /-/transaction` has them: `operation` (INSERT, UPDATE, PATCH, DELETE
                or ASSERT), `table_name`, `id`, `data`, `if`.
            key: as for `create`.

        Returns:
            What each change did, in order. Where another write came in between, without rows.

        Raises:
            Exists, NotFound, PreconditionFailed, ConstraintFailed: none was applied; `index` is
                that of the change that failed.
            InputError, OutcomeUnknown: these and others as `create`.
        """
        body = {"changes": [dict(change) for change in changes]}
        return changes_of(self._write("POST", "/-/transaction", body, {}, key))

    def get(self, table: str, row_id: str) -> Row | None:
        """One row, None where it is absent. Raises `NotServing` where no node answers in time."""
        answer = self._read(_path(table, row_id))
        if answer.status == 404 and answer.document.get("code") == "not_found":
            return None
        return row_at(good(answer).document, answer)

    def list(self, table: str, *, limit: int | None = None) -> list[Row]:
        """Rows by id; all of them, page by page, or the first `limit`."""
        rows: list[Row] = []
        path = f"/{_segment(table)}" + (f"?_limit={limit}" if limit and limit < 1_000 else "")
        while path:
            answer = good(self._read(path))
            rows += map(Row, answer.document)
            link = answer.headers.get("link", "")
            more = limit is None or len(rows) < limit
            path = link[1 : link.index(">")] if link and more else ""
        return rows if limit is None else rows[:limit]

    def event(self, event_id: str) -> dict[str, Any]:
        """What a node knows of an event, as `GET /-/events/{id}` shows it."""
        document: dict[str, Any] = good(self._read(f"/-/events/{_segment(event_id)}")).document
        return document

    def outcome(self, event_id: str) -> Outcome | None:
        """What became of an event; None where the node has not applied it, or forgot it."""
        return outcome_of(self.event(event_id))

    def settle(self, event_id: str) -> Outcome:
        """Make an unknown outcome definite: the event's own, or `never` from now on.

        Raises:
            OutcomeUnknown: no node answered in time.
        """
        return self._settle(event_id, Call(self.timeout_s))

    def _settle(self, event_id: str, call: Call) -> Outcome:
        path = f"/-/events/{_segment(event_id)}/settle"
        answer = self._nodes.ask(call, "POST", path, b"", {})
        outcome = None if answer is None else outcome_of(good(answer).document)
        if outcome is None:
            raise OutcomeUnknown(event_id)
        return outcome

    def _read(self, path: str) -> Answer:
        call = Call(self.timeout_s)
        headers = {"ClusterLite-Token": self.token} if self.token else {}
        answer = self._nodes.ask(call, "GET", path, None, headers)
        if answer is None:
            raise NotServing(f"no node answered in {self.timeout_s:g} s; the last: {call.why}")
        return answer

    def _write(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None,
        conditions: dict[str, str],
        key: str | None,
    ) -> Answer | Outcome:
        """The answer to a write that was applied, or its outcome where that was settled."""
        used = str(uuid.uuid4()) if key is None else check_idempotency_key(key)
        headers = {"Idempotency-Key": used, "Content-Type": "application/json", **conditions}
        body = None if document is None else json.dumps(dict(document)).encode()
        call = Call(self.timeout_s)
        event_id = self._event_id(call, used, is_own=key is not None)
        answer = self._nodes.ask(call, method, path, body, headers)
        # What was refused before the log says nothing of an earlier try that may be in it.
        if answer is not None and not (call.in_doubt and is_refusal(answer)):
            return good(answer)
        why = f"no node took the write in {self.timeout_s:g} s; the last: {call.why}"
        # An earlier call with the caller's key, from any process, may have reached the log.
        if key is not None or (call.in_doubt and not self._settles):
            raise OutcomeUnknown(event_id) from NotServing(why)
        if not call.in_doubt:
            raise NotServing(f"{why}; it did not happen")
        outcome = self._settle(event_id, Call(SETTLE_S))
        if outcome.verdict == NEVER:
            if answer is not None:
                good(answer)
            raise NotServing(f"no node took the {method} in time; it is closed and never happens")
        if outcome.verdict != APPLIED:
            raise rejection(outcome)
        return outcome

    def _event_id(self, call: Call, key: str, *, is_own: bool) -> str:
        """The event that a key names; the first write asks a node for the cluster's id.

        Args:
            call: that it is for.
            key: of the write.
            is_own: whether it is the caller's, who may have sent it before.

        Raises:
            NotServing: none answers; nothing was sent.
        """
        while self._nodes.token is None:
            answer = self._nodes.ask(call, "GET", "/-/cluster", None, {})
            if answer is None:
                why = f"no node answered in {self.timeout_s:g} s; the last: {call.why}"
                if is_own:
                    raise NotServing(f"{why}; {_EARLIER}")
                raise NotServing(f"{why}; nothing was written")
            good(answer)
        return keyed_event_id(self._nodes.token.cluster, "", key)


def _segment(text: str) -> str:
    return quote(text, safe="")


def _path(table: str, row_id: str) -> str:
    return f"/{_segment(table)}/{_segment(row_id)}"


def _match(version: int | None) -> dict[str, str]:
    return {} if version is None else {"If-Match": f'"{version}"'}
