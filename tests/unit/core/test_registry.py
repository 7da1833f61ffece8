"""The registry: one entity a table, in the order in which they came."""

from __future__ import annotations

import pytest

from clusterlite.core.entity import Entity
from clusterlite.core.operations import DeclaredOperations
from clusterlite.core.registry import EntityRegistry
from clusterlite.errors import DeclarationError


class Zebra(Entity, table="zebras"):
    name: str


class Ant(Entity, table="Ants"):
    name: str


class Base(Entity):
    name: str


def test_entities_come_in_the_order_in_which_they_were_registered() -> None:
    registry = EntityRegistry([Zebra, Ant])
    assert [operations.table_name for operations in registry] == ["zebras", "Ants"]
    assert len(registry) == 2


def test_a_table_is_found_whatever_the_case_of_its_letters() -> None:
    registry = EntityRegistry([Ant])
    found = registry.get("aNTS")
    assert found is not None
    assert found.table_name == "Ants"
    assert registry.get("zebras") is None


def test_operations_stand_for_their_entity() -> None:
    own = DeclaredOperations(Ant)
    assert EntityRegistry([own]).get("ants") is own


def test_two_entities_of_one_table_are_refused() -> None:
    class Ants(Entity, table="ANTS"):
        size: int

    with pytest.raises(DeclarationError, match="two entities declare the table 'ANTS'"):
        EntityRegistry([Ant, Ants])


def test_a_class_without_a_table_is_refused() -> None:
    with pytest.raises(DeclarationError, match="Base: has no table"):
        EntityRegistry([Base])
