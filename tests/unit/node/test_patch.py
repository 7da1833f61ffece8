"""PATCH from Python: what is merged at apply, and what reads its row first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import BaseModel, model_validator

from clusterlite import Entity, Field, InputError, Node, NotFound, PreconditionFailed
from clusterlite.core import codec
from clusterlite.errors import Contention
from clusterlite.log.memory import MemoryLog
from tests.nodes import stamp


class Place(BaseModel):
    street: str
    city: str


class Person(Entity, table="persons"):
    name: str = Field(min_length=1)
    nick: str | None = None
    notes: dict[str, Any] = Field(default_factory=dict)
    place: Place | None = None


class Span(Entity, table="spans"):
    low: int
    high: int
    width: int = 0

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is over high")
        self.width = self.high - self.low
        return self


class RivalLog(MemoryLog):
    """A log in which another writer's event comes before each of so many patches."""

    rivals: list[bytes]

    def append(self, values: Sequence[bytes]) -> list[Future[int]]:
        if self.rivals and any(b'"PATCH"' in value for value in values):
            super().append([self.rivals.pop()])
        return super().append(values)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    log = RivalLog()
    log.rivals = []
    with Node(tmp_path / "data", log, [Person, Span]) as node:
        yield node


def rivals(node: Node, key: str, count: int) -> None:
    log = node.log
    assert isinstance(log, RivalLog)
    log.rivals = [
        codec.encode(
            stamp(node, f"rival-{number}"),
            "UPDATE",
            "spans",
            {"id": key, "low": 1, "high": 100 + number, "width": 99 + number},
            schema=node.position,
        )
        for number in range(count)
    ]


def test_what_is_not_given_stays_and_none_is_null_or_removes(node: Node) -> None:
    made = node.create(Person(name="Ann", nick="A", notes={"a": 1, "b": {"c": 2}}))
    row = node.patch(Person, made.id, {"nick": None, "notes": {"a": None, "b": {"d": 3}}})
    assert (row.name, row.nick, row.notes) == ("Ann", None, {"b": {"c": 2, "d": 3}})
    assert row.version > made.version
    assert node.get(Person, made.id) == row


def test_a_document_of_a_model_is_judged_as_it_is_merged(node: Node) -> None:
    made = node.create(Person(name="Ann", place=Place(street="s", city="c")))
    assert node.patch(Person, made.id, {"place": {"city": "d"}}).place == Place(
        street="s", city="d"
    )
    with pytest.raises(InputError) as refused:
        node.patch(Person, made.id, {"place": {"city": None}})
    assert refused.value.problems[0].pointer == "/place/city"


def test_patches_of_different_fields_at_once_all_survive(node: Node) -> None:
    made = node.create(Person(name="Ann"))
    changes: list[dict[str, Any]] = [{"notes": {f"n{number}": number}} for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda change: node.patch(Person, made.id, change), changes))
    row = node.get(Person, made.id)
    assert row is not None
    assert row.notes == {f"n{number}": number for number in range(20)}


def test_a_validator_of_the_whole_judges_the_row_that_comes_out(node: Node) -> None:
    made = node.create(Span(low=1, high=5))
    assert node.patch(Span, made.id, {"high": 9}).width == 8
    with pytest.raises(InputError, match="low is over high"):
        node.patch(Span, made.id, {"low": 10})


def test_it_is_tried_again_where_another_write_came_between(node: Node) -> None:
    made = node.create(Span(low=1, high=5))
    rivals(node, made.id, 4)
    row = node.patch(Span, made.id, {"low": 2})
    assert (row.low, row.high, row.width) == (2, 100, 98)


def test_after_five_tries_it_is_contention(node: Node) -> None:
    made = node.create(Span(low=1, high=5))
    rivals(node, made.id, 5)
    with pytest.raises(Contention):
        node.patch(Span, made.id, {"low": 2})
    row = node.get(Span, made.id)
    assert row is not None
    assert row.low == 1


@pytest.mark.parametrize(("entity", "change"), [(Person, {"name": "B"}), (Span, {"low": 0})])
def test_a_row_that_is_absent_or_has_another_version_is_told_so(
    node: Node, entity: type[Entity], change: dict[str, Any]
) -> None:
    with pytest.raises(NotFound):
        node.patch(entity, "nobody", change)
    made = node.create(Person(name="Ann") if entity is Person else Span(low=1, high=5))
    node.patch(entity, made.id, change, if_version=made.version)
    for version in (made.version, 10**6):
        with pytest.raises(PreconditionFailed):
            node.patch(entity, made.id, change, if_version=version)
