"""What a replica holds, as another can compare it: hashes, by pages.

Each answer is of one snapshot, names that snapshot's position, and is bounded. Nothing is held
from one page to the next: what lies between two pages may move on, and `compare` allows for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from clusterlite.core.fields import canonical_json
from clusterlite.core.names import fold
from clusterlite.replica.database import Connection
from clusterlite.replica.reader import Reader
from clusterlite.replica.state import State, load_state
from clusterlite.replica.tables import PhysicalTable, load_tables, quote

ITEMS_MAX: Final = 2_000
"""Of a page: more would keep a worker from its other requests."""

PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of rows that are read for a page, after which it ends early."""

_HASH_BYTES: Final = 16
_pack = msgspec.msgpack.Encoder().encode


class Mark(NamedTuple):
    """A position whose running hash is kept.

    Args:
        position: a multiple of 1,024.
        hash: hex.
    """

    position: int
    hash: str


class Held(msgspec.Struct, frozen=True):
    """A table, without its rows.

    Args:
        table: its name as declared.
        version: the position that declared or extended it last.
        hash: of its declaration, hex.
    """

    table: str
    version: int
    hash: str


class Here(msgspec.Struct, frozen=True):
    """Where a replica stands.

    Args:
        node: the node's name.
        cluster: cluster id, empty before there is one.
        position: of the last record applied, -1 before any.
        hash: running hash there, hex.
        floor: outcomes below it are forgotten.
        settings: what the log sets for every node.
        tables: that the log declares, by name.
    """

    node: str
    cluster: str
    position: int
    hash: str
    floor: int
    settings: dict[str, int]
    tables: list[Held]


class Item(NamedTuple):
    """A row, or an outcome.

    Args:
        key: id of the row, or of the event.
        version: the position that wrote it.
        hash: of all that it holds, hex.
    """

    key: str
    version: int
    hash: str


class Page(msgspec.Struct, frozen=True):
    """Items in order: rows by key, outcomes by position.

    Args:
        position: of the snapshot.
        schema: `Held.version` of the rows' table, -1 for outcomes.
        items: as many as were asked for and fit.
        next: key or position at which the next page begins, None on the last one.
    """

    position: int
    schema: int
    items: list[Item]
    next: str | int | None


class FilePages:
    """Of a replica's file. It belongs to one thread.

    Args:
        reader: of the file; the caller closes it.
        before_page: called before each page of rows or outcomes; may raise.
    """

    def __init__(self, reader: Reader, before_page: Callable[[], None] = lambda: None) -> None:
        self._reader = reader
        self._before_page = before_page

    @classmethod
    def of(cls, path: Path) -> FilePages:
        """Open a file.

        Raises:
            apsw.Error: it cannot be read.
        """
        return cls(Reader(path))

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()

    def here(self) -> Here:
        """Where the replica stands."""
        with self._reader.snapshot() as connection:
            state = load_state(connection)
            tables = load_tables(connection).values()
            node = connection.execute("SELECT node FROM _cl_node").fetchone()
            held = [Held(t.schema.name, _version(t), _declaration(t)) for t in tables]
        return Here(
            "" if node is None else node[0],
            state.cluster,
            state.position,
            state.hash.hex(),
            state.floor,
            _settings(state),
            held,
        )

    def marks(self, upto: int, limit: int) -> list[Mark]:
        """The newest marks at or below a position, newest first."""
        with self._reader.snapshot() as connection:
            found = connection.execute(
                "SELECT position, hash FROM _cl_mark WHERE position <= ?"
                " ORDER BY position DESC LIMIT ?",
                (upto, limit),
            )
            return [Mark(position, digest.hex()) for position, digest in found]

    def outcomes(self, start: int, limit: int) -> Page:
        """What became of events, from a position on; none that is forgotten."""
        self._before_page()
        with self._reader.snapshot() as connection:
            state = load_state(connection)
            found = connection.execute(
                "SELECT event_id, position, verdict, code, detail, fp FROM _cl_outcome"
                " WHERE position >= ? ORDER BY position LIMIT ?",
                (max(start, state.floor), limit + 1),
            )
            items, after = _taken(found, limit)
        return Page(state.position, -1, items, None if after is None else after.version)

    def rows(self, table: str, start: str, limit: int) -> Page | None:
        """Rows from a key on; None where there is no such table."""
        self._before_page()
        with self._reader.snapshot() as connection:
            position = load_state(connection).position
            known = load_tables(connection).get(fold(table))
            if known is None:
                return None
            found = _rows(connection, known, start, limit + 1)
            items, after = _taken(found, limit)
        return Page(position, _version(known), items, None if after is None else after.key)


def _rows(
    connection: Connection, table: PhysicalTable, start: str, limit: int
) -> Iterable[tuple[Any, ...]]:
    columns = "".join(f", {quote(name)}" for name, _ in table.schema.sorted_names)
    return connection.execute(
        f"SELECT id, _version{columns} FROM {table.name} WHERE id >= ? ORDER BY id LIMIT ?",
        (start, limit),
    )


def _taken(found: Iterable[tuple[Any, ...]], limit: int) -> tuple[list[Item], Item | None]:
    """The items of a page, and the one after them."""
    items: list[Item] = []
    size = 0
    for row in found:
        packed = _pack(row)
        item = Item(row[0], row[1], blake2b(packed, digest_size=_HASH_BYTES).hexdigest())
        if len(items) == limit or size >= PAGE_BYTES_MAX:
            return items, item
        items.append(item)
        size += len(packed)
    return items, None


def _version(table: PhysicalTable) -> int:
    return max(table.schema.position, *(column.since for column in table.schema.columns), -1)


def _declaration(table: PhysicalTable) -> str:
    schema = table.schema
    spelled = [schema.declared, canonical_json(schema.to_json())]
    return blake2b(_pack(spelled), digest_size=_HASH_BYTES).hexdigest()


def _settings(state: State) -> dict[str, int]:
    return {
        "level": state.level,
        "window_positions": state.window_positions,
        "window_ms": state.window_ms,
    }
