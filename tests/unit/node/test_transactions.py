"""`Node.transaction`: many changes in one event, all or none."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest
from pydantic import model_validator

from clusterlite import (
    Assert,
    Create,
    Delete,
    Entity,
    Exists,
    InputError,
    KeyReused,
    Node,
    NotFound,
    Patch,
    PreconditionFailed,
    Put,
    Rejected,
    Update,
)
from clusterlite.core.codec import CHANGES_MAX
from clusterlite.errors import ConstraintFailed
from clusterlite.log.memory import MemoryLog, MemoryStore
from tests.nodes import Order, User, names, user

ACCOUNTS = 50
FUNDS = 100


class Account(Entity, table="accounts"):
    balance: int


class Span(Entity, table="spans"):
    low: int
    high: int

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is over high")
        return self


def test_changes_of_several_tables_are_one_event_with_a_result_each(node: Node) -> None:
    ann, ben = node.create(user("ann", "ann")), node.create(user("ben", "ben"))
    before = node.position
    changed = node.transaction(
        [
            Assert(User, "ann", version=ann.version),
            Assert(User, "nobody", absent=True),
            Create(Order(user="ann", amount=7)),
            Put(user("cid", "cid")),
            Update(user("dan", "ben"), if_version=ben.version),
            Put(user("eve", "eve")),
        ]
    )
    assert node.position == before + 1
    assert [(one.operation, one.table, one.created) for one in changed] == [
        ("ASSERT", "users", False),
        ("ASSERT", "users", False),
        ("INSERT", "orders", True),
        ("UPDATE", "users", True),
        ("UPDATE", "users", False),
        ("UPDATE", "users", True),
    ]
    assert changed[0].row is None
    order = changed[2].row
    assert isinstance(order, Order)
    assert (order.id, order.amount, order.version) == (changed[2].key, 7, node.position)
    assert node.get(Order, order.id) == order
    assert names(node) == ["ann", "dan", "cid", "eve"]


def test_a_patch_among_them_changes_its_fields_alone(node: Node) -> None:
    ann = node.create(user("ann", "ann"))
    node.patch(User, "ann", {"email": "new@example.com"})
    (done,) = node.transaction([Patch(User, "ann", {"name": "Anna"})])
    assert (done.operation, done.created) == ("PATCH", False)
    row = done.row
    assert isinstance(row, User)
    assert (row.name, row.email, row.version) == ("Anna", "new@example.com", node.position)
    with pytest.raises(PreconditionFailed):
        node.transaction([Patch(User, "ann", {"name": "x"}, if_version=ann.version)])
    assert node.get(User, "ann") == row


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        (Patch(User, "ann", {"name": ""}), "/name", "string_too_short"),
        (Patch(User, "ann", {"id": "ben"}), "/id", "key"),
        (Patch(User, "ann", {"name": object()}), "", "datatype"),
        (Patch(Span, "s", {"low": 2}), "", "whole_row"),
    ],
)
def test_a_patch_that_cannot_be_is_refused_before_the_log(
    tmp_path: Path, change: Patch, pointer: str, code: str
) -> None:
    with Node(tmp_path / "data", MemoryLog(), [User, Span]) as node:
        before = node.position
        with pytest.raises(InputError) as refused:
            node.transaction([Assert(User, "x", absent=True), change])
        (problem,) = refused.value.problems
        assert (problem.pointer, problem.code) == (f"/changes/1{pointer}", code)
        assert node.position == before


@pytest.mark.parametrize("fields", [{"name": "Anna"}, {"email": "x@example.com", "name": "Anna"}])
def test_a_patch_in_a_repeated_transaction_is_told_from_another(
    node: Node, fields: dict[str, str]
) -> None:
    node.create(user("ann", "ann"))
    changes = [Patch(User, "ann", fields), Create(user("ben", "ben"))]
    first = node.transaction(changes, key="k")
    assert node.transaction(changes, key="k") == first
    for other in (Patch(User, "ann", {"name": "Bea"}), Patch(User, "ann", fields, if_version=0)):
        with pytest.raises(KeyReused):
            node.transaction([other, changes[1]], key="k")


def test_a_row_that_goes_leaves_no_row_in_the_result(node: Node) -> None:
    node.create(user("ann", "ann"))
    gone, again = node.transaction([Delete(User, "ann"), Create(user("ben", "ann"))])
    assert (gone.operation, again.created) == ("DELETE", True)
    assert gone.row == again.row == node.get(User, "ann")
    (gone,) = node.transaction([Delete(User, "ann")])
    assert gone.row is None


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        (Create(user("x", "ann")), Exists),
        (Update(user("x", "nobody")), NotFound),
        (Update(user("x", "ann"), if_version=0), PreconditionFailed),
        (Patch(User, "nobody", {"name": "x"}), NotFound),
        (Patch(User, "ann", {"name": "x"}, if_version=0), PreconditionFailed),
        (Patch(User, "ann", {"email": "ben@example.com"}), ConstraintFailed),
        (Delete(User, "nobody"), NotFound),
        (Delete(User, "ann", if_version=0), PreconditionFailed),
        (Assert(User, "nobody"), NotFound),
        (Assert(User, "ann", version=0), PreconditionFailed),
        (Assert(User, "ann", absent=True), PreconditionFailed),
        (Create(User(name="x", email="ann@example.com")), ConstraintFailed),
        (Create(Order(user="nobody")), ConstraintFailed),
    ],
)
def test_one_that_fails_undoes_all_and_is_named(
    node: Node, failing: Create, error: type[Rejected]
) -> None:
    ann = node.create(user("ann", "ann"))
    with pytest.raises(error, match="transaction, change 1 ") as refused:
        node.transaction([Create(user("ben", "ben")), failing, Put(user("cid", "cid"))])
    assert type(refused.value) is error
    assert refused.value.index == 1
    if error is PreconditionFailed:
        assert refused.value.version == ann.version
    assert names(node) == ["ann"]


def test_preconditions_are_judged_against_the_state_before_the_first_change(node: Node) -> None:
    ann = node.create(user("ann", "ann"))
    node.transaction([Delete(User, "ann", if_version=ann.version), Create(user("ben", "ann"))])
    assert names(node) == ["ben"]
    with pytest.raises(InputError) as refused:
        node.transaction([Put(user("cid", "ann")), Delete(User, "ann", if_version=1)])
    assert [problem.pointer for problem in refused.value.problems] == ["/changes/1/if"]
    assert names(node) == ["ben"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ([], "/changes"),
        ([Delete(User, "x")] * (CHANGES_MAX + 1), "/changes"),
        ([Delete(User, "x"), Delete(User, "")], "/changes/1/id"),
        ([Delete(User, "x"), Put(user("x"))], "/changes/1/id"),
        ([Assert(User, "x", version=1, absent=True)], "/changes/0/if"),
        ([Delete(User, "x"), user("x")], "/changes/1"),
    ],
)
def test_what_cannot_be_is_refused_before_the_log(
    node: Node, changes: list[Create], pointer: str
) -> None:
    before = node.position
    with pytest.raises(InputError) as refused:
        node.transaction(changes)
    assert [problem.pointer for problem in refused.value.problems] == [pointer]
    assert node.position == before


def test_a_bank_keeps_its_total_under_concurrent_transfers(tmp_path: Path) -> None:
    store = MemoryStore()
    with (
        Node(tmp_path / "a", MemoryLog(store), [Account]) as one,
        Node(tmp_path / "b", MemoryLog(store), [Account]) as two,
    ):
        keys = [f"a-{number:02}" for number in range(ACCOUNTS)]
        one.transaction([Create(Account(id=key, balance=FUNDS)) for key in keys])
        two.sync()

        def client(number: int) -> tuple[int, int]:
            node, chance, conflicts = (one, two)[number % 2], random.Random(number), 0
            for _ in range(10):
                while not transfer(node, *chance.sample(keys, 2)):
                    conflicts += 1
                assert sum(account.balance for account in node.list(Account)) == ACCOUNTS * FUNDS
            return 10, conflicts

        with ThreadPoolExecutor(6) as clients:
            made = list(clients.map(client, range(6)))
        for node in (one, two):
            node.sync()
            rows = node.list(Account)
            assert sum(account.balance for account in rows) == ACCOUNTS * FUNDS
        assert sum(done for done, _ in made) == 60
        assert any(account.balance != FUNDS for account in rows)


def transfer(node: Node, payer: str, payee: str) -> bool:
    """Move one unit; False where another transfer was first."""
    source, target = node.get(Account, payer), node.get(Account, payee)
    assert source is not None
    assert target is not None
    try:
        node.transaction(
            [
                Update(Account(id=payer, balance=source.balance - 1), source.version),
                Update(Account(id=payee, balance=target.balance + 1), target.version),
            ]
        )
    except PreconditionFailed:
        return False
    return True
