"""The node: one replica on one log, in this process. The embedded library's main object.

    with Node(data="data", log="file:data/log", entities=[User]) as node:
        ann = node.create(User(name="Ann", email="ann@example.com"))
        node.get(User, ann.id)

Writes wait until this node has applied them, so a read that follows sees them. Methods may be
called from any thread; each thread reads through a connection of its own.
"""

from __future__ import annotations

import builtins
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from clusterlite.core import codec, transaction
from clusterlite.core.consistency import Consistency
from clusterlite.core.entity import Entity, EntityT, check_key, judged_row, key_of
from clusterlite.core.event import Condition, Stamp
from clusterlite.core.fields import Json
from clusterlite.core.operations import TableOperations
from clusterlite.core.outcome import APPLIED, Applied, Outcome
from clusterlite.core.registry import EntityRegistry
from clusterlite.core.token import Token
from clusterlite.core.transaction import AnyChange
from clusterlite.core.tries import fate
from clusterlite.errors import (
    ClusterLiteError,
    OutcomeUnknown,
)
from clusterlite.log.base import Log
from clusterlite.log.open import make_log
from clusterlite.node import forks
from clusterlite.node.consistency import Levels
from clusterlite.node.ids import uuid7
from clusterlite.node.keyed import changes_given, check_same, given
from clusterlite.node.patches import PatchCall
from clusterlite.node.results import rejected, row_patched, row_written, rows_remembered
from clusterlite.node.runtime import Runtime
from clusterlite.node.submitter import Submitter
from clusterlite.node.tables import Tables
from clusterlite.replica.reader import Selection

WAIT_S: Final = 10.0
OPEN_WAIT_S: Final = 120.0
LIST_MAX: Final = 10_000


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
        self._tables = Tables(self._runtime, self.registry)
        self._events = Submitter(self._runtime, self._tables, self.node_id)

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
        self._tables.close()
        forks.note_closed(self)

    def leave_to_parent(self) -> None:
        """In a forked process: refuse every use from now on; see `node.forks`."""
        self._tables.leave_to_parent()
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
        _, selection = self._table(entity)
        if consistency is not None or token is not None:
            self._reach(consistency, token)
        found = self._tables.reader().row(selection, key)
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
        _, selection = self._table(entity)
        if consistency is not None or token is not None:
            self._reach(consistency, token)
        columns = entity.declaration.columns
        selection = Selection(
            entity.declaration.name, [*(column.name for column in columns), "_version"]
        )
        page = self._tables.reader().page(selection, after, min(limit, LIST_MAX))
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
        operations, schema = self._tables.operations(type(entity), self.wait_s)
        row = {"id": check_key(entity.id) if entity.id else uuid7(), **judged_row(entity)}
        applied = self._write(
            "create", entity, key, None, lambda stamp: operations.create_event(stamp, row, schema)
        )
        return row_written(entity, applied, self.get)

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
        schema, selection = self._table(entity)
        asked = None if if_version is None else Condition(if_version)
        patch = PatchCall(entity, row_id, fields, asked, schema)
        stamp = self._events.stamp()
        if key is not None:
            stamp = self._events.keyed_stamp(key, patch.fingerprint())
        applied = patch.made(
            stamp,
            self._tables.known,
            lambda: self._tables.reader().row(selection, row_id),
            lambda event_id, record: self._events.submit(event_id, record, self.wait_s),
            time.monotonic() + self.wait_s,
        )
        if key is not None:
            check_same(key, stamp.fp, applied.outcome)
        if applied.outcome.verdict != APPLIED:
            raise rejected(applied.outcome, f"patch of {entity.declaration.name}/{row_id}")
        return row_patched(entity, row_id, applied, self.get)

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
        operations, _ = self._tables.operations(type(entity), self.wait_s)
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
        spelled = transaction.spelled(changes, lambda entity: self._table(entity)[0], uuid7)
        applied = self._events.submit_keyed(
            key,
            "transaction",
            "",
            None if key is None else changes_given(changes),
            lambda stamp: codec.encode_transaction(stamp, spelled),
            self.wait_s,
        )
        outcome = applied.outcome
        if outcome.verdict != APPLIED:
            failed = spelled[outcome.change]
            place = f"change {outcome.change} ({failed.operation} of {failed.table}/{failed.key})"
            raise rejected(outcome, f"transaction, {place}")
        if applied.repeated and not applied.rows:
            rows = rows_remembered(
                changes, outcome, lambda kind, row_id: self._tables.row(kind, row_id, self.wait_s)
            )
            applied = applied._replace(rows=rows)
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
        return fate(event_id, self._tables.known)

    def settle(self, event_id: str) -> Outcome:
        """Make an unknown outcome definite: the event's own, or `never` from now on.

        Raises:
            LogUnavailable, OutcomeUnknown: it is not settled yet; ask again.
        """
        try:
            return fate(event_id, lambda used: self._events.close_id(used, self.wait_s))
        except OutcomeUnknown as error:
            raise OutcomeUnknown(event_id, error.position) from error

    def _update(
        self, verb: str, entity: EntityT, condition: Condition | None, key: str | None
    ) -> EntityT:
        operations, schema = self._tables.operations(type(entity), self.wait_s)
        row = {"id": key_of(verb, entity), **judged_row(entity)}
        applied = self._write(
            verb,
            entity,
            key,
            condition,
            lambda stamp: operations.update_event(stamp, row, schema, condition),
        )
        return row_written(entity, applied, self.get)

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
        applied = self._events.submit_keyed(key, verb, table, arguments, record, self.wait_s)
        if applied.outcome.verdict != APPLIED:
            raise rejected(applied.outcome, f"{verb} of {table}/{entity.id or '(a new id)'}")
        return applied

    def _table(self, entity: type[Entity]) -> tuple[int, Selection]:
        return self._tables.selection(entity, self.wait_s)
