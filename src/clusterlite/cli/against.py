"""`clusterlite verify --against`: two replicas compared, and what is told of it.

A side is a replica's file or a node's address. Nothing that a node says is believed any further
than to be told: its answers are bounded and checked for their shape.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import typer

from clusterlite.cli import direct
from clusterlite.cli.records import clean
from clusterlite.errors import ClusterLiteError
from clusterlite.http.replica import FROM, LIMIT, PATH, UPTO
from clusterlite.replica.compare import Compared, Difference, Side, compare
from clusterlite.replica.pages import FilePages, Here, Mark, Page

EXIT_DIFFERENT: Final = 1
EXIT_UNSAID: Final = 2
ASK_WAIT_S: Final = 30.0
CATCH_UP_S: Final = 10.0
"""How long a side that is behind is waited for,"""

STILL_S: Final = 1.0
"""and how long while it does not move."""

_POLL_S: Final = 0.05
_ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
_Answer = TypeVar("_Answer")
_SHOWN_DIGITS: Final = 12
_CURE: Final = (
    "Which of them is wrong the log tells: a node that halted diverged is. Stop that one, say "
    "clusterlite repair with its data folder, and start it"
)
_OTHER_BUILD: Final = "it is no node, or one of a build that cannot be compared"


class Marks(msgspec.Struct):
    """The answer of `/-/replica/marks`."""

    marks: list[Mark]


class NodePages:
    """Of a node, asked over HTTP; as `replica.pages.FilePages` otherwise.

    Args:
        url: of the node.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def here(self) -> Here:
        """Where its replica stands."""
        return self._ask("", {}, Here)

    def marks(self, upto: int, limit: int) -> list[Mark]:
        """Its newest marks at or below a position."""
        return self._ask("/marks", {UPTO: upto, LIMIT: limit}, Marks).marks[:limit]

    def outcomes(self, start: int, limit: int) -> Page:
        """Its outcomes from a position on."""
        page = self._ask("/outcomes", {FROM: start, LIMIT: limit}, Page)
        return self._checked(page, start, [item.version for item in page.items])

    def rows(self, table: str, start: str, limit: int) -> Page | None:
        """The rows of one of its tables from a key on."""
        query = {FROM: start, LIMIT: limit} if start else {LIMIT: limit}
        page = self._ask(f"/rows/{urllib.parse.quote(table, safe='')}", query, Page)
        return self._checked(page, start, [item.key for item in page.items])

    def _checked(self, page: Page, start: Any, order: list[Any]) -> Page:
        """A page out of order would be read without end."""
        ends: list[Any] = [] if page.next is None else [page.next]
        try:
            sound = all(one < two for one, two in pairwise([*order, *ends]))
            sound = sound and all(start <= one for one in order) and all(start < n for n in ends)
        except TypeError:
            sound = False
        if not sound:
            raise ClusterLiteError(f"{self.url} gave a page out of order: {_OTHER_BUILD}")
        return page

    def _ask(self, path: str, query: dict[str, Any], kind: type[_Answer]) -> _Answer:
        asked = f"{self.url}{PATH}{path}?{urllib.parse.urlencode(query)}".rstrip("?")
        try:
            with direct.get(asked, ASK_WAIT_S) as answer:
                body = answer.read(_ANSWER_BYTES_MAX)
            return msgspec.json.decode(body, type=kind)
        except urllib.error.HTTPError as error:
            raise ClusterLiteError(self._refused(error)) from error
        except (OSError, HTTPException) as error:
            raise ClusterLiteError(
                f"{self.url} cannot be asked: {getattr(error, 'reason', error)}; "
                "look whether a node runs there"
            ) from error
        except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
            raise ClusterLiteError(f"{self.url} did not answer as a node does: {error}") from error

    def _refused(self, error: urllib.error.HTTPError) -> str:
        try:
            problem = json.loads(error.read(_ANSWER_BYTES_MAX))
            found = f"{problem['code']}: {problem['detail']}"
        except (OSError, ValueError, TypeError, KeyError, RecursionError, HTTPException):
            found = _OTHER_BUILD
        if found.startswith("no_such_route"):
            found = _OTHER_BUILD
        return f"{self.url} answered {error.code}: {clean(found, 500)}"


def is_url(name: str) -> bool:
    """Whether a side is named by a node's address."""
    return name.startswith(("http://", "https://"))


def patiently(side: Side, position: int) -> bool:
    """Wait for a side that is behind, for as long as it comes nearer."""
    now = time.monotonic()
    deadline, moved_at, before = now + CATCH_UP_S, now, -1
    while (found := side.here().position) < position:
        now = time.monotonic()
        if found > before:
            before, moved_at = found, now
        if now > min(deadline, moved_at + STILL_S):
            return False
        time.sleep(_POLL_S)
    return True


def verify_against(one: str, file: Path | None, other: str, *, as_json: bool) -> None:
    """Compare two replicas and say what was found.

    Args:
        one: what the first was named by.
        file: of its replica; None where it is a node's address.
        other: address of the second.
        as_json: one object instead of lines.

    Raises:
        SystemExit: 1 where they differ, 2 where nothing can be said.
    """
    other = other if is_url(other) else f"http://{other}"
    theirs = NodePages(other)
    with _opened(one, file) as ours:
        here, there = ours.here(), theirs.here()
        _refuse_strangers(one, here, other, there)
        found = compare(ours, theirs, patiently)
    names = (one, other)
    verdict, code = _verdict(found, names)
    if as_json:
        typer.echo(json.dumps(_spelled(found, names, code)))
    else:
        for line in (*_lines(found, names), verdict):
            typer.echo(line)
    if code:
        raise SystemExit(code)


@contextmanager
def _opened(name: str, file: Path | None) -> Iterator[Side]:
    if file is None:
        yield NodePages(name)
        return
    with closing(FilePages.of(file)) as pages:
        yield pages


def _refuse_strangers(one: str, here: Here, other: str, there: Here) -> None:
    for name, side in ((one, here), (other, there)):
        if not side.cluster:
            raise ClusterLiteError(
                f"{name} has no cluster yet, so there is nothing to compare; wait until it is ready"
            )
    if here.cluster != there.cluster:
        raise ClusterLiteError(
            f"{one} is of the cluster {clean(here.cluster)}, {other} of {clean(there.cluster)}: "
            "name two nodes of one cluster"
        )


def _verdict(found: Compared, names: tuple[str, str]) -> tuple[str, int]:
    here, there = found.sides
    if found.differs is not None or found.differing:
        return f"differ: {names[0]} and {names[1]} are not equal. {_CURE}", EXIT_DIFFERENT
    if found.open:
        behind = names[0] if here.position < there.position else names[1]
        why = f"{behind} has not come as far as the other; start it, or wait, and compare again"
        if here.position == there.position:
            why = "they were written while they were compared; compare again"
        return f"cannot say: nothing differs so far, {found.open:,} open: {why}", EXIT_UNSAID
    return f"equal: {names[0]} and {names[1]} hold the same", 0


def _lines(found: Compared, names: tuple[str, str]) -> Iterator[str]:
    width = max(map(len, names))
    for name, side in zip(names, found.sides, strict=True):
        shown = side.hash[:_SHOWN_DIGITS]
        yield f"{name:<{width}}  {clean(side.node)}  position {side.position:,}  hash {shown}"
    here, there = (side.position for side in found.sides)
    if here != there:
        yield f"they stand at different positions: compared up to {min(here, there):,}"
    if found.differs is None:
        yield f"running hashes: equal up to position {found.equal:,}"
    else:
        start = f"equal up to position {found.equal:,}, " if found.equal >= 0 else ""
        yield f"running hashes: {start}they differ at position {found.differs:,}"
        yield f"first position known to differ: {found.first:,}"
    for tally in found.tallies:
        left = f", {tally.open:,} open" if tally.open else ""
        name = clean(tally.table) or "outcomes of events"
        yield f"{name}: {tally.compared:,} compared, {tally.differing:,} differ{left}"
    for difference in found.differences:
        yield f"  {_told(difference)}"
    if found.differing > len(found.differences):
        yield f"  … and {found.differing - len(found.differences):,} more"
    if found.differing and found.differs is None:
        yield (
            "the running hashes are equal and the contents are not: a file was changed beside the "
            "log, by damage or by another program"
        )


def _told(difference: Difference) -> str:
    one, other = ("absent" if v is None else f"version {v:,}" for v in difference.versions)
    if difference.kind == "settings":
        return "the settings of the log"
    how = f"{one}, two contents" if one == other else f"{one} here, {other} there"
    return f"{difference.what}: {how}"


def _spelled(found: Compared, names: tuple[str, str], code: int) -> dict[str, Any]:
    sides = [
        {"side": name, "node": side.node, "position": side.position, "hash": side.hash}
        for name, side in zip(names, found.sides, strict=True)
    ]
    return {
        "verdict": {0: "equal", EXIT_DIFFERENT: "differ"}.get(code, "open"),
        "cluster": found.sides[0].cluster,
        "sides": sides,
        "equal": found.equal,
        "differs": found.differs,
        "first": found.first,
        "compared": [tally._asdict() for tally in found.tallies],
        "differing": found.differing,
        "open": found.open,
        "differences": [difference._asdict() for difference in found.differences],
    }
