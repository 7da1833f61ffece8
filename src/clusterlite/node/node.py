"""The node: one replica on one log, in this process. The embedded library's main object.

    with Node(data="data", log="file:data/log", entities=[User]) as node:
        ann = node.create(User(name="Ann", email="ann@example.com"))
        node.get(User, ann.id)

Writes wait until this node has applied them, so a read that follows sees them. Methods may be
called from any thread; each thread reads through a connection of its own.
"""

from __future__ import annotations

import builtins
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Self
from weakref import WeakSet

from clusterlite.core import codec, transaction
from clusterlite.core.consistency import Consistency
from clusterlite.core.entity import Entity, EntityT, check_key, key_of
from clusterlite.core.event import Condition, Stamp
from clusterlite.core.fields import Json
from clusterlite.core.keys import check_idempotency_key, keyed_event_id
from clusterlite.core.operations import TableOperations
from clusterlite.core.outcome import APPLIED, NEVER, REJECTIONS, Applied, Outcome, Row
from clusterlite.core.partial import bare
from clusterlite.core.registry import EntityRegistry
from clusterlite.core.rejections import rejection
from clusterlite.core.token import Token
from clusterlite.core.transaction import AnyChange, class_of
from clusterlite.core.tries import fate
from clusterlite.errors import (
    ClusterLiteError,
    ConfigError,
    NotFound,
    NotServing,
    OutcomeUnknown,
    Rejected,
)
from clusterlite.log.base import Log
from clusterlite.log.open import make_log
from clusterlite.node import forks
from clusterlite.node.answers import Answer, Appended, Submission
from clusterlite.node.consistency import Levels
from clusterlite.node.ids import timestamp, uuid7
from clusterlite.node.keyed import call_fingerprint, changes_given, check_same, given
from clusterlite.node.patches import PatchCall
from clusterlite.node.runtime import Runtime
from clusterlite.replica.reader import Reader, Selection, holds, known_schema

WAIT_S: Final = 10.0
OPEN_WAIT_S: Final = 120.0
LIST_MAX: Final = 10_000

_CLOSED: Final = "its id was closed by settle before it came; write again with a new key"


class Node:
    """One node, embedded in this process.

    Args:
        data: folder of its own; made where it does not exist.
        log: `memory:`, `file:PATH`, `kafka://host:port[,…]/topic`, or an adapter. The default
            is a file inside the data folder.
        entities: classes with `table=`, or table operations; declared in the log at `open`.
        node_id: for people; the host's name by default.
        cluster: the cluster id that the log must have; any where it is empty.
        wait_s: how long a write waits for its outcome, in seconds.
    """

    def __init__(
        self,
        data: str | Path,
        log: str | Log | None = None,
        entities: Iterable[type[Entity] | TableOperations] = (),
        *,
        node_id: str = "",
        cluster: str = "",
        wait_s: float = WAIT_S,
    ) -> None:
        self.data = Path(data)
        self.node_id = node_id or socket.gethostname()
        self.wait_s = wait_s
        self.registry = EntityRegistry(entities)
        chosen = f"file:{self.data / 'log'}" if log is None else log
        self.log = make_log(chosen) if isinstance(chosen, str) else chosen
        self._runtime = Runtime(self.data, self.log, self.registry, self.node_id, cluster)
        self._levels = Levels(self._runtime)
        self._readers = threading.local()
        # A thread that ended lets go of its reader, and so does this set.
        self._opened_readers: WeakSet[Reader] = WeakSet()
        self._known: dict[type[Entity], tuple[int, Selection]] = {}

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, *, link: bool = False, wait: bool = True) -> None:
        """Take the data folder, catch up with the log, declare the entities.

        Args:
            link: also listen for HTTP workers.
            wait: return once the node is ready; else at once, and it comes up by itself.

        Raises:
            FolderInUse: a running node has the data folder, in this process or another.
            ConfigError: an entity that contradicts the log, a folder that cannot be written.
            Halt: the log or the replica is not as it must be.
            NotServing: it was not ready in time.
        """
        forks.note_open(self)
        try:
            self._runtime.open(link=link)
        finally:
            if not self._runtime.is_open:
                forks.note_closed(self)
        if wait:
            try:
                self._runtime.wait_ready(OPEN_WAIT_S)
            except ClusterLiteError:
                self.close()
                raise

    def close(self) -> None:
        """End orderly; what was acknowledged is in the log and in the replica. Idempotent."""
        self._runtime.close()
        for reader in list(self._opened_readers):
            reader.close()
        self._opened_readers.clear()
        self._readers = threading.local()
        forks.note_closed(self)

    def leave_to_parent(self) -> None:
        """In a forked process: refuse every use from now on; see `node.forks`."""
        self._inherited_readers = self._readers
        self._readers = threading.local()
        self._opened_readers.clear()
        self._runtime.leave_to_parent()

    def wait_closed(self, timeout_s: float | None = None) -> bool:
        """Wait until the node ended by itself; False where it runs on."""
        return self._runtime.join(timeout_s)

    @property
    def refused(self) -> ClusterLiteError | None:
        """Why this node can never serve as it is told to, None where it may."""
        trouble = self._runtime.engine.trouble
        return trouble.error if trouble is not None and trouble.state == "refused" else None

    @property
    def position(self) -> int:
        """Of the last record applied, -1 before any."""
        return self._runtime.seen.position

    @property
    def cluster(self) -> str:
        """The cluster id, empty before the log has one."""
        return self._runtime.applier.committed.cluster

    @property
    def token(self) -> str:
        """Of this node's present state: given to a read at any node, it gets that or a later one.

        Over HTTP it is `ClusterLite-Token`.
        """
        return str(Token(self.cluster, self.position))

    def status(self) -> dict[str, Any]:
        """What `GET /-/cluster` shows of this node."""
        return self._runtime.status()

    # Reading.

    def get(
        self,
        entity: type[EntityT],
        key: str,
        *,
        consistency: Consistency | None = None,
        token: str | None = None,
    ) -> EntityT | None:
        """One row by key, None where it is absent; as this node has it now.

        Args:
            entity: which.
            key: of the row.
            consistency: `eventual`, `session`, `Bounded(seconds)` or `strong`; by default
                `session` with a token, else `eventual`.
            token: of an earlier answer of any node; the read is at least as new.

        Raises:
            LogUnavailable, Behind: nobody can know now whether this node is that new, or it is
                not in time; an older state is never given instead.
            ForeignToken, TokenAhead: the token is of another cluster, or from beyond the log.
        """
        _, selection = self._entity(entity)
        if consistency is not None or token is not None:
            self._reach(consistency, token)
        found = self._reader().row(selection, key)
        return None if found is None else entity.from_stored(key, found[1:], found[0])

    def list(
        self,
        entity: type[EntityT],
        *,
        limit: int = 1_000,
        after: str = "",
        consistency: Consistency | None = None,
        token: str | None = None,
    ) -> list[EntityT]:
        """Rows by key, in code point order.

        Args:
            entity: which.
            limit: at most so many, up to 10,000.
            after: only keys beyond this one; the last key of one page gives the next.
            consistency: as `get`.
            token: as `get`.

        Raises:
            LogUnavailable, Behind, ForeignToken, TokenAhead: as `get`.
        """
        _, selection = self._entity(entity)
        if consistency is not None or token is not None:
            self._reach(consistency, token)
        columns = entity.declaration.columns
        selection = Selection(
            entity.declaration.name, [*(column.name for column in columns), "_version"]
        )
        page = self._reader().page(selection, after, min(limit, LIST_MAX))
        return [entity.from_stored(key, values, version) for key, *values, version in page.rows]

    def sync(self) -> int:
        """Wait until this node has every write that was acknowledged before, at any node.

        Reads that follow are linearizable with those writes.

        Returns:
            The position reached.

        Raises:
            LogUnavailable: the log cannot be asked now.
            Behind: this node did not get there in time.
        """
        return self._levels.reach_end(self.wait_s)

    def _reach(self, consistency: Consistency | None, token: str | None) -> None:
        self._levels.reach(consistency, token, self.cluster, self.position, self.wait_s)

    # Writing.

    def create(self, entity: EntityT, *, key: str | None = None) -> EntityT:
        """Insert a row; its id is made where it is empty.

        Args:
            entity: the row.
            key: of this write, 1 to 255 ASCII characters. Called again with the same key and
                fields, at any node within the window, it has one effect and one result.

        Returns:
            The row as written, with `id` and `version`. Where a repeated call finds it written
            since: this call's fields, with the first call's `id` and `version`.

        Raises:
            Exists: a row with this id is there.
            KeyReused: the key came with another write before.
            InputError: a value that the log cannot hold.
            ConstraintFailed: a unique field or a reference.
            RecordTooLarge, LogUnavailable, NotServing, Overloaded, Halt: it did not happen.
            OutcomeUnknown: it may happen; called again with the same key it has one effect,
                `outcome` tells later, `settle` decides it.
        """
        operations, schema = self._operations(type(entity))
        row = {"id": check_key(entity.id) if entity.id else uuid7(), **entity.row()}
        applied = self._write(
            "create", entity, key, None, lambda stamp: operations.create_event(stamp, row, schema)
        )
        return self._written(entity, applied)

    def put(self, entity: EntityT, *, key: str | None = None) -> EntityT:
        """Create the row, or replace it where it is there; `key` and errors as `create`."""
        return self._update("put", entity, None, key)

    def update(
        self, entity: EntityT, *, if_version: int | None = None, key: str | None = None
    ) -> EntityT:
        """Replace a row that is there.

        Args:
            entity: with the id of the row.
            if_version: only where the row still has this version.
            key: as for `create`.

        Raises:
            NotFound: no such row is there.
            PreconditionFailed: it has another version.
            InputError, ConstraintFailed, KeyReused, LogUnavailable, OutcomeUnknown: as `create`.
        """
        condition = Condition(present=True) if if_version is None else Condition(if_version)
        return self._update("update", entity, condition, key)

    def patch(
        self,
        entity: type[EntityT],
        row_id: str,
        fields: Mapping[str, Any],
        *,
        if_version: int | None = None,
        key: str | None = None,
    ) -> EntityT:
        """Change some fields of a row that is there; the others stay as they are at apply.

        Documents are merged as JSON merge patch (RFC 7396) says: None removes a member.

        Args:
            entity: which.
            row_id: of the row.
            fields: by name, as the class's constructor takes them.
            if_version: only where the row still has this version.
            key: as for `create`. An HTTP request with this key that asks for the same is the
                same write.

        Returns:
            The whole row as it is now. Where a repeated call finds it written since: the row
            with `id` and `version` of the first call alone, and no other field.

        Raises:
            NotFound: no such row is there.
            PreconditionFailed: it has another version.
            Contention: the row had to be read first, and other writers came between each time.
            InputError: a value that the class or the log does not take.
            ConstraintFailed, KeyReused, LogUnavailable, OutcomeUnknown: as `create`.
        """
        schema, selection = self._entity(entity)
        asked = None if if_version is None else Condition(if_version)
        patch = PatchCall(entity, row_id, fields, asked, schema)
        stamp = self._stamp()
        if key is not None:
            event_id = keyed_event_id(self.cluster, "", check_idempotency_key(key))
            stamp = stamp._replace(id=event_id, fp=patch.fingerprint())
        applied = patch.made(
            stamp,
            lambda event_id: self._reader().fate(event_id).outcome,
            lambda: self._reader().row(selection, row_id),
            self._submit,
            time.monotonic() + self.wait_s,
        )
        outcome = applied.outcome
        if key is not None:
            check_same(key, stamp.fp, outcome)
        what = f"patch of {entity.declaration.name}/{row_id}"
        if outcome.verdict != APPLIED:
            raise rejected(outcome, what)
        return self._patched(entity, row_id, applied, what)

    def delete(
        self, entity: Entity, *, if_version: int | None = None, key: str | None = None
    ) -> None:
        """Remove a row.

        Args:
            entity: with the id of the row; its other fields do not matter.
            if_version: only where the row still has this version.
            key: as for `create`.

        Raises:
            NotFound: no such row is there.
            PreconditionFailed: it has another version than `if_version`.
            KeyReused, LogUnavailable, OutcomeUnknown: as `create`.
        """
        operations, _ = self._operations(type(entity))
        condition = None if if_version is None else Condition(if_version)
        row_id = key_of("delete", entity)
        self._write(
            "delete",
            entity,
            key,
            condition,
            lambda stamp: operations.delete_event(stamp, row_id, condition),
        )

    def transaction(
        self, changes: Sequence[AnyChange], *, key: str | None = None
    ) -> builtins.list[transaction.Changed]:
        """Write many rows of any tables in one event, all or none.

        Args:
            changes: 1 to 10,000 of Create, Put, Update, Patch, Delete and Assert, applied in order.
            key: as `create`. A repeated call gives the rows that were not written since.

        Returns:
            What each change did, in order.

        Raises:
            InputError: a change that cannot be; `problems` names each as `/changes/<index>`.
            Exists, NotFound, PreconditionFailed, ConstraintFailed: none was applied; `index` is
                that of the change that failed.
            RecordTooLarge, LogUnavailable, OutcomeUnknown: as `create`.
        """
        spelled = transaction.spelled(changes, lambda entity: self._entity(entity)[0], uuid7)
        applied = self._submit_keyed(
            key,
            "transaction",
            "",
            None if key is None else changes_given(changes),
            lambda stamp: codec.encode_transaction(stamp, spelled),
        )
        outcome = applied.outcome
        if outcome.verdict != APPLIED:
            failed = spelled[outcome.change]
            place = f"change {outcome.change} ({failed.operation} of {failed.table}/{failed.key})"
            raise rejected(outcome, f"transaction, {place}")
        if applied.repeated and not applied.rows:
            applied = applied._replace(rows=self._remembered(changes, outcome))
        return transaction.done(changes, applied)

    def outcome(
        self,
        event_id: str,
        *,
        consistency: Consistency | None = None,
        token: str | None = None,
    ) -> Outcome | None:
        """The verdict on an event, as `OutcomeUnknown` named it.

        Args:
            event_id: of the event.
            consistency: as `get`.
            token: as `get`.

        Returns:
            None where this node has not applied such an event, up to its present position.

        Raises:
            LogUnavailable, Behind, ForeignToken, TokenAhead: as `get`.
        """
        if consistency is not None or token is not None:
            self._reach(consistency, token)
        return fate(event_id, lambda used: self._reader().fate(used).outcome)

    def settle(self, event_id: str) -> Outcome:
        """Make an unknown outcome definite: the event's own, or `never` from now on.

        Raises:
            LogUnavailable, OutcomeUnknown: it is not settled yet; ask again.
        """
        try:
            return fate(event_id, self._closed)
        except OutcomeUnknown as error:
            raise OutcomeUnknown(event_id, error.position) from error

    def _closed(self, event_id: str) -> Outcome:
        fence = codec.encode(self._stamp(event_id), "FENCE")
        return self._submit(event_id, fence).outcome

    def _update(
        self, verb: str, entity: EntityT, condition: Condition | None, key: str | None
    ) -> EntityT:
        operations, schema = self._operations(type(entity))
        row = {"id": key_of(verb, entity), **entity.row()}
        applied = self._write(
            verb,
            entity,
            key,
            condition,
            lambda stamp: operations.update_event(stamp, row, schema, condition),
        )
        return self._written(entity, applied)

    def _write(
        self,
        verb: str,
        entity: Entity,
        key: str | None,
        condition: Condition | None,
        record: Callable[[Stamp], bytes],
    ) -> Applied:
        """One row's write, submitted and judged."""
        table = entity.declaration.name
        arguments: Json = None
        if key is not None:
            row: Json = {"id": entity.id} if verb == "delete" else given(entity)
            arguments = [row, None if condition is None else condition.to_json()]
        applied = self._submit_keyed(key, verb, table, arguments, record)
        if applied.outcome.verdict != APPLIED:
            raise rejected(applied.outcome, f"{verb} of {table}/{entity.id or '(a new id)'}")
        return applied

    def _submit_keyed(
        self,
        key: str | None,
        operation: str,
        table: str,
        arguments: Json,
        record: Callable[[Stamp], bytes],
    ) -> Applied:
        """Submit an event; with a key, answer as its first submission was answered.

        Args:
            key: the caller's; None for an event that is no other's repetition.
            operation: the method that was called.
            table: empty where it is about several.
            arguments: what tells this call from others, in JSON form; read only with a key.
            record: makes the event's bytes.

        Raises:
            KeyReused: the key came with another write before.
            InputError: the key is none.
        """
        if key is None:
            stamp = self._stamp()
            return self._submit(stamp.id, record(stamp))
        event_id = keyed_event_id(self.cluster, "", check_idempotency_key(key))
        fp = call_fingerprint(operation, table, arguments)
        known = self._reader().fate(event_id).outcome
        if known is not None:
            applied = Applied(known, (), repeated=True)
        else:
            applied = self._submit(event_id, record(self._stamp(event_id)._replace(fp=fp)))
        check_same(key, fp, applied.outcome)
        return applied

    def _submit(self, event_id: str, record: bytes) -> Applied:
        future: Future[Answer] = Future()
        self._runtime.submit(
            Submission(event_id, record, future.set_result, time.monotonic() + self.wait_s)
        )
        answer = future.result()
        if not isinstance(answer, Applied):
            raise _unexpected(answer)
        return answer

    def _written(self, entity: EntityT, applied: Applied) -> EntityT:
        key, version = applied.outcome.results[0].key, applied.outcome.position
        for row in applied.rows:
            if row.key == key and row.fields is not None:
                values = [row.fields.get(column.name) for column in entity.declaration.columns]
                return type(entity).from_stored(key, values, version)
        if applied.repeated:
            found = self.get(type(entity), key)
            if found is not None and found.version == version:
                return found
        return entity.model_copy(update={"id": key})._at_version(version)

    def _patched(self, entity: type[EntityT], row_id: str, applied: Applied, what: str) -> EntityT:
        version = applied.outcome.position
        for row in reversed(applied.rows):
            if row.key == row_id and row.fields is not None:
                values = [row.fields.get(column.name) for column in entity.declaration.columns]
                return entity.from_stored(row_id, values, version)
        if not applied.repeated:
            why = f"{what}: the table's own operations left no such row"
            raise NotFound("not_found", applied.outcome.event_id, version, text=why)
        found = self.get(entity, row_id)
        if found is not None and found.version == version:
            return found
        return bare(entity, row_id)._at_version(version)

    def _remembered(self, changes: Sequence[AnyChange], outcome: Outcome) -> tuple[Row, ...]:
        """The images of an earlier transaction, as far as its rows were not written since."""
        rows: dict[tuple[str, str], Row] = {}
        for change, result in zip(changes, outcome.results, strict=True):
            kind = class_of(change)
            found = self._reader().row(self._entity(kind)[1], result.key)
            if found is not None and found[0] == outcome.position:
                names = [column.name for column in kind.declaration.columns]
                image = dict(zip(names, found[1:], strict=True))
                rows[result.table, result.key] = Row(result.table, result.key, image)
        return tuple(rows.values())

    def _stamp(self, event_id: str = "") -> Stamp:
        name = event_id or uuid7()
        return Stamp(name, timestamp(), self.cluster, self.node_id, self.position)

    def _operations(self, entity: type[Entity]) -> tuple[TableOperations, int]:
        schema, _ = self._entity(entity)
        operations = self.registry.get(entity.declaration.name)
        if operations is None:
            raise ConfigError(f"{entity.__name__} is not among the node's entities")
        return operations, schema

    def _entity(self, entity: type[Entity]) -> tuple[int, Selection]:
        known = self._known.get(entity)
        if known is None:
            if self.registry.get(entity.declaration.name) is None:
                raise ConfigError(f"{entity.__name__} is not among the node's entities")
            names = [column.name for column in entity.declaration.columns]
            table = self._runtime.table(entity.declaration.name)
            if not holds(table, names):
                self._runtime.wait_ready(self.wait_s)
                table = self._runtime.table(entity.declaration.name)
            if not holds(table, names):
                raise NotServing(f"the log does not declare {entity.declaration.name} like this")
            known = known_schema(table, names), Selection(entity.declaration.name, names)
            self._known[entity] = known
        return known

    def _reader(self) -> Reader:
        reader: Reader | None = getattr(self._readers, "reader", None)
        if reader is None:
            if not self._runtime.is_open:
                raise self._runtime.not_open()
            reader = Reader(self._runtime.replica)
            self._readers.reader = reader
            self._opened_readers.add(reader)
        return reader


def rejected(outcome: Outcome, what: str) -> Rejected:
    """The error of a rejected outcome.

    Args:
        outcome: of the event.
        what: the write, as its caller knows it.
    """
    code = outcome.code or outcome.verdict
    kind: type[Rejected] | None = None
    why = _CLOSED if code == NEVER else REJECTIONS.get(code, code)
    if code == "precondition_failed" and outcome.version is None:
        kind, why = NotFound, REJECTIONS["not_found"]
    elif code == "precondition_failed":
        why += f"; its version is {outcome.version}"
    return rejection(outcome, f"{what}: {outcome.detail or why}", kind)


def _unexpected(answer: Answer) -> ClusterLiteError:
    if isinstance(answer, ClusterLiteError):
        return answer
    kind = type(answer).__name__ if not isinstance(answer, Appended) else "Appended"
    return ClusterLiteError(f"the engine answered {kind} to a write in process {os.getpid()}")
