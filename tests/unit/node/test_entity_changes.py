"""A class that was changed since the log declared its table: what cannot follow is refused at the
start, with the place and what to do, and nothing of the table is changed.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clusterlite import Entity, Field, Node
from clusterlite.errors import ConfigError, Rejected
from clusterlite.log.memory import MemoryLog, MemoryStore

BESIDE = "; declare a new field beside it and copy the values"


def user(revision: int = 0, **fields: Any) -> type[Entity]:
    """A class of users: each field's type, or its type and default."""
    types = {name: kind[0] if type(kind) is tuple else kind for name, kind in fields.items()}
    defaults = {name: kind[1] for name, kind in fields.items() if type(kind) is tuple}
    body = {"__annotations__": types, "__module__": __name__, **defaults}
    return type(Entity)("User", (Entity,), body, table="users", revision=revision)


NAMED = user(name=str)
PRICED = user(price=(Decimal, Field(decimal_places=2)))

REFUSED: dict[str, tuple[type[Entity], type[Entity], str]] = {
    "another type": (
        NAMED,
        user(name=int),
        "field name of table users: type is 'text' in the log and cannot become 'integer'" + BESIDE,
    ),
    "other decimal places": (
        PRICED,
        user(price=(Decimal, Field(decimal_places=3))),
        "field price of table users: scale is 2 in the log and cannot become 3" + BESIDE,
    ),
    "required becomes optional": (
        NAMED,
        user(name=(str | None, None)),
        "field name of table users: required is True in the log and cannot become False" + BESIDE,
    ),
    "optional becomes required": (
        user(name=(str | None, None)),
        NAMED,
        "field name of table users: required is False in the log and cannot become True" + BESIDE,
    ),
    "a reference": (
        NAMED,
        user(name=(str, Field(references="users"))),
        "field name of table users: references is None in the log and cannot become 'users'"
        + BESIDE,
    ),
    "a new required field": (
        NAMED,
        user(name=str, age=int),
        (
            "field age of table users is new and required: rows are there already, so give it a "
            "default or let it be None"
        ),
    ),
    "a renamed field": (
        NAMED,
        user(title=str),
        (
            "field title of table users is new and required: rows are there already, so give it a "
            "default or let it be None"
        ),
    ),
    "a field in another case": (
        NAMED,
        user(Name=str),
        (
            "field Name of table users: the log declares it as name, and names that differ in case "
            "alone are one field; spell it name"
        ),
    ),
    "another default": (
        user(name=(str, "Ann")),
        user(name=(str, "Ben")),
        (
            "field name of table users: the default is 'Ann' in the log and 'Ben' here; raise the "
            "entity's revision above 0 to change it"
        ),
    ),
}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def refusal(folder: Path, store: MemoryStore, entity: type[Entity]) -> str:
    """Why a node with this class does not start."""
    node = Node(folder, MemoryLog(store), [entity])
    with pytest.raises(ConfigError) as refused:
        node.open()
    return str(refused.value)


@pytest.mark.parametrize(("before", "after", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_rows_cannot_follow_is_refused_and_proposes_nothing(
    tmp_path: Path,
    store: MemoryStore,
    before: type[Entity],
    after: type[Entity],
    message: str,
) -> None:
    with Node(tmp_path / "a", MemoryLog(store), [before]):
        end = store.end
    assert refusal(tmp_path / "a", store, after) == message
    assert store.end == end
    with Node(tmp_path / "a", MemoryLog(store), [before]):
        assert store.end == end


def test_a_field_that_becomes_unique_is_refused_with_the_rows_that_contradict_it(
    tmp_path: Path, store: MemoryStore
) -> None:
    with Node(tmp_path / "a", MemoryLog(store), [NAMED]) as node:
        for key in ("one", "two"):
            node.create(NAMED(id=key, name="Ann"))
    unique = user(name=(str, Field(unique=True)))
    assert refusal(tmp_path / "a", store, unique) == (
        "field name of table users: 2 rows have the value of another row in a field that becomes "
        "unique: one, two; change these rows first, with the code that wrote them, or declare the "
        "field as it was"
    )
    with Node(tmp_path / "a", MemoryLog(store), [NAMED]) as node:
        node.update(NAMED(id="two", name="Ben"))
    with Node(tmp_path / "a", MemoryLog(store), [unique]) as node:
        assert [row.id for row in node.list(unique)] == ["one", "two"]


def test_a_class_that_lacks_a_required_field_starts_and_warns(
    tmp_path: Path, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    with Node(tmp_path / "a", MemoryLog(store), [user(name=str, email=str)]):
        pass
    with (
        caplog.at_level(logging.WARNING, "clusterlite"),
        Node(tmp_path / "a", MemoryLog(store), [NAMED]) as node,
        pytest.raises(Rejected, match="field email"),
    ):
        node.create(NAMED(name="Ann"))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "event='field_missing' table='users' field='email'" in line
    assert "the log requires it and the entity lacks it: creates are rejected" in line
    assert "declare email again, as it was; a field is never removed" in line


def test_a_class_that_lacks_an_optional_field_starts_and_says_nothing(
    tmp_path: Path, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    with Node(tmp_path / "a", MemoryLog(store), [user(name=str, email=(str | None, None))]):
        pass
    with Node(tmp_path / "a", MemoryLog(store), [NAMED]) as node:
        assert node.create(NAMED(name="Ann")).version > 0
    assert caplog.records == []
