"""What a program changes in an object is judged when the object is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from pydantic import model_validator

from clusterlite import Create, Entity, Field, InputError, Node, Update
from clusterlite.log.memory import MemoryLog, MemoryStore


class Purse(Entity, table="purses"):
    coins: int = Field(ge=0)
    notes: list[str] = Field(default=[], max_length=1)

    @model_validator(mode="after")
    def _lucky(self) -> Self:
        if self.coins == 13:
            raise ValueError("not thirteen")
        return self


WRITES: list[Callable[[Node, Purse], object]] = [
    lambda node, purse: node.update(purse),
    lambda node, purse: node.put(purse),
    lambda node, purse: node.create(purse.model_copy(update={"id": "another"})),
    lambda node, purse: node.transaction([Update(purse)]),
    lambda node, purse: node.transaction([Create(purse.model_copy(update={"id": "another"}))]),
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("pointer", "change"),
    [
        ("/coins", lambda purse: setattr(purse, "coins", -1)),
        ("", lambda purse: setattr(purse, "coins", 13)),
        ("/notes", lambda purse: purse.notes.extend("ab")),
    ],
)
def test_what_was_changed_since_the_constructor_is_judged_when_it_is_written(
    tmp_path: Path,
    write: Callable[[Node, Purse], object],
    pointer: str,
    change: Callable[[Purse], object],
) -> None:
    with Node(tmp_path, MemoryLog(MemoryStore()), [Purse]) as node:
        purse = node.create(Purse(id="mine", coins=1))
        change(purse)
        with pytest.raises(InputError) as refused:
            write(node, purse)
        pointers = [p.pointer.removeprefix("/changes/0") for p in refused.value.problems]
        assert pointers == [pointer]
        assert [(row.id, row.coins) for row in node.list(Purse)] == [("mine", 1)]
