"""A record of the log in words: what was written, never what came of it.

Anybody may write to a log, so nothing here trusts a record: any bytes can be told, and what would
steer a terminal is spelled out.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any, Final

from clusterlite.core.acceptance import Unreadable, read_json
from clusterlite.core.codec import decode
from clusterlite.core.event import FORMAT, Event
from clusterlite.log.base import Record

HEADING: Final = "position  time                      by            operation    row and data"
TEXT_MAX: Final = 120
"""Characters of a row's data that a line shows."""

_NAME_MAX: Final = 64
_KEYS_MAX: Final = 3


def spell(record: Record, cluster: str) -> dict[str, Any]:
    """A record as one JSON object.

    Args:
        record: of any content.
        cluster: the log's own id, empty where it is not known.

    Returns:
        `kind` is `event`, `foreign` (another program or cluster wrote it), `newer` (a later build
        did), `invalid` (no event that the rules know) or `unreadable`; for all but the first,
        `problem` says why.
    """
    shown: dict[str, Any] = {"position": record.position, "time": time_text(record.time_ms)}
    try:
        envelope = read_json(record.value)
    except Unreadable as error:
        return shown | _unreadable(str(error), record.value)
    event = decode(record.value, record.position)
    if event is None:
        return shown | _unreadable("it is JSON and no object", record.value)
    kind, problem = _judged(event, cluster)
    shown |= {"kind": kind, "id": event.id, "operation": event.operation, "table": event.table}
    shown |= {"key": _key(event), "node": _text(envelope.get("node")), "actor": event.actor}
    shown |= {"cluster": event.cluster, "format": event.format, "data": event.data}
    return shown if problem is None else shown | {"problem": problem}


def line(shown: dict[str, Any]) -> str:
    """What `spell` gave, on one line."""
    start = f"{shown['position']:>8}  {shown['time']:<24}  "
    problem = shown.get("problem")
    if shown["kind"] == "unreadable":
        return start + f"{'?':<12}  {'unreadable':<11}  {problem}: {shown['text']}"
    by = "@".join(clean(name) for name in (shown["actor"], shown["node"]) if name) or "-"
    words = [_row(shown)]
    if shown["operation"] not in {"TRANSACTION", "BARRIER", "FENCE"}:
        words.append(_data(shown["data"]))
    if problem is not None:
        words.append(f"[{shown['kind']}: {problem}]")
    operation = clean(shown["operation"]) or "?"
    return start + f"{by:<12}  {operation:<11}  {'  '.join(word for word in words if word)}"


def time_text(time_ms: int) -> str:
    """Unix milliseconds as UTC; as a number where no calendar has it."""
    try:
        time = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return f"{time_ms} ms"
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean(text: str, length_max: int = _NAME_MAX) -> str:
    """Text that only prints: escapes, line ends and marks of direction are spelled out."""
    cut = text[:length_max] + ("…" if len(text) > length_max else "")
    if cut.isprintable():
        return cut
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in cut)


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape", "backslashreplace").decode("ascii")


def _unreadable(problem: str, value: bytes) -> dict[str, Any]:
    text = clean(value[:TEXT_MAX].decode("utf-8", "backslashreplace"), TEXT_MAX)
    return {
        "kind": "unreadable",
        "problem": clean(problem, TEXT_MAX),
        "text": text or "(no bytes)",
        "base64": base64.b64encode(value).decode("ascii"),
    }


def _judged(event: Event, cluster: str) -> tuple[str, str | None]:
    if event.problem is not None:
        return "invalid", event.problem
    if event.operation == "BARRIER" and not event.cluster:
        return "event", None  # the log's own, which knows no cluster
    if event.format is None:
        return "foreign", "no format, so another program wrote it"
    if cluster and event.cluster != cluster:
        return "foreign", f"of the cluster {clean(event.cluster or '')}"
    if event.format > FORMAT:
        return "newer", f"format {event.format}, and this build knows {FORMAT}"
    return "event", None


def _key(event: Event) -> str | None:
    return event.changes[0].key if len(event.changes) == 1 else _text(event.data.get("id"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _row(shown: dict[str, Any]) -> str:
    if shown["operation"] == "TRANSACTION":
        changes = shown["data"].get("changes")
        if not isinstance(changes, list):
            return ""
        named = [_change(change) for change in changes[:_KEYS_MAX]]
        more = ", …" if len(changes) > _KEYS_MAX else ""
        return f"{len(changes)} changes: {', '.join(named)}{more}"
    table, key = clean(shown["table"]), shown["key"]
    return table if key is None else f"{table}/{clean(key)}"


def _change(change: Any) -> str:
    if not isinstance(change, dict):
        return "?"
    data = change.get("data")
    key = data.get("id") if isinstance(data, dict) else None
    words = [_text(change.get("operation")), _text(change.get("table_name")), _text(key)]
    operation, table, row = (clean(word) if word is not None else "?" for word in words)
    return f"{operation} {table}/{row}"


def _data(data: dict[str, Any]) -> str:
    rest = {name: value for name, value in data.items() if name != "id"}
    return clean(json.dumps(rest, ensure_ascii=False), TEXT_MAX) if rest else ""
