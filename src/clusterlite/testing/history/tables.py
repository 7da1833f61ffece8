"""Tables of the model: declarations as SCHEMA events give them, and rows with their versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from clusterlite.testing.history.records import fold, is_name
from clusterlite.testing.history.values import KINDS, Misfit, canonical, comparable

COLUMNS_MAX: Final = 200
SCALE_MAX: Final = 18


class Refused(Exception):
    """A verdict: rejected.

    Args:
        code: of the outcome.
        version: of the row as it was found.
    """

    def __init__(self, code: str, version: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.version = version


class Unmodelled(Exception):
    """The log asks for something that this model does not know; the message says what."""


class Cell(NamedTuple):
    """A row and its version."""

    row: dict[str, Any]
    version: int


@dataclass(frozen=True, slots=True)
class Column:
    """A field, as `docs/reference/events.md` and a declaration spell it."""

    name: str
    kind: str
    scale: int = 0
    required: bool = False
    default: Any = None
    has_default: bool = False
    unique: bool = False
    index: bool = False
    references: str | None = None
    since: int = -1

    def takes(self, value: Any) -> Any:
        """The value as it is read back; `Misfit` where the type does not take it."""
        return canonical(self.kind, value, self.scale)


@dataclass(slots=True)
class Table:
    """A table's fields by folded name, in the order in which they came, and its rows.

    Args:
        name: as first declared.
        columns: by folded name.
        declared: False where events without a format made it.
        revision: of the declaration.
        cells: rows by key.
        index: of unique fields and references: the keys that have a value.
    """

    name: str
    columns: dict[str, Column]
    declared: bool = True
    revision: int = 0
    cells: dict[str, Cell] = field(default_factory=dict)
    index: dict[str, defaultdict[Hashable, set[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reindex()

    def reindex(self) -> None:
        """Make the indexes anew, once the fields or many rows have changed."""
        self.index = {c.name: defaultdict(set) for c in self.columns.values() if _kept(c)}
        for key, cell in self.cells.items():
            self._note(key, cell.row)

    def put(self, key: str, cell: Cell | None) -> None:
        """Set a row, or remove it."""
        before = self.cells.get(key)
        if before is not None:
            for name, keys in self.index.items():
                keys[comparable(before.row[name])].discard(key)
        if cell is None:
            self.cells.pop(key, None)
        else:
            self.cells[key] = cell
            self._note(key, cell.row)

    def _note(self, key: str, row: Mapping[str, Any]) -> None:
        for name, keys in self.index.items():
            if row[name] is not None:
                keys[comparable(row[name])].add(key)

    def having(self, name: str, value: Any) -> set[str]:
        """The keys whose field, unique or a reference, has the value."""
        return self.index[name].get(comparable(value), set())

    def repeats(self, name: str) -> bool:
        """Whether two rows have one value in a field that would be unique."""
        values = [comparable(v) for c in self.cells.values() if (v := c.row[name]) is not None]
        return len(set(values)) != len(values)


def _kept(column: Column) -> bool:
    return column.unique or column.references is not None


Tables = dict[str, Table]
"""By folded name."""


def declare(tables: Tables, declaration: Mapping[str, Any], position: int) -> Table | None:
    """Judge a SCHEMA event's data.

    Returns:
        What the table is from then on, None where nothing changes.

    Raises:
        Refused: `incompatible` or `not_adoptable`.
    """
    proposed = _read(declaration, position)
    current = tables.get(fold(proposed.name))
    if current is not None and current.declared:
        table = _extended(current, proposed, position)
        if table is not None:
            _check_references(tables, table)
        return table
    _check_references(tables, proposed)
    if current is not None:
        _adopt(tables, current, proposed)
    return proposed


def _read(spelled: Mapping[str, Any], position: int) -> Table:
    name = spelled.get("table")
    columns = _get(spelled, "columns", list, [])
    if not is_name(name) or len(columns) > COLUMNS_MAX:
        raise Refused("incompatible")
    if _get(spelled, "code", dict, None) is not None:
        raise Unmodelled(f"position {position}: table {name} is applied by code of its own")
    read = [replace(_column(column), since=position) for column in columns]
    by_name = {fold(column.name): column for column in read}
    if len(by_name) != len(read) or "id" in by_name:
        raise Refused("incompatible")
    return Table(str(name), by_name, revision=_get(spelled, "revision", int, 0))


def _get(spelled: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = spelled.get(name, default)
    if value is not default and type(value) is not kind:
        raise Refused("incompatible")
    return value


def _column(spelled: Any) -> Column:
    if not isinstance(spelled, dict):
        raise Refused("incompatible")
    kind, scale = _get(spelled, "type", str, ""), _get(spelled, "scale", int, 0)
    references = _get(spelled, "references", str, None)
    column = Column(
        str(spelled.get("name")),
        kind,
        scale if kind == "decimal" else 0,
        _get(spelled, "required", bool, False),
        spelled.get("default"),
        "default" in spelled,
        _get(spelled, "unique", bool, False),
        _get(spelled, "index", bool, False),
        references,
    )
    wrong = (
        kind not in KINDS
        or kind == "any"
        or not 0 <= scale <= SCALE_MAX
        or (references is not None and (kind != "text" or not is_name(references)))
        or not is_name(spelled.get("name"))
        or (column.required and column.has_default and column.default is None)
    )
    if wrong:
        raise Refused("incompatible")
    try:
        column.takes(column.default)
    except Misfit:
        raise Refused("incompatible") from None
    return column


def _extended(current: Table, proposed: Table, position: int) -> Table | None:
    """What a declared table becomes by a further declaration; None where it says nothing new."""
    columns = dict(current.columns)
    cells = current.cells
    for name, column in proposed.columns.items():
        old = current.columns.get(name)
        columns[name] = _added(column, position) if old is None else _met(current, proposed, name)
        if old is None:
            value = column.takes(column.default)
            cells = {k: Cell({**c.row, column.name: value}, c.version) for k, c in cells.items()}
    if len(columns) > COLUMNS_MAX:
        raise Refused("incompatible")
    if columns == current.columns:
        return None
    revision = max(current.revision, proposed.revision)
    table = Table(current.name, columns, revision=revision, cells=cells)
    for name, column in columns.items():
        old = current.columns.get(name)
        if column.unique and not (old and old.unique) and table.repeats(column.name):
            raise Refused("incompatible")
    return table


def _added(column: Column, position: int) -> Column:
    """A field that rows have to get; one that refers to a table begins empty."""
    if column.has_default if column.references else column.required and not column.has_default:
        raise Refused("incompatible")
    return replace(column, since=position)


def _met(current: Table, proposed: Table, name: str) -> Column:
    """One field that both declare."""
    old, new = current.columns[name], proposed.columns[name]
    for what in ("kind", "scale", "required", "references"):
        if getattr(old, what) != getattr(new, what):
            raise Refused("incompatible")
    met = replace(old, unique=old.unique or new.unique, index=old.index or new.index)
    if (old.has_default, old.default) != (new.has_default, new.default):
        if proposed.revision == current.revision:
            raise Refused("incompatible")
        if proposed.revision > current.revision:
            met = replace(met, default=new.default, has_default=new.has_default)
    return met


def _check_references(tables: Tables, table: Table) -> None:
    """Every reference is to a declared table."""
    for column in table.columns.values():
        target = None if column.references is None else fold(column.references)
        if target is None or target == fold(table.name):
            continue
        if target not in tables or not tables[target].declared:
            raise Refused("incompatible")


def _adopt(tables: Tables, old: Table, new: Table) -> None:
    """Convert the rows of an undeclared table; they keep their version."""
    for key, cell in old.cells.items():
        row: dict[str, Any] = {"id": key}
        for name, column in new.columns.items():
            source = old.columns.get(name)
            value = None if source is None else cell.row[source.name]
            value = column.default if value is None and column.has_default else value
            try:
                row[column.name] = column.takes(value)
            except Misfit:
                raise Refused("not_adoptable") from None
            if row[column.name] is None and column.required:
                raise Refused("not_adoptable")
        new.cells[key] = Cell(row, cell.version)
    new.reindex()
    for column in new.columns.values():
        if column.references is None:
            continue
        target = fold(column.references)
        there = new.cells if target == fold(new.name) else tables[target].cells
        wanted = {v for c in new.cells.values() if (v := c.row[column.name]) is not None}
        if not wanted <= there.keys():
            raise Refused("not_adoptable")
    if any(column.unique and new.repeats(column.name) for column in new.columns.values()):
        raise Refused("not_adoptable")
