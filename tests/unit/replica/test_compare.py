"""Two replicas compared: which differences are certain, and from which position on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clusterlite.replica import compare as compare_module
from clusterlite.replica import joined
from clusterlite.replica.compare import Compared, Side, compare, part
from clusterlite.replica.joined import DIFFERS, EQUAL, OPEN, Seen, judge
from clusterlite.replica.pages import FilePages, Here, Mark, Page
from tests.support import Replica, User

MARK = 1024


class Two:
    """Two replicas of one log, which are made to differ."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self.replicas = [Replica(folder / name) for name in "ab"]
        self.sides: list[Side] = []
        for replica in self.replicas:
            opened.callback(replica.close)
            pages = FilePages.of(replica.path)
            opened.callback(pages.close)
            self.sides.append(pages)
        self.replicas[0].found(User)
        self.follow()

    def write(self, operation: str, key: str, name: str = "x") -> int:
        data = {"id": key} if operation == "DELETE" else {"id": key, "name": name, "email": name}
        return self.replicas[0].one(self.replicas[0].event(operation, data)).position

    def fill(self, upto: int) -> None:
        """Records of no meaning, up to and with a position."""
        count = upto - self.replicas[0].applier.state.position
        self.replicas[0].apply(*[b"{}"] * count)

    def follow(self) -> None:
        """The second applies what the first has."""
        first, second = self.replicas
        second.apply(*(record.value for record in first.log[len(second.log) :]))

    def change(self, sql: str) -> None:
        """Change the second behind its back."""
        self.replicas[1].connection.execute(sql)

    def compared(self, wait: Callable[[Side, int], bool] | None = None) -> Compared:
        one, other = self.sides
        return compare(one, other, wait)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with ExitStack() as opened:
        yield Two(tmp_path, opened)


def told(found: Compared) -> list[tuple[str, str, tuple[int | None, int | None]]]:
    return [(d.kind, d.key, d.versions) for d in found.differences]


def test_equal_replicas_have_nothing_that_differs(two: Two) -> None:
    for number in range(5):
        two.write("INSERT", f"u-{number}")
    two.fill(MARK + 5)
    two.follow()
    found = two.compared()
    assert (found.equal, found.differs, found.differing, found.open) == (MARK + 5, None, 0, 0)
    assert [(t.table, t.compared, t.differing) for t in found.tallies] == [
        ("", MARK + 6, 0),
        ("users", 5, 0),
    ]


def test_a_flipped_row_is_named_though_the_hashes_are_equal(two: Two) -> None:
    position = two.write("INSERT", "ann")
    two.follow()
    two.change("UPDATE users SET name = 'y'")
    found = two.compared()
    assert (found.differs, found.first) == (None, None)
    assert told(found) == [("row", "ann", (position, position))]


def test_the_first_position_is_exact_where_what_it_wrote_is_still_there(two: Two) -> None:
    two.write("INSERT", "ann")
    two.fill(MARK)
    two.follow()
    two.change("UPDATE users SET email = 'y'")
    patched = two.replicas[0].one(two.replicas[0].event("PATCH", {"id": "ann", "name": "z"}))
    two.fill(3 * MARK)
    two.follow()
    found = two.compared()
    assert (found.equal, found.differs, found.first) == (MARK, 2 * MARK, patched.position)


def test_a_lost_row_is_told_from_the_verdict_that_it_changed(two: Two) -> None:
    two.write("INSERT", "ann")
    two.fill(MARK)
    two.follow()
    two.change("DELETE FROM users")
    deleted = two.write("DELETE", "ann")
    two.fill(2 * MARK)
    two.follow()
    found = two.compared()
    assert (found.equal, found.differs, found.first) == (MARK, 2 * MARK, deleted)
    assert [difference.kind for difference in found.differences] == ["outcome"]


def test_an_outcome_that_is_lost_is_named(two: Two) -> None:
    position = two.write("INSERT", "ann")
    two.follow()
    two.change(f"DELETE FROM _cl_outcome WHERE position = {position}")
    found = two.compared()
    assert [(d.kind, d.versions) for d in found.differences] == [("outcome", (position, None))]


class Forgetting:
    """A side that forgets more and more outcomes: a floor for each time that it is asked."""

    def __init__(self, side: Side, floors: list[int]) -> None:
        self._side = side
        self._floors = floors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._side, name)

    def here(self) -> Here:
        floor = self._floors.pop(0) if len(self._floors) > 1 else self._floors[0]
        return msgspec.structs.replace(self._side.here(), floor=floor)


def test_many_outcomes_that_differ_are_judged_a_few_at_a_time(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = [two.write("INSERT", f"u-{number}") for number in range(5)]
    two.follow()
    two.change(f"DELETE FROM _cl_outcome WHERE position >= {positions[0]}")
    monkeypatch.setattr(compare_module, "DOUBTFUL_MAX", 2)
    monkeypatch.setattr(compare_module, "KEPT", 1)
    # Asked twice before the outcomes are read; the first of each two is forgotten by then.
    floors = [0, 0, positions[1], positions[3], positions[4]]
    two.sides[0] = Forgetting(two.sides[0], floors)
    found = two.compared()
    assert found.tallies[0].differing == 3
    assert found.differing == 3
    assert told(found) == [("outcome", found.differences[0].key, (positions[1], None))]
    assert floors == [positions[4]]


def test_a_declaration_that_differs_is_named(two: Two) -> None:
    two.change("UPDATE _cl_schema SET declared = 0")
    assert [difference.kind for difference in two.compared().differences] == ["table"]


@pytest.mark.parametrize("wait", [None, lambda *_: True])
def test_what_only_one_has_reached_is_open_and_no_difference(
    two: Two, wait: Callable[[Side, int], bool] | None
) -> None:
    two.write("INSERT", "ann")
    two.write("INSERT", "bob")
    two.follow()
    two.write("PATCH", "ann", "z")
    two.write("DELETE", "bob")
    two.write("INSERT", "cleo")
    found = two.compared(wait)
    assert (found.differing, found.open) == (0, 3)
    assert [(t.table, t.compared, t.open) for t in found.tallies][1:] == [("users", 0, 3)]


def test_a_row_that_proves_wrong_when_it_is_asked_again_is_a_difference(two: Two) -> None:
    two.write("INSERT", "ann")
    two.follow()
    position = two.write("PATCH", "ann", "z")
    asked: list[int] = []

    def wait(_: Side, upto: int) -> bool:
        asked.append(upto)
        if len(asked) == 2:  # after the rows were read
            two.follow()
            two.change("UPDATE users SET email = 'y'")
        return True

    found = two.compared(wait)
    assert told(found) == [("row", "ann", (position, position))]
    assert (found.tallies[1].compared, found.tallies[1].differing, found.open) == (1, 1, 0)


def test_a_row_that_is_wrong_is_certain_though_the_other_side_is_ahead(two: Two) -> None:
    position = two.write("INSERT", "ann")
    two.follow()
    two.change("UPDATE users SET name = 'y'")
    two.write("INSERT", "bob")
    assert told(two.compared()) == [("row", "ann", (position, position))]


def test_what_was_written_meanwhile_is_asked_again(two: Two) -> None:
    two.write("INSERT", "ann")
    two.follow()
    one, other = two.sides
    there = other.rows

    class Late(FilePages):
        """The log goes on while the first page of rows is read."""

        def rows(self, table: str, start: str, limit: int) -> Page | None:
            if start == "" and two.replicas[0].version("ann") == 2:
                two.write("PATCH", "ann", "z")
            return there(table, start, limit)

    late = Late.of(two.replicas[1].path)
    waited: list[int] = []

    def wait(_: Side, position: int) -> bool:
        waited.append(position)
        two.follow()
        return True

    two.sides[0], two.sides[1] = late, one
    found = two.compared(wait)
    late.close()
    assert waited
    assert (found.differing, found.open) == (0, 0)
    assert found.tallies[1].compared == 1


def test_pages_are_joined_as_one(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(25):
        two.write("INSERT", f"u-{number:02}")
    two.follow()
    two.change("DELETE FROM users WHERE id IN ('u-03', 'u-04', 'u-24')")
    monkeypatch.setattr(joined, "ITEMS_MAX", 4)
    found = two.compared()
    assert [d.key for d in found.differences] == ["u-03", "u-04", "u-24"]
    assert found.tallies[1].compared == 25


@pytest.mark.parametrize("wrong", [None, 0, 1, 7, 511, 999])
def test_bisection_finds_the_first_mark_that_differs(wrong: int | None) -> None:
    asked: list[int] = []

    class Marks(FilePages):
        def __init__(self, wrong: int | None) -> None:
            self.wrong = wrong

        def marks(self, upto: int, limit: int) -> list[Mark]:
            asked.append(upto)
            bad = self.wrong is not None and upto // MARK >= self.wrong
            return [Mark(upto // MARK * MARK, "bad" if bad else "good")]

    here = Here("n", "c", 1000 * MARK - 1, "h" if wrong is None else "x", -1, {}, [])
    there = Here("n", "c", 1000 * MARK - 1, "h", -1, {}, [])
    equal, differs = part(Marks(wrong), Marks(None), here, there)
    if wrong is None:
        assert (equal, differs, len(asked)) == (1000 * MARK - 1, None, 2)
    else:
        assert differs == wrong * MARK
        assert equal == ((wrong - 1) * MARK if wrong else -1)
        assert len(asked) <= 2 * 11


NOTHING = Seen(None, "", 0, 50, 50)


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        (Seen(5, "a", 0, 9, 9), Seen(5, "a", 1, 9, 9), EQUAL),
        (Seen(5, "a", 0, 9, 9), Seen(5, "b", 0, 20, 20), DIFFERS),
        (Seen(5, "a", 0, 9, 9), Seen(5, "b", 1, 20, 20), OPEN),
        (Seen(5, "a", 0, 9, 9), Seen(7, "b", 0, 20, 20), DIFFERS),
        (Seen(5, "a", 0, 9, 9), Seen(10, "b", 0, 20, 20), OPEN),
        (Seen(5, "a", 0, 50, 50), NOTHING, DIFFERS),
        (Seen(5, "a", 0, 49, 49), NOTHING, OPEN),
        (Seen(51, "a", 0, 60, 60), NOTHING, OPEN),
        (Seen(45, "a", 0, 60, 60), Seen(None, "", 0, 40, 50), OPEN),
        (Seen(35, "a", 0, 45, 45), Seen(None, "", 0, 40, 50), OPEN),
    ],
)
def test_a_difference_is_told_only_where_it_is_certain(
    one: Seen, other: Seen, verdict: str
) -> None:
    assert judge(one, other) == verdict
    assert judge(other, one) == verdict
