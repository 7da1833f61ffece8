"""The recorder: clients note what they ask before they send it, and what they were told.

    recorder = Recorder()
    call = recorder.begin("client-1", "put", {"table": "users", "row": row}, event=event_id)
    …
    call.done(position=17, version=17)

Any number of threads and tasks record into one recorder; the history is in the order of the
beginnings. A call that nobody ends stays in the history as open: what it asked for may happen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from clusterlite.testing.history.operation import KINDS, LEVELS, Operation


class Call:
    """An operation under way. Exactly one of its answers is noted; a later one corrects it."""

    __slots__ = ("_clock", "operation")

    def __init__(self, operation: Operation, clock: Callable[[], float]) -> None:
        self.operation = operation
        self._clock = clock

    def done(
        self,
        *,
        position: int | None = None,
        version: int | None = None,
        versions: Mapping[str, int] | None = None,
        value: Any = None,
        event: str | None = None,
        node: str | None = None,
    ) -> None:
        """It took effect, or was read. The arguments are `Operation`'s."""
        self._end(
            "done",
            position=position,
            version=version,
            versions=versions or {},
            value=value,
            event=event,
            node=node,
        )

    def rejected(
        self,
        code: str,
        *,
        position: int | None = None,
        version: int | None = None,
        event: str | None = None,
        node: str | None = None,
    ) -> None:
        """The log has it, without effect.

        Args:
            code: of the outcome: `exists`, `not_found`, `precondition_failed`, …
            position: of its event.
            version: of the row as it was found.
            event: the event's id, where it was learned only now.
            node: who answered, where that was not known before.
        """
        self._end("rejected", code=code, position=position, version=version, event=event, node=node)

    def failed(self, *, event: str | None = None, node: str | None = None) -> None:
        """It did not happen, and never will: it was refused before anything was written."""
        self._end("failed", event=event, node=node)

    def unknown(self, *, event: str | None = None, node: str | None = None) -> None:
        """Nobody can say whether it did, or will."""
        self._end("unknown", event=event, node=node)

    def never(self, *, event: str | None = None, node: str | None = None) -> None:
        """It was unknown, and its event id was closed before the log had it."""
        self._end("never", event=event, node=node)

    def _end(self, status: str, *, event: str | None, node: str | None, **facts: Any) -> None:
        before = self.operation
        self.operation = Operation(
            before.client,
            before.kind,
            before.request,
            before.begun,
            self._clock(),
            status,
            before.event if event is None else event,
            node=before.node if node is None else node,
            level=before.level,
            **facts,
        )


class Recorder:
    """Operations of any number of clients.

    Args:
        clock: monotonic seconds, the same for all who record; a simulator gives its own. Times
            that are equal count as overlapping.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls: list[Call] = []

    def __len__(self) -> int:
        return len(self._calls)

    def begin(
        self,
        client: str,
        kind: str,
        request: Mapping[str, Any],
        *,
        event: str | None = None,
        node: str = "",
        level: str = "eventual",
    ) -> Call:
        """Note an operation; to be called before anything of it is sent.

        Args:
            client: who asks; its operations are one session.
            kind: one of `KINDS`.
            request: plain JSON values, see `operation`.
            event: the event's id, where the client knows it.
            node: who is asked.
            level: of a read.

        Raises:
            ValueError: the kind or the level is none that a history knows.
        """
        if kind not in KINDS or level not in LEVELS:
            raise ValueError(f"no {kind} at level {level}: see clusterlite.testing.history")
        operation = Operation(
            client, kind, request, self._clock(), event=event, node=node, level=level
        )
        call = Call(operation, self._clock)
        self._calls.append(call)  # one step for every thread: no lock is needed
        return call

    def history(self) -> list[Operation]:
        """The operations so far, in the order in which they were begun."""
        return [call.operation for call in list(self._calls)]

    def save(self, path: Path) -> None:
        """Write the history, one JSON object a line."""
        save(path, self.history())


def save(path: Path, history: Iterable[Operation]) -> None:
    """Write a history, one JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        for operation in history:
            file.write(json.dumps(operation.to_json(), ensure_ascii=False) + "\n")


def load(path: Path) -> list[Operation]:
    """Read a history that `save` wrote."""
    with path.open(encoding="utf-8") as file:
        return [Operation.from_json(json.loads(line)) for line in file]
