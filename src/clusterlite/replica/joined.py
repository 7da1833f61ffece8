"""Two sides' items side by side, and what follows from them.

Neither side stands still, and no snapshot is held over pages. That an item differs is said only
where it follows from what was seen, since a version is the position that wrote it:

    seen                                        certain where
    -----------------------------------------   --------------------------------------------
    one version, two contents                   both know the same declaration
    two versions                                the side with the older has passed the newer
    a row here, none there                      there the row's position was passed, and here
                                                all that there had been seen
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from clusterlite.replica.pages import ITEMS_MAX, Item, Page

EQUAL: Final = "equal"
DIFFERS: Final = "differs"
OPEN: Final = "open"


class Seen(NamedTuple):
    """What a side has at a key.

    Args:
        version: None where it has nothing.
        hash: of what it has.
        schema: version of the table's declaration.
        low: lowest position of the snapshots that show it,
        high: and the highest.
    """

    version: int | None
    hash: str
    schema: int
    low: int
    high: int


def judge(one: Seen, other: Seen) -> str:
    """`EQUAL`, `DIFFERS` or `OPEN`: see the top of this module."""
    if one.version == other.version:
        if one.hash == other.hash:
            return EQUAL
        return DIFFERS if one.schema == other.schema else OPEN
    if one.version is None or (other.version is not None and one.version < other.version):
        one, other = other, one
    sure = one.version is not None and one.version <= other.low
    if other.version is None:
        sure = sure and other.high <= one.low
    return DIFFERS if sure else OPEN


def seen(item: Item | None, schema: int, low: int, high: int) -> Seen:
    """What a page shows at a key; None for nothing."""
    version, digest = (None, "") if item is None else (item.version, item.hash)
    return Seen(version, digest, schema, low, high)


class Stream:
    """The items of one side, page after page.

    Args:
        fetch: gives a page, from a start on.
        start: of the first.
        by_position: what orders the items is their version, else their key.
        upto: the last position that counts.
    """

    def __init__(
        self,
        fetch: Callable[[Any, int], Page],
        start: int | str,
        *,
        by_position: bool = False,
        upto: int | None = None,
    ) -> None:
        self._fetch = fetch
        self._by_position = by_position
        self._upto = upto
        self._page = self._fetch(start, ITEMS_MAX)
        self._low = self._page.position
        self._index = 0
        self._turn()

    @property
    def item(self) -> Item | None:
        """The present one, None at the end."""
        items = self._page.items
        item = items[self._index] if self._index < len(items) else None
        past = item is not None and self._upto is not None and item.version > self._upto
        return None if past else item

    @property
    def order(self) -> tuple[int, str] | None:
        """What orders the present item, None at the end."""
        item = self.item
        return None if item is None else (item.version if self._by_position else 0, item.key)

    def present(self) -> Seen:
        """The present item."""
        return seen(self.item, self._page.schema, self._page.position, self._page.position)

    def absent(self) -> Seen:
        """That there is nothing before the present item, behind the one before."""
        return Seen(None, "", self._page.schema, self._low, self._page.position)

    def advance(self) -> None:
        """Go on to the next item."""
        self._index += 1
        self._low = self._page.position
        self._turn()

    def _turn(self) -> None:
        while self._index >= len(self._page.items) and self._page.next is not None:
            self._page = self._fetch(self._page.next, ITEMS_MAX)
            self._index = 0


def joined(one: Stream, other: Stream) -> Iterator[tuple[str, Seen, Seen]]:
    """Each key that either side has, with what both have there."""
    while True:
        ours, theirs = one.order, other.order
        if ours is None and theirs is None:
            return
        first = min(order for order in (ours, theirs) if order is not None)
        yield (
            first[1],
            one.present() if ours == first else one.absent(),
            other.present() if theirs == first else other.absent(),
        )
        if ours == first:
            one.advance()
        if theirs == first:
            other.advance()
