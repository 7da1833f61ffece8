"""From a call of the node's to its event in the log, and the event's outcome."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future

from clusterlite.core import codec
from clusterlite.core.event import Stamp
from clusterlite.core.fields import Json
from clusterlite.core.keys import check_idempotency_key, keyed_event_id
from clusterlite.core.outcome import Applied, Outcome
from clusterlite.errors import ClusterLiteError
from clusterlite.node.answers import Answer, Submission
from clusterlite.node.ids import timestamp, uuid7
from clusterlite.node.keyed import call_fingerprint, check_same, one_of_several
from clusterlite.node.runtime import Runtime
from clusterlite.node.tables import Tables


class Submitter:
    """The events of one node's calls.

    Args:
        runtime: of the node.
        tables: of the node.
        node_id: for people.
    """

    def __init__(self, runtime: Runtime, tables: Tables, node_id: str) -> None:
        self._runtime = runtime
        self._tables = tables
        self._node_id = node_id

    @property
    def _cluster(self) -> str:
        return self._runtime.applier.committed.cluster

    def stamp(self, event_id: str = "") -> Stamp:
        """What this node adds to an event; its id is made where there is none."""
        position = self._runtime.seen.position
        return Stamp(event_id or uuid7(), timestamp(), self._cluster, self._node_id, position)

    def keyed_stamp(self, key: str, fp: str) -> Stamp:
        """That of a write with a key.

        Raises:
            InputError: the key is none.
        """
        event_id = keyed_event_id(self._cluster, "", check_idempotency_key(key))
        return self.stamp(event_id)._replace(fp=fp)

    def submit_keyed(
        self,
        key: str | None,
        operation: str,
        table: str,
        arguments: Json,
        record: Callable[[Stamp], bytes],
        wait_s: float,
    ) -> Applied:
        """Submit an event; with a key, answer as its first submission was answered.

        Args:
            key: the caller's; None for an event that is no other's repetition.
            operation: the method that was called.
            table: empty where it is about several.
            arguments: what tells this call from others, in JSON form; read only with a key.
            record: makes the event's bytes.
            wait_s: how long its outcome is waited for, in seconds.

        Raises:
            KeyReused: the key came with another write before.
            InputError: the key is none.
            LogUnavailable, NotServing, Overloaded, Halt, RecordTooLarge: this did not happen;
                with a key an earlier call may have had its effect.
            OutcomeUnknown: it may happen.
        """
        if key is None:
            stamp = self.stamp()
            return self.submit(stamp.id, record(stamp), wait_s)
        event_id = keyed_event_id(self._cluster, "", check_idempotency_key(key))
        fp = call_fingerprint(operation, table, arguments)
        known = self._tables.known(event_id)
        if known is not None:
            applied = Applied(known, (), repeated=True)
        else:
            with one_of_several():
                own = record(self.stamp(event_id)._replace(fp=fp))
                applied = self.submit(event_id, own, wait_s)
        check_same(key, fp, applied.outcome)
        return applied

    def submit(self, event_id: str, record: bytes, wait_s: float) -> Applied:
        """Append an event and wait for its outcome.

        Raises:
            LogUnavailable, NotServing, Overloaded, Halt, RecordTooLarge: it did not happen.
            OutcomeUnknown: it may happen.
        """
        future: Future[Answer] = Future()
        self._runtime.submit(
            Submission(event_id, record, future.set_result, time.monotonic() + wait_s)
        )
        answer = future.result()
        if not isinstance(answer, Applied):
            raise _unexpected(answer)
        return answer

    def close_id(self, event_id: str, wait_s: float) -> Outcome:
        """The outcome of an id, `never` where the log did not have it; raises as `submit`."""
        fence = codec.encode(self.stamp(event_id), "FENCE")
        return self.submit(event_id, fence, wait_s).outcome


def _unexpected(answer: Answer) -> ClusterLiteError:
    if isinstance(answer, ClusterLiteError):
        return answer
    kind = type(answer).__name__
    return ClusterLiteError(f"the engine answered {kind} to a write in process {os.getpid()}")
