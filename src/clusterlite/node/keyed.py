"""Writes with a key, in process: what of a call is the request that its fingerprint tells.

A retry builds its entity anew. What the class adds by itself (an id, a default, the time) is no
part of the request, as it is none of an HTTP request's body.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from clusterlite.core.acceptance import Unreadable, read_json
from clusterlite.core.entity import Entity
from clusterlite.core.fields import DOCUMENT_DEPTH_MAX, Json
from clusterlite.core.keys import fingerprint, same_request
from clusterlite.core.outcome import NEVER, Outcome
from clusterlite.core.partial import fields_as_json
from clusterlite.core.transaction import AnyChange, class_of
from clusterlite.errors import (
    THIS_TRY,
    InputError,
    KeyReused,
    LogUnavailable,
    NotServing,
    Overloaded,
    Problem,
)


def call_fingerprint(operation: str, table: str, arguments: Json) -> str:
    """Of a call; no HTTP request has it, since methods are in upper case.

    Args:
        operation: the method of `Node`.
        table: empty where it is about several.
        arguments: in JSON form, as the caller gave them.
    """
    return fingerprint(operation, f"/{table}", (), {}, arguments)


def given(entity: Entity) -> dict[str, Json]:
    """The fields that the caller gave, in JSON form, with the id."""
    row = entity.row()
    return {
        "id": entity.id,
        **{name: value for name, value in row.items() if not _by_default(entity, name)},
    }


def fields_given(entity: type[Entity], fields: Mapping[str, Any]) -> Json:
    """The fields of a patch, in JSON form.

    Raises:
        InputError: a value that no event can hold.
    """
    try:
        value: Json = read_json(fields_as_json(entity, fields), DOCUMENT_DEPTH_MAX)
    except Unreadable as error:
        raise InputError([Problem("", "malformed", str(error))]) from None
    return value


def changes_given(changes: Sequence[AnyChange]) -> Json:
    """The changes of a transaction, in JSON form, as the caller gave them."""
    told: list[Json] = []
    for change in changes:
        spelled: dict[str, Json] = {
            "change": type(change).__name__,
            "table": class_of(change).declaration.name,
        }
        for item in fields(change):
            value = getattr(change, item.name)
            if isinstance(value, Entity):
                spelled[item.name] = given(value)
            elif isinstance(value, Mapping):
                spelled[item.name] = fields_given(class_of(change), value)
            elif not isinstance(value, type):
                spelled[item.name] = value
        told.append(spelled)
    return told


def _by_default(entity: Entity, name: str) -> bool:
    if name in entity.model_fields_set:
        return False
    info = type(entity).model_fields[name]
    if info.default_factory is None:
        default: Any = info.default
    elif info.default_factory in {list, dict}:
        default = info.default_factory()
    else:
        return True
    return bool(getattr(entity, name) == default)  # a list may have grown in place


def check_same(key: str, fp: str, outcome: Outcome) -> None:
    """Refuse an outcome that another call with the same key has.

    Raises:
        KeyReused: it is another's.
    """
    # A fence has no fingerprint: it closed the id for any call.
    if outcome.verdict != NEVER and not same_request(fp, outcome.fp):
        raise KeyReused(
            f"the key {key!r} came with another write before (event {outcome.event_id} at "
            f"{outcome.position}): repeat that one, or choose a new key"
        )


@contextmanager
def one_of_several() -> Iterator[None]:
    """Around the submission of a keyed event: a definite refusal is told as that of this try.

    Raises:
        LogUnavailable, NotServing, Overloaded: this try did not happen.
    """
    try:
        yield
    except (LogUnavailable, NotServing, Overloaded) as error:
        raise type(error)(f"{error}; {THIS_TRY}") from error
