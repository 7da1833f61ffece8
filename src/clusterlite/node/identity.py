"""Whether the log is still the one that the replica followed."""

from __future__ import annotations

from clusterlite.core.hashing import record_hash
from clusterlite.errors import Halt
from clusterlite.log.base import Identity, Log
from clusterlite.node.follower import Seen


def check_identity(log: Log, known: Identity | None, seen: Seen) -> Identity:
    """Compare the log with what the replica stored of it.

    Args:
        log: opened.
        known: what the replica stored; None for a replica that never followed a log.
        seen: its last record.

    Returns:
        The log's identity now.

    Raises:
        Halt: `wrong_log`, `log_gap` or `log_rewound`.
        LogUnavailable: the log cannot be asked now.
    """
    identity = log.identity()
    if known is not None and identity != known:
        raise Halt(
            "wrong_log",
            f"the replica followed the {known.kind} log {known.log_id or known.home} and this is "
            f"{identity.log_id or identity.home}",
            "Point the node at its own log, or give it an empty data folder to join this one",
        )
    first, end = log.bounds()
    if seen.position >= end:
        raise Halt(
            "log_rewound",
            f"the replica is at position {seen.position} and the log ends at {end}",
            "The log lost records or was replaced by an older copy: restore the newer one. "
            "Other nodes may hold what it lost: do not delete any data folder",
        )
    if seen.position < first - 1:
        raise Halt(
            "log_gap",
            f"the replica is at position {seen.position} and the log begins at {first}",
            "Give the node a data folder that has what was trimmed: a copy of another node's, for "
            "example",
        )
    if seen.position >= first:
        _check_record(log, seen)
    elif seen.position >= 0 and not identity.log_id:
        raise Halt(
            "log_gap",
            f"the record at position {seen.position} was trimmed, and this broker has no topic "
            "ids to recognise the log by",
            "Give the node a data folder that has what was trimmed: a copy of another node's, for "
            "example",
        )
    return identity


def _check_record(log: Log, seen: Seen) -> None:
    record = log.peek(seen.position)
    if record is None:
        raise Halt(
            "log_rewound",
            f"the log holds no record at position {seen.position}, which the replica applied",
            "The log lost records or was replaced: restore the newer one; delete nothing",
        )
    if record_hash(record.value) != seen.record_hash:
        raise Halt(
            "wrong_log",
            f"the record at position {seen.position} is not the one that the replica applied",
            "Point the node at its own log, or give it an empty data folder to join this one",
        )
