"""The contract of table operations: of declared entities, of classes of one's own, and that the
suite sees those which are not deterministic.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from clusterlite.core import codec
from clusterlite.core.entity import Entity, Field
from clusterlite.core.event import Change, Condition, Stamp
from clusterlite.core.fields import Json
from clusterlite.core.operations import (
    DeclaredOperations,
    TableOperations,
    TableReader,
    TableRows,
)
from clusterlite.core.schema import CodeVersion, Column, Table
from clusterlite.errors import DeclarationError
from clusterlite.testing.operations_contract import OperationsContract


class User(Entity, table="users"):
    name: str = Field(min_length=1)
    email: str = Field(min_length=1, unique=True)
    score: float = 0.5
    tags: list[str] = Field(default_factory=list)
    seen: str | None = None


SAMPLES: list[dict[str, Json]] = [
    {"id": "b", "name": "Ann", "email": "Ann@X", "score": 1.5, "tags": ["x", "y"], "seen": None},
    {"id": "a", "name": "Ben", "email": "ben@x", "score": -0.25, "tags": [], "seen": "é"},
    {"id": "B", "name": "Cleo", "email": "cleo@x", "score": 3.0, "tags": ["𝄞"], "seen": ""},
]


class Samples(OperationsContract):
    @pytest.fixture
    def sample_rows(self) -> list[dict[str, Json]]:
        return SAMPLES


class TestDeclared(Samples):
    """The operations that every declared entity has."""

    @pytest.fixture
    def operations(self) -> TableOperations:
        return DeclaredOperations(User)


class LowerCase(DeclaredOperations):
    """Replaces one handler: addresses are kept in lower case."""

    apply_version = 1

    def handle_upsert(self, rows: TableRows, change: Change) -> None:
        rows.upsert({**change.data, "email": str(change.data["email"]).lower()})


class TestReplacedHandler(Samples):
    """A class that replaces a part of what happens at apply."""

    @pytest.fixture
    def operations(self) -> TableOperations:
        return LowerCase(User)

    def expected(self, row: dict[str, Json]) -> dict[str, Json]:
        return {**row, "email": row["email"].lower()}


class Notes(TableOperations):
    """All nine operations written by hand, without an entity."""

    apply_version = 3

    @property
    def table_name(self) -> str:
        return "notes"

    def create_table(self) -> Table:
        code = CodeVersion(f"{__name__}.Notes", self.apply_version)
        return Table("notes", (Column("text", "text"), Column("size", "integer")), code=code)

    def handle_upsert(self, rows: TableRows, change: Change) -> None:
        rows.upsert({**change.data, "size": len(change.data["text"])})

    def handle_delete(self, rows: TableRows, change: Change) -> None:
        rows.remove(change.key)

    def get(self, rows: TableReader, key: str) -> dict[str, Json] | None:
        return rows.fetch(key)

    def get_all(self, rows: TableReader) -> list[dict[str, Json]]:
        return list(rows.fetch_all())

    def create_event(self, stamp: Stamp, row: Mapping[str, Json], schema: int = -1) -> bytes:
        return codec.encode(stamp, "INSERT", "notes", row, schema=schema)

    def update_event(
        self,
        stamp: Stamp,
        row: Mapping[str, Json],
        schema: int = -1,
        condition: Condition | None = None,
    ) -> bytes:
        return codec.encode(stamp, "UPDATE", "notes", row, schema=schema, condition=condition)

    def delete_event(self, stamp: Stamp, key: str, condition: Condition | None = None) -> bytes:
        return codec.encode(stamp, "DELETE", "notes", {"id": key}, condition=condition)


class TestWrittenByHand(OperationsContract):
    """A class that inherits nothing but the interface."""

    @pytest.fixture
    def operations(self) -> TableOperations:
        return Notes()

    @pytest.fixture
    def sample_rows(self) -> list[dict[str, Json]]:
        return [{"id": "1", "text": "one", "size": 0}, {"id": "2", "text": "zwölf", "size": 0}]

    def expected(self, row: dict[str, Json]) -> dict[str, Json]:
        return {**row, "size": len(row["text"])}


# What the suite must see.


class Faulty(DeclaredOperations):
    """Writes a value that is not in the event."""

    apply_version = 1

    def value(self, change: Change) -> str:
        raise NotImplementedError

    def handle_upsert(self, rows: TableRows, change: Change) -> None:
        rows.upsert({**change.data, "seen": self.value(change)})


class ByClock(Faulty):
    def value(self, change: Change) -> str:
        return str(time.time_ns())


class ByYear(Faulty):
    def value(self, change: Change) -> str:
        return str(time.gmtime(time.time()).tm_year)


class ByLocalDate(Faulty):
    def value(self, change: Change) -> str:
        return date.today().isoformat()  # noqa: DTZ011 - the fault


class ByHashSeed(Faulty):
    def value(self, change: Change) -> str:
        return ",".join({"ant", "bee", "cat", "dog", "eel", "fly", change.key})


class ByMemory(Faulty):
    def __init__(self, entity: type[Entity]) -> None:
        super().__init__(entity)
        self.count = 0

    def value(self, change: Change) -> str:
        self.count += 1
        return str(self.count)


Check = Callable[..., Any]
AGAIN = OperationsContract.test_the_same_events_give_the_same_contents_and_images_each_time
ELSEWHERE = OperationsContract.test_clock_time_zone_locale_and_hash_seed_do_not_matter


@pytest.mark.parametrize(
    ("faulty", "check"),
    [
        (ByClock, AGAIN),
        (ByMemory, AGAIN),
        (ByYear, ELSEWHERE),
        (ByLocalDate, ELSEWHERE),
        (ByHashSeed, ELSEWHERE),
    ],
)
def test_operations_that_are_not_deterministic_fail(
    tmp_path: Path, faulty: type[Faulty], check: Check
) -> None:
    with pytest.raises(AssertionError, match=r"it depends|it is otherwise"):
        check(OperationsContract(), faulty(User), SAMPLES, tmp_path)


class Unnamed(Notes):
    """Has handlers of its own, and no SCHEMA event names them."""

    def create_table(self) -> Table:
        return Table("notes", (Column("text", "text"),))


def test_handlers_that_no_declaration_names_fail() -> None:
    check = OperationsContract.test_the_declaration_names_the_code_that_is_replaced_at_apply
    with pytest.raises(AssertionError, match="never called"):
        check(OperationsContract(), Unnamed())


def test_a_declared_class_that_replaces_a_handler_without_a_version_is_refused() -> None:
    class NoVersion(DeclaredOperations):
        def handle_delete(self, rows: TableRows, change: Change) -> None:
            """Keep everything."""

    with pytest.raises(DeclarationError, match="set apply_version = 1"):
        NoVersion(User)
