"""Two replicas, compared: where their running hashes part, and which rows differ.

Both may go on meanwhile (`joined` says what can be told all the same). What is not certain is asked
again once the other side has come as far; it stays open where that side does not. What the other
side says is compared and told: nothing is changed by it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

from clusterlite.core.hashing import MARK_EVERY
from clusterlite.replica.joined import DIFFERS, OPEN, Seen, Stream, joined, judge, seen
from clusterlite.replica.pages import Held, Here, Item, Mark, Page

KEPT: Final = 20
"""Differences that are named; all are counted."""

_NAME_MAX: Final = 120
RETRIES: Final = 5
RETRIED_MAX: Final = 1_000
"""Rows that are asked for again, one by one."""

DOUBTFUL_MAX: Final = 1_000
"""Outcomes that are held until it is asked what both sides still remember."""


class Side(Protocol):
    """One of two replicas: see `pages.FilePages`."""

    def here(self) -> Here:
        """Where it stands."""

    def marks(self, upto: int, limit: int) -> list[Mark]:
        """Its newest marks at or below a position, newest first."""

    def outcomes(self, start: int, limit: int) -> Page:
        """Its outcomes from a position on."""

    def rows(self, table: str, start: str, limit: int) -> Page | None:
        """The rows of one of its tables from a key on; None where it has no such table."""


Wait = Callable[[Side, int], bool]
"""Waits for a side to reach a position; whether it did."""


class Difference(NamedTuple):
    """One that was found.

    Args:
        kind: `row`, `outcome`, `table` or `settings`.
        table: of a row, or the table itself; empty for others.
        key: id of the row, or of the event.
        versions: on either side, None where it is absent.
    """

    kind: str
    table: str
    key: str
    versions: tuple[int | None, int | None]

    @property
    def what(self) -> str:
        """In words, of which nothing steers a terminal."""
        named = {"row": f"{self.table}/{self.key}", "outcome": self.key, "table": self.table}
        text = named.get(self.kind, "")[:_NAME_MAX]
        kind = {"outcome": "event"}.get(self.kind, self.kind)
        return f"{kind} {text if text.isprintable() else ascii(text)}".rstrip()

    @property
    def position(self) -> int | None:
        """From which on the sides differ in this; None where it cannot be known.

        A row that one side lacks may have been removed at any position after it was written.
        """
        known = [version for version in self.versions if version is not None]
        return max(known) if known and (len(known) == 2 or self.kind == "outcome") else None


class Tally(NamedTuple):
    """How many there are of one kind.

    Args:
        table: of the rows; empty for outcomes.
        compared: of which both sides could be judged.
        differing: of those.
        open: that could not be judged, since one side has not come so far.
    """

    table: str
    compared: int
    differing: int
    open: int


class Compared(NamedTuple):
    """What was found.

    Args:
        sides: where each stood when the comparison began.
        equal: the highest position at which the running hashes are known to be equal, or -1.
        differs: the lowest at which they are known to differ, None where they are not.
        first: the first position known to differ, from hashes and contents together.
        tallies: by kind.
        differences: the first of each kind, at most `KEPT`.
        differing: how many differences there are.
        open: how much could not be judged.
    """

    sides: tuple[Here, Here]
    equal: int
    differs: int | None
    first: int | None
    tallies: list[Tally]
    differences: list[Difference]
    differing: int
    open: int


def compare(one: Side, other: Side, wait: Wait | None = None) -> Compared:
    """Compare two replicas of one cluster.

    Args:
        one: the first named.
        other: the second.
        wait: for a side that is behind; none is waited for by default.

    Raises:
        ClusterLiteError, apsw.Error: a side cannot be read.
    """
    return _Comparison(one, other, wait or _has_reached).run()


def _has_reached(side: Side, position: int) -> bool:
    return side.here().position >= position


class _Comparison:
    def __init__(self, one: Side, other: Side, wait: Wait) -> None:
        self._sides = (one, other)
        self._wait = wait
        self._found: list[Difference] = []
        self._tallies: list[Tally] = []
        self._count = self._open = 0

    def run(self) -> Compared:
        one, other = self._sides
        here, there = one.here(), other.here()
        self._catch_up(here.position, there.position)
        here, there = one.here(), other.here()
        equal, differs = part(one, other, here, there)
        self._equal, self._first = equal, differs
        self._settings(here, there)
        shared = self._tables(here, there)
        self._outcomes(here, there)
        for table in shared:
            self._rows(table)
        return Compared(
            (here, there),
            equal,
            differs,
            self._first,
            self._tallies,
            self._found,
            self._count,
            self._open,
        )

    def _catch_up(self, here: int, there: int) -> bool:
        one, other = self._sides
        if here == there:
            return True
        return self._wait(*((one, there) if here < there else (other, here)))

    def _differ(self, difference: Difference) -> None:
        self._count += 1
        if len(self._found) < KEPT:
            self._found.append(difference)
        position = difference.position
        if self._first is not None and position is not None:
            self._first = min(self._first, position) if position > self._equal else self._first

    def _settings(self, here: Here, there: Here) -> None:
        if here.settings != there.settings or here.cluster != there.cluster:
            if here.position == there.position:
                self._differ(Difference("settings", "", "", (None, None)))
            else:
                self._open += 1

    def _tables(self, here: Here, there: Here) -> list[str]:
        """Compare declarations; the tables that both have."""
        ours, theirs = ({t.table: t for t in side.tables} for side in (here, there))
        for name in sorted(ours.keys() | theirs.keys()):
            one, other = _of_table(ours.get(name), here), _of_table(theirs.get(name), there)
            verdict = judge(one, other)
            if verdict == DIFFERS:
                self._differ(Difference("table", name, "", (one.version, other.version)))
            elif verdict == OPEN:
                self._open += 1
        return sorted(ours.keys() & theirs.keys())

    def _outcomes(self, here: Here, there: Here) -> None:
        """What became of events that both remember, up to where both stand."""
        upto = min(here.position, there.position)
        start = max(here.floor, there.floor, 0)
        one, other = (
            Stream(side.outcomes, start, by_position=True, upto=upto) for side in self._sides
        )
        compared, before = 0, self._count
        doubtful: list[Difference] = []
        for key, ours, theirs in joined(one, other):
            compared += 1
            if (ours.version, ours.hash) != (theirs.version, theirs.hash):
                found = Difference("outcome", "", key, (ours.version, theirs.version))
                doubtful.append(found)
            if len(doubtful) == DOUBTFUL_MAX:
                self._remembered(doubtful)
                doubtful = []
        self._remembered(doubtful)
        self._tallies.append(Tally("", compared, self._count - before, 0))

    def _remembered(self, doubtful: list[Difference]) -> None:
        """Take those that differ: what one side forgot meanwhile is missing there, no more."""
        if not doubtful:
            return
        floor = max(side.here().floor for side in self._sides)
        for found in doubtful:
            if max(version for version in found.versions if version is not None) >= floor:
                self._differ(found)

    def _rows(self, table: str) -> None:
        one, other = (Stream(partial(_page, side, table), "") for side in self._sides)
        compared, before, doubtful = 0, self._count, list[str]()
        left = 0
        for key, ours, theirs in joined(one, other):
            verdict = judge(ours, theirs)
            if verdict != OPEN:
                compared += 1
            elif len(doubtful) < RETRIED_MAX:
                doubtful.append(key)
            else:
                left += 1
            if verdict == DIFFERS:
                self._differ(Difference("row", table, key, (ours.version, theirs.version)))
        again = len(doubtful)
        doubtful = self._again(table, doubtful)
        compared += again - len(doubtful)
        left += len(doubtful)
        self._open += left
        self._tallies.append(Tally(table, compared, self._count - before, left))

    def _again(self, table: str, keys: list[str]) -> list[str]:
        """Ask for rows once more, one by one; those of which still nothing is certain."""
        for _ in range(RETRIES):
            if not keys or not self._catch_up(*(side.here().position for side in self._sides)):
                break
            left: list[str] = []
            for key in keys:
                ours, theirs = (_at(_page(side, table, key, 1), key) for side in self._sides)
                verdict = judge(ours, theirs)
                if verdict == DIFFERS:
                    self._differ(Difference("row", table, key, (ours.version, theirs.version)))
                elif verdict == OPEN:
                    left.append(key)
            keys = left
        return keys


def part(one: Side, other: Side, here: Here, there: Here) -> tuple[int, int | None]:
    """Where running hashes part, by bisection over the marks: equal hashes have equal histories.

    Returns:
        The highest position known to be equal, -1 for none, and the lowest known to differ.
    """
    upto = min(here.position, there.position)
    equal, differs = -1, None
    low, high = 0, upto // MARK_EVERY
    middle = high  # the newest first: mostly it is equal, and all before it is too
    while low <= high:
        ours, theirs = (side.marks(middle * MARK_EVERY, 1) for side in (one, other))
        if ours == theirs:
            equal = max([equal, *(mark.position for mark in ours)])
            low = middle + 1
        else:
            differs = max(mark.position for mark in [*ours, *theirs])
            high = middle - 1
        middle = (low + high) // 2
    if here.position == there.position and here.position > equal and differs is None:
        if here.hash != there.hash:
            return equal, here.position
        equal = here.position
    return equal, differs


def _page(side: Side, table: str, start: str, limit: int) -> Page:
    page = side.rows(table, start, limit)
    return Page(-1, -1, [], None) if page is None else page


def _at(page: Page, key: str) -> Seen:
    item = page.items[0] if page.items and page.items[0].key == key else None
    return seen(item, page.schema, page.position, page.position)


def _of_table(held: Held | None, here: Here) -> Seen:
    item = None if held is None else Item(held.table, held.version, held.hash)
    return seen(item, 0, here.position, here.position)
