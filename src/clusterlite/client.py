"""A client over HTTP that retries by itself: each write has one effect, or none, and says which.

    client = Client(["http://node-1:8082", "http://node-2:8082"])
    ann = client.create("users", {"name": "Ann", "email": "ann@example.com"})
    client.get("users", ann["id"])

1. Every write carries an idempotency key, so it may be sent again, to any node. It is, after a
   lost connection, 503, 504 or 202, until its outcome is known or the call's time is over.
2. "It did not happen" is raised only where no try can have reached the log, or the log says so.
   Where one may have, the event is settled or `OutcomeUnknown` raised: see `Client`.
3. Reads carry the newest token that this client was given, so they see its own writes at
   whichever node, and never go back (I7).

It may be used from any thread; its connections are the standard library's.
"""

from __future__ import annotations

import builtins
import http.client
import json
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote, unquote, urlsplit

from clusterlite.core.keys import check_idempotency_key, keyed_event_id
from clusterlite.core.outcome import APPLIED, NEVER, Outcome, Result
from clusterlite.core.rejections import rejection
from clusterlite.core.token import Token
from clusterlite.errors import (
    ClusterLiteError,
    ConfigError,
    ForeignToken,
    InputError,
    KeyReused,
    NotServing,
    OutcomeUnknown,
    Problem,
    RecordTooLarge,
)

TIMEOUT_S: Final = 30.0
TRY_S: Final = 5.0
"""How long one node is waited for, while there are others to ask."""

SETTLE_S: Final = 5.0
"""What a call may take beyond its time, to settle what it left open."""

_PAUSE_MIN_S: Final = 0.05
_PAUSE_MAX_S: Final = 1.0


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


class _Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def problem(self) -> dict[str, Any]:
        """The document of a node's error; empty where a proxy answered by itself."""
        document = self.document if self.status >= 400 else {}
        return document if isinstance(document, dict) and "code" in document else {}

    @property
    def is_of_node(self) -> bool:
        """Whether a node answered, and no proxy in front of it."""
        return bool(self.problem) or "clusterlite-token" in self.headers


class _Lost(Exception):
    """No answer came: `sent` tells whether the request may have arrived."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class _Address:
    """One node's address, with the connections that are free."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
            raise ConfigError(f"{url!r} is no address of a node, as http://node-1:8082")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else None
        self._kind = kind or http.client.HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._free: list[http.client.HTTPConnection] = []

    def ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], wait_s: float
    ) -> _Answer:
        """One request and its answer.

        Raises:
            _Lost: there is none.
        """
        try:
            connection = self._free.pop()
        except IndexError:  # all are in use by other threads
            connection = self._kind(self._host, self._port)
        connection.timeout = wait_s
        sent = False
        try:
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(wait_s)
            sent = True
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            found = _Answer(answer.status, names, answer.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _Lost(f"{self.url}: {error or type(error).__name__}", sent=sent) from error
        self._free.append(connection)
        return found

    def close(self) -> None:
        while self._free:
            self._free.pop().close()


class _Call:
    """One call on its way through the nodes.

    Args:
        wait_s: for all its tries.
    """

    def __init__(self, wait_s: float) -> None:
        self.deadline = time.monotonic() + wait_s
        self.in_doubt = False
        """Whether a try may have reached the log, with an outcome that is not known."""
        self.why = "no node was asked"
        self._tries = 0

    def left_s(self) -> float:
        return self.deadline - time.monotonic()

    def pause(self, nodes: int) -> None:
        """Before the next try: none while there are nodes that were not asked yet."""
        self._tries += 1
        rounds = self._tries // nodes
        if rounds and self._tries % nodes == 0:
            pause_s = min(_PAUSE_MIN_S * 2 ** min(rounds - 1, 10), _PAUSE_MAX_S)
            time.sleep(max(0.0, min(pause_s, self.left_s())))


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
        self._nodes = [_Address(url) for url in urls]
        self._first = 0
        self._token: Token | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are free."""
        for node in self._nodes:
            node.close()

    @property
    def token(self) -> str:
        """The newest state that this client has seen, as `ClusterLite-Token`; empty at first."""
        return "" if self._token is None else str(self._token)

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
            InputError, RecordTooLarge, KeyReused, Refused: it was refused, without effect.
            NotServing: no node took it in time; it did not happen.
            OutcomeUnknown: it may happen; call again with the same key, or `settle` it.
        """
        return _row_of(self._write("POST", f"/{_segment(table)}", row, {}, key), row)

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
        return _row_of(written, {**row, "id": row_id})

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
        return _row_of(written, {"id": row_id})

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
        return _changed(self._write("POST", "/-/transaction", body, {}, key))

    def get(self, table: str, row_id: str) -> Row | None:
        """One row, None where it is absent. Raises `NotServing` where no node answers in time."""
        answer = self._read(_path(table, row_id))
        if answer.status == 404 and answer.document.get("code") == "not_found":
            return None
        return _row(_good(answer).document, answer)

    def list(self, table: str, *, limit: int | None = None) -> list[Row]:
        """Rows by id; all of them, page by page, or the first `limit`."""
        rows: list[Row] = []
        path = f"/{_segment(table)}" + (f"?_limit={limit}" if limit and limit < 1_000 else "")
        while path:
            answer = _good(self._read(path))
            rows += map(Row, answer.document)
            link = answer.headers.get("link", "")
            more = limit is None or len(rows) < limit
            path = link[1 : link.index(">")] if link and more else ""
        return rows if limit is None else rows[:limit]

    def event(self, event_id: str) -> dict[str, Any]:
        """What a node knows of an event, as `GET /-/events/{id}` shows it."""
        document: dict[str, Any] = _good(self._read(f"/-/events/{_segment(event_id)}")).document
        return document

    def outcome(self, event_id: str) -> Outcome | None:
        """What became of an event; None where the node has not applied it, or forgot it."""
        return _outcome(self.event(event_id))

    def settle(self, event_id: str) -> Outcome:
        """Make an unknown outcome definite: the event's own, or `never` from now on.

        Raises:
            OutcomeUnknown: no node answered in time.
        """
        return self._settle(event_id, _Call(self.timeout_s))

    def _settle(self, event_id: str, call: _Call) -> Outcome:
        path = f"/-/events/{_segment(event_id)}/settle"
        answer = self._ask(call, "POST", path, b"", {}, of_nodes=True)
        outcome = None if answer is None else _outcome(_good(answer).document)
        if outcome is None:
            raise OutcomeUnknown(event_id)
        return outcome

    def _read(self, path: str) -> _Answer:
        call = _Call(self.timeout_s)
        headers = {"ClusterLite-Token": self.token} if self.token else {}
        answer = self._ask(call, "GET", path, None, headers)
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
    ) -> _Answer | Outcome:
        """The answer to a write that was applied, or its outcome where that was settled."""
        used = str(uuid.uuid4()) if key is None else check_idempotency_key(key)
        headers = {"Idempotency-Key": used, "Content-Type": "application/json", **conditions}
        body = None if document is None else json.dumps(dict(document)).encode()
        call = _Call(self.timeout_s)
        event_id = self._event_id(call, used)
        answer = self._ask(call, method, path, body, headers)
        # What was refused before the log says nothing of an earlier try that may be in it.
        if answer is not None and not (call.in_doubt and _is_refusal(answer)):
            return _good(answer)
        if not call.in_doubt:
            raise NotServing(
                f"no node took the write in {self.timeout_s:g} s, and it did not happen; "
                f"the last: {call.why}"
            )
        if key is not None or not self._settles:
            raise OutcomeUnknown(event_id)
        outcome = self._settle(event_id, _Call(SETTLE_S))
        if outcome.verdict == NEVER:
            if answer is not None:
                _good(answer)
            raise NotServing(f"no node took the {method} in time; it is closed and never happens")
        if outcome.verdict != APPLIED:
            raise rejection(outcome)
        return outcome

    def _event_id(self, call: _Call, key: str) -> str:
        """The event that a key names; the first write asks a node for the cluster's id.

        Raises:
            NotServing: none answers; nothing was sent.
        """
        while self._token is None:
            answer = self._ask(call, "GET", "/-/cluster", None, {})
            if answer is None:
                why = f"no node answered in {self.timeout_s:g} s; the last: {call.why}"
                raise NotServing(f"{why}; nothing was written")
            if self._token is None:  # a node that has not found its log yet tells no token
                call.why = "the node is starting"
                call.pause(1)
        return keyed_event_id(self._token.cluster, "", key)

    def _ask(
        self,
        call: _Call,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        of_nodes: bool = False,
    ) -> _Answer | None:
        """Ask one node after the other, until one has a definite answer; None where none has.

        Args:
            call: that it is for.
            method: of HTTP.
            path: with its query.
            body: None where there is none.
            headers: of the request.
            of_nodes: what a proxy answers by itself decides nothing.
        """
        first = self._first
        for number in range(first, first + 1_000_000):
            left_s = call.left_s()
            if left_s <= 0:
                return None
            node = self._nodes[number % len(self._nodes)]
            try:
                answer = node.ask(method, path, body, headers, min(TRY_S, left_s))
            except _Lost as lost:
                call.in_doubt |= lost.sent and "Idempotency-Key" in headers
                call.why = str(lost)
            else:
                is_open = answer.status == 202 or answer.status >= 500
                if not is_open and (answer.is_of_node or not of_nodes):
                    self._first = number % len(self._nodes)
                    self._note(answer, node)
                    return answer
                call.in_doubt |= answer.status != 503 or not answer.is_of_node
                detail = answer.problem.get("detail", f"{answer.status}, which is no node's answer")
                call.why = f"{node.url}: {detail}"
            call.pause(len(self._nodes))
        return None

    def _note(self, answer: _Answer, node: _Address) -> None:
        """Keep the newest token.

        Raises:
            ForeignToken: the node is of another cluster.
        """
        found = Token.parse(answer.headers.get("clusterlite-token", ""))
        if found is None:
            return
        with self._lock:
            if self._token is not None and self._token.cluster != found.cluster:
                raise ForeignToken(
                    f"{node.url} is of the cluster {found.cluster}, the others of "
                    f"{self._token.cluster}: name nodes of one cluster"
                )
            if self._token is None or found.position > self._token.position:
                self._token = found


def _segment(text: str) -> str:
    return quote(text, safe="")


def _path(table: str, row_id: str) -> str:
    return f"/{_segment(table)}/{_segment(row_id)}"


def _match(version: int | None) -> dict[str, str]:
    return {} if version is None else {"If-Match": f'"{version}"'}


def _is_refusal(answer: _Answer) -> bool:
    """Whether it was answered without a look at the log: a verdict names its event."""
    return answer.status >= 400 and "clusterlite-event" not in answer.headers


def _good(answer: _Answer) -> _Answer:
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


def _row_of(written: _Answer | Outcome, known: Mapping[str, Any]) -> Row:
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
        return _row({**known, **written.document}, written)
    location = written.headers.get("location", "")
    made = {"id": unquote(location.rpartition("/")[2])} if location else {}
    return _row({**known, **made}, written)


def _changed(written: _Answer | Outcome) -> list[Changed]:
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


def _row(fields: dict[str, Any], answer: _Answer) -> Row:
    row = Row(fields)
    row.version = int(answer.headers.get("etag", "-1").strip('"'))
    return row


def _outcome(document: dict[str, Any]) -> Outcome | None:
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
