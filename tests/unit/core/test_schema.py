"""How one declaration follows another: the table at the top of `core.schema`, line by line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clusterlite.core.schema import (
    COLUMNS_MAX,
    CodeVersion,
    Column,
    Incompatible,
    Table,
    check_spelling,
    evolve,
    undeclared,
)

NAME = Column("name", "text", required=True)
AGE = Column("age", "integer")


def declared(*columns: Column, position: int = 5, **options: object) -> Table:
    table = Table("users", columns)
    table = evolve(None, table, position).table
    return replace(table, **options)  # type: ignore[arg-type]


def test_a_first_declaration_makes_the_table() -> None:
    evolution = evolve(None, Table("users", (NAME,)), 5)
    assert evolution.created
    assert evolution.table.columns[0].since == 5
    assert evolution.table.position == 5


def test_an_equal_declaration_has_no_effect() -> None:
    current = declared(NAME, AGE)
    assert not evolve(current, Table("users", (NAME, AGE)), 9).changed


def test_fewer_fields_have_no_effect_so_that_code_can_be_rolled_back() -> None:
    evolution = evolve(declared(NAME, AGE), Table("users", (NAME,)), 9)
    assert not evolution.changed
    assert len(evolution.table.columns) == 2


@pytest.mark.parametrize(
    "new",
    [
        Column("bio", "text"),
        Column("bio", "text", required=True, default="", has_default=True),
        Column("bio", "text", index=True),
    ],
)
def test_a_new_field_that_may_be_absent_extends_the_table(new: Column) -> None:
    evolution = evolve(declared(NAME), Table("users", (NAME, new)), 9)
    assert [column.name for column in evolution.added] == ["bio"]
    assert evolution.table.columns[1].since == 9
    assert evolution.table.columns[0].since == 5


@pytest.mark.parametrize(
    ("proposed", "says"),
    [
        (Column("bio", "text", required=True), "give it a default"),
        (replace(NAME, type="integer"), "declare a new field"),
        (replace(NAME, required=False), "declare a new field"),
        (replace(AGE, required=True), "declare a new field"),
        (replace(AGE, default=3, has_default=True), "raise the entity's revision"),
    ],
)
def test_anything_else_is_refused_with_the_cure(proposed: Column, says: str) -> None:
    with pytest.raises(Incompatible, match=says):
        evolve(declared(NAME, AGE), Table("users", (NAME, AGE, proposed)), 9)


def test_a_higher_revision_changes_a_default_and_a_lower_one_proposes_nothing() -> None:
    one = replace(AGE, default=1, has_default=True)
    two = replace(AGE, default=2, has_default=True)
    current = declared(one)
    changed = evolve(current, Table("users", (two,), revision=1), 9)
    assert changed.table.columns[0].default == 2
    assert not evolve(changed.table, Table("users", (one,), revision=0), 10).changed


def test_a_field_becomes_unique_or_indexed() -> None:
    proposed = Table("users", (replace(NAME, unique=True), replace(AGE, index=True)))
    evolution = evolve(declared(NAME, AGE), proposed, 9)
    assert [column.name for column in evolution.uniques] == ["name"]
    assert [column.name for column in evolution.indexes] == ["age"]


def test_names_are_compared_without_ascii_case() -> None:
    assert not evolve(declared(NAME), Table("USERS", (replace(NAME, name="NAME"),)), 9).changed


def test_a_class_spells_its_fields_as_the_log_does() -> None:
    check_spelling(declared(NAME), Table("USERS", (NAME, AGE)))
    with pytest.raises(Incompatible, match="declares it as name"):
        check_spelling(declared(NAME), Table("users", (AGE, replace(NAME, name="NAME"))))


def test_an_undeclared_table_is_adopted() -> None:
    assert evolve(undeclared("users", ["name"], 2), Table("users", (NAME,)), 9).adopted


def test_code_at_apply_follows_its_version_only() -> None:
    current = declared(NAME, code=CodeVersion("m.Ops", 1))
    newer = Table("users", (NAME,), code=CodeVersion("m.Ops", 2))
    assert evolve(current, newer, 9).table.code == CodeVersion("m.Ops", 2)
    for other in (None, CodeVersion("m.Other", 2), CodeVersion("m.Ops", 0)):
        with pytest.raises(Incompatible, match="raise the version"):
            evolve(current, Table("users", (NAME,), code=other), 9)


def test_a_declaration_reads_as_it_was_spelled() -> None:
    table = Table(
        "users",
        (
            replace(NAME, unique=True, index=True),
            Column("price", "decimal", scale=2, default="1.50", has_default=True),
            Column("boss", "text", references="users"),
        ),
        revision=3,
        code=CodeVersion("m.Ops", 1),
    )
    assert Table.from_json(table.to_json()) == table


def test_what_a_declaration_says_beyond_its_types_is_not_kept() -> None:
    """Else a replica that was closed and opened again would know another table."""
    column = {"name": "a", "type": "text", "scale": 5, "colour": "red"}
    read = Table.from_json({"table": "t", "columns": [column]})
    assert read.columns == (Column("a", "text"),)
    assert Table.from_json(read.to_json()) == read


@pytest.mark.parametrize(
    "spelled",
    [
        {},
        {"table": "1x"},
        {"table": "t", "columns": {}},
        {"table": "t", "columns": [7]},
        {"table": "t", "columns": [{"name": "a", "type": "colour"}]},
        {"table": "t", "columns": [{"name": "a", "type": "any"}]},
        {"table": "t", "columns": [{"name": "_a", "type": "text"}]},
        {"table": "t", "columns": [{"name": "id", "type": "text"}]},
        {"table": "t", "columns": [{"name": "a", "type": "text"}, {"name": "A", "type": "text"}]},
        {"table": "t", "columns": [{"name": "a", "type": "integer", "default": "x"}]},
        {"table": "t", "columns": [{"name": "a", "type": "decimal", "scale": 99}]},
        {"table": "t", "columns": [{"name": "a", "type": "integer", "references": "t"}]},
        {
            "table": "t",
            "columns": [{"name": "a", "type": "text", "required": True, "default": None}],
        },
        {
            "table": "t",
            "columns": [{"name": f"c{n}", "type": "text"} for n in range(COLUMNS_MAX + 1)],
        },
    ],
)
def test_what_is_no_declaration_is_refused(spelled: dict[str, object]) -> None:
    with pytest.raises(Incompatible):
        Table.from_json(spelled)
