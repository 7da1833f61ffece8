"""Patches in this process: `core.tries` says what is sent, and which try counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from clusterlite.core import codec
from clusterlite.core.entity import Entity, check_key
from clusterlite.core.event import Condition, Stamp
from clusterlite.core.keys import fingerprint
from clusterlite.core.outcome import Applied, Outcome
from clusterlite.core.partial import Part, fields_as_json, partial_of
from clusterlite.core.tries import Around, tries
from clusterlite.errors import OutcomeUnknown
from clusterlite.node.ids import uuid7
from clusterlite.node.keyed import fields_given, one_of_several


class PatchCall:
    """One call of `Node.patch`.

    Args:
        entity: which.
        row_id: of the row.
        fields: as the caller gave them.
        asked: the caller's own precondition.
        schema: the position of the declaration that the node knows.

    Raises:
        InputError: fields that JSON cannot hold.
    """

    def __init__(
        self,
        entity: type[Entity],
        row_id: str,
        fields: Mapping[str, Any],
        asked: Condition | None,
        schema: int,
    ) -> None:
        self._entity = entity
        self._row_id = check_key(row_id)
        self._fields = fields
        self._body = fields_as_json(entity, fields)
        self._asked = asked
        self._schema = schema

    def fingerprint(self) -> str:
        """That of the HTTP request which asks for the same: either may repeat the other."""
        version = None if self._asked is None else self._asked.version
        ifs = {} if version is None else {"if-match": f'"{version}"'}
        path = f"/{self._entity.declaration.name}/{self._row_id}"
        return fingerprint("PATCH", path, (), ifs, fields_given(self._entity, self._fields))

    def made(
        self,
        first: Stamp,
        known: Callable[[str], Outcome | None],
        row: Callable[[], tuple[Any, ...] | None],
        submit: Callable[[str, bytes], Applied],
        ends: float,
    ) -> Applied:
        """What became of it.

        Args:
            first: of the first try.
            known: the outcome of an event, as far as this replica has it.
            row: reads the row, as `(version, values…)`.
            submit: appends an event by its id, and waits for its outcome.
            ends: when the last try may begin, by the monotonic clock.

        Raises:
            InputError: the fields, or what they make of the row, do not fit.
            OutcomeUnknown: with a key, it names the first try, and so the whole.
        """

        def found() -> tuple[int, tuple[Any, ...]] | None:
            values = row()
            return None if values is None else (values[0], values[1:])

        chain = tries(
            first.id,
            first.fp,
            self._asked,
            self._read,
            Around(known, found, uuid7, lambda: time.monotonic() > ends),
        )
        try:
            sent = next(chain)
            while True:
                attempt = sent.attempt
                record = codec.encode(
                    first._replace(id=sent.event_id, fp=sent.fp),
                    attempt.operation,
                    self._entity.declaration.name,
                    attempt.data,
                    schema=self._schema,
                    condition=attempt.condition,
                )
                try:
                    with one_of_several() if first.fp else nullcontext():
                        judged = submit(sent.event_id, record)
                except OutcomeUnknown as error:
                    if not first.fp or (sent.event_id == first.id and not sent.lost_by):
                        raise
                    # Where a try stands is not where the key's request will be applied.
                    raise OutcomeUnknown(first.id) from error
                sent = chain.send(judged)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]

    def _read(self) -> Part:
        return partial_of(self._entity).read(self._body, self._row_id)
