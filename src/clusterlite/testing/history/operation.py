"""One operation of a history: what a client asked, when, and what it was told.

    kind          request                                            value, once done
    -----------   ------------------------------------------------   ----------------------------
    create        table, row (`id` may be missing)                   the row, or None if not told
    put           table, row, if                                     the row, or None if not told
    patch         table, key, fields, if                             the row, or None if not told
    delete        table, key, if
    transaction   changes: each operation, table_name, data, if
    read          table, key                                         the row, None where absent
    list          table                                              all its rows

`if` is a precondition as an event spells it, and may be left out. Rows hold JSON values in the
canonical form in which the log has them; fields left out take their default.

What the status says of a write:

    done       it took effect            failed    it never will: nothing was written
    rejected   judged, without effect    never     settled: its event id is closed
    unknown    it may, now or later
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

WRITES: Final = frozenset({"create", "put", "patch", "delete", "transaction"})
KINDS: Final = WRITES | {"read", "list"}
STATUSES: Final = frozenset({"done", "rejected", "failed", "unknown", "never"})
LEVELS: Final = frozenset({"eventual", "session", "bounded", "strong"})


@dataclass(frozen=True, slots=True)
class Operation:
    """What one client did once.

    A request that is sent again under the same event id may be one operation (begun with the
    first try, ended with the last answer) or several of the same `event`.

    Args:
        client: who; its operations are one session.
        kind: one of `KINDS`.
        request: plain JSON values, as drawn above.
        begun: when the first byte was sent, seconds on one monotonic clock for all clients.
        ended: when the answer was there, on that clock; None while it is open.
        status: one of `STATUSES`; an operation that is open is `unknown`.
        event: the event's id, None where the client never learned it.
        code: why the log rejected it, as an outcome spells it.
        position: told by the answer: of a write that of its event, of a read that of its
            snapshot; None where it was not told.
        version: told by the answer: the version that a row has now, or had when a precondition
            failed; None where it was not told.
        versions: told by the answer: the version of each row of a list by key.
        value: told by the answer, as drawn above.
        node: who answered, for people.
        level: consistency of a read, one of `LEVELS`.
    """

    client: str
    kind: str
    request: Mapping[str, Any]
    begun: float
    ended: float | None = None
    status: str = "unknown"
    event: str | None = None
    code: str | None = None
    position: int | None = None
    version: int | None = None
    versions: Mapping[str, int] = field(default_factory=dict)
    value: Any = None
    node: str = ""
    level: str = "eventual"

    @property
    def writes(self) -> bool:
        """Whether it asks for a change."""
        return self.kind in WRITES

    @property
    def told(self) -> bool:
        """Whether the client knows that the log has judged it, and how."""
        return self.status in {"done", "rejected"}

    def to_json(self) -> dict[str, Any]:
        """As a line of a history file."""
        return asdict(self)

    @classmethod
    def from_json(cls, spelled: Mapping[str, Any]) -> Operation:
        """Read a line of a history file."""
        return cls(**spelled)

    def __str__(self) -> str:
        when = f"{self.begun:.6f} to " + ("open" if self.ended is None else f"{self.ended:.6f}")
        said = self.status if self.code is None else f"{self.status} {self.code}"
        asked = ", ".join(f"{name}={value!r}" for name, value in self.request.items())
        facts = [
            f"{name} {value!r}"
            for name in ("event", "position", "version", "value")
            if (value := getattr(self, name)) is not None
        ]
        where = f" at {self.node}" if self.node else ""
        level = "" if self.writes else f"{self.level} "
        line = f"{self.client}{where}: {level}{self.kind}({asked}), {when}: {said}"
        return ", ".join([line, *facts])
