"""What a table is, as the log declares it, and how one declaration follows another.

    declaration (what a SCHEMA event carries)  --evolve-->  table (what every replica holds)

    proposed against current                          what becomes of it
    -----------------------------------------------   ------------------------------------
    no table yet                                       the table is created
    fewer or equal fields, same types                  no effect: code can be rolled back
    new fields, nullable or with a default; an index   the table is extended
    a new unique                                       extended, if the rows allow it
    an undeclared table (made by foreign events)       its rows are adopted, if they fit
    anything else                                      refused: `Incompatible`

A default is changed only by a declaration with a higher `revision`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from clusterlite.core.fields import TYPES, FieldType, Json, Stored, Unconvertible
from clusterlite.core.names import NAME_RULE, fold, is_name

COLUMNS_MAX: Final = 200
SCALE_MAX: Final = 18


class Incompatible(ValueError):
    """A declaration that is malformed or contradicts the table; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Column:
    """One declared field.

    Args:
        name: as declared; compared with ASCII case folded.
        type: a name of `fields.TYPES`.
        scale: decimal places, for decimals only.
        required: holds no NULL.
        default: JSON literal that a row without the field takes; meaningful if `has_default`.
        has_default: whether there is one.
        unique: no two rows have the same value (NULLs are never the same).
        index: kept in an index.
        references: the table whose row this field names, else None.
        since: position of the declaration that added it.
    """

    name: str
    type: str
    scale: int = 0
    required: bool = False
    default: Json = None
    has_default: bool = False
    unique: bool = False
    index: bool = False
    references: str | None = None
    since: int = -1

    @property
    def kind(self) -> FieldType:
        """The field type."""
        return TYPES[self.type]

    def stored(self, value: Json) -> Stored:
        """The SQLite value of a JSON value; NULL for null.

        Raises:
            Unconvertible: the type does not take it.
        """
        return None if value is None else self.kind.stored(value, self.scale)

    def shown(self, value: Stored) -> Json:
        """The JSON value of a SQLite value."""
        return None if value is None else self.kind.shown(value, self.scale)

    def to_json(self) -> dict[str, Json]:
        """As a declaration spells it; what has its default value is left out."""
        spelled: dict[str, Json] = {"name": self.name, "type": self.type}
        if self.type == "decimal":
            spelled["scale"] = self.scale
        if self.has_default:
            spelled["default"] = self.default
        for flag in ("required", "unique", "index", "references"):
            if getattr(self, flag):
                spelled[flag] = getattr(self, flag)
        return spelled


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """User code that takes part in apply: a node without it halts instead of guessing."""

    name: str
    version: int


@dataclass(frozen=True)
class Table:
    """A table: its columns in the order in which they came, without the implicit `id`.

    Args:
        name: as first declared.
        columns: at most `COLUMNS_MAX`.
        position: of the declaration that changed it last; -1 in a proposal.
        declared: False for a table that foreign events made.
        revision: of the declaration; raises to change a default.
        code: the operations class that its SCHEMA event names, None for the default one.
    """

    name: str
    columns: tuple[Column, ...]
    position: int = -1
    declared: bool = True
    revision: int = 0
    code: CodeVersion | None = None

    @cached_property
    def by_name(self) -> dict[str, int]:
        """The index of each column by its folded name."""
        return {fold(column.name): index for index, column in enumerate(self.columns)}

    @cached_property
    def sorted_names(self) -> tuple[tuple[str, int], ...]:
        """Names in code point order with their index: the order of a row image."""
        return tuple(sorted((column.name, index) for index, column in enumerate(self.columns)))

    @cached_property
    def refers_to_itself(self) -> bool:
        """Whether a field refers to this table."""
        return any(fold(c.references) == fold(self.name) for c in self.columns if c.references)

    def image(self, values: tuple[Stored, ...]) -> dict[str, Stored]:
        """The fields of a row image from the values in column order."""
        return {name: values[index] for name, index in self.sorted_names}

    def shown(self, key: str, fields: dict[str, Stored]) -> dict[str, Json]:
        """A row as JSON from a row image's fields."""
        row: dict[str, Json] = {"id": key}
        for column in self.columns:
            row[column.name] = column.shown(fields.get(column.name))
        return row

    def to_json(self) -> dict[str, Json]:
        """The declaration, as a SCHEMA event carries it."""
        spelled: dict[str, Json] = {
            "table": self.name,
            "revision": self.revision,
            "columns": [column.to_json() for column in self.columns],
        }
        if self.code:
            spelled["code"] = {"name": self.code.name, "version": self.code.version}
        return spelled

    @classmethod
    def from_json(cls, declaration: dict[str, Json]) -> Table:
        """Read a declaration.

        Raises:
            Incompatible: it is not one.
        """
        return _Reader(declaration).table()


@dataclass(slots=True)
class Evolution:
    """How a proposal changes the table.

    Args:
        table: what it will be.
        created: no table was there.
        adopted: rows of an undeclared table are converted.
        added: new columns.
        uniques: columns that become unique on a table that may have rows.
        indexes: columns that get an index.
        changed: whether anything changes at all.
    """

    table: Table
    created: bool = False
    adopted: bool = False
    added: tuple[Column, ...] = ()
    uniques: tuple[Column, ...] = ()
    indexes: tuple[Column, ...] = ()
    changed: bool = True


def evolve(current: Table | None, proposed: Table, position: int) -> Evolution:
    """Judge a proposal against the table as it is.

    Args:
        current: None where no table of this name is there.
        proposed: as read from the declaration.
        position: of the SCHEMA event.

    Raises:
        Incompatible: not an additive change; says what to do.
    """
    stamped = tuple(replace(column, since=position) for column in proposed.columns)
    if current is None or not current.declared:
        table = replace(proposed, columns=stamped, position=position)
        return Evolution(
            table,
            created=current is None,
            adopted=current is not None,
            indexes=tuple(c for c in stamped if c.index or c.references),
            uniques=tuple(c for c in stamped if c.unique),
        )
    if proposed.code != current.code and not _newer_code(current.code, proposed.code):
        raise Incompatible(
            f"table {current.name}: its operations are {_code(current.code)} and cannot become "
            f"{_code(proposed.code)}; raise the version of the class instead"
        )
    return _Extension(current, proposed, position).judge()


def check_spelling(current: Table, proposed: Table) -> None:
    """Refuse fields whose names are the log's but for case: rows would come without them.

    At apply they are the same field (`evolve`); only the class could not find its values.

    Raises:
        Incompatible: names the field as it is in the log.
    """
    for column in proposed.columns:
        index = current.by_name.get(fold(column.name))
        if index is not None and current.columns[index].name != column.name:
            name = current.columns[index].name
            raise Incompatible(
                f"field {column.name} of table {current.name}: the log declares it as {name}, and "
                f"names that differ in case alone are one field; spell it {name}"
            )


def _newer_code(current: CodeVersion | None, proposed: CodeVersion | None) -> bool:
    return (
        current is not None
        and proposed is not None
        and current.name == proposed.name
        and proposed.version > current.version
    )


def _code(code: CodeVersion | None) -> str:
    return f"{code.name} version {code.version}" if code else "the default ones"


@dataclass
class _Extension:
    """One declared table meets a further declaration."""

    current: Table
    proposed: Table
    position: int
    columns: list[Column] = field(init=False)
    uniques: list[Column] = field(default_factory=list)
    indexes: list[Column] = field(default_factory=list)
    defaults_changed: bool = False

    def __post_init__(self) -> None:
        self.columns = list(self.current.columns)

    def judge(self) -> Evolution:
        added = [self._add(c) for c in self.proposed.columns if self._is_new(c)]
        if len(self.columns) > COLUMNS_MAX:
            raise Incompatible(f"table {self.current.name}: more than {COLUMNS_MAX} fields")
        changed = bool(added or self.uniques or self.indexes or self.defaults_changed)
        newer_code = _newer_code(self.current.code, self.proposed.code)
        if not changed and not newer_code:
            return Evolution(self.current, changed=False)
        table = replace(
            self.current,
            columns=tuple(self.columns),
            position=self.position,
            revision=max(self.current.revision, self.proposed.revision),
            code=self.proposed.code,
        )
        return Evolution(
            table,
            added=tuple(added),
            uniques=tuple(self.uniques),
            indexes=tuple(self.indexes),
        )

    def _is_new(self, column: Column) -> bool:
        index = self.current.by_name.get(fold(column.name))
        if index is None:
            return True
        self._meet(index, self.current.columns[index], column)
        return False

    def _meet(self, index: int, old: Column, new: Column) -> None:
        place = f"field {old.name} of table {self.current.name}"
        for what in ("type", "scale", "required", "references"):
            was, now = getattr(old, what), getattr(new, what)
            if was != now:
                raise Incompatible(
                    f"{place}: {what} is {was!r} in the log and cannot become {now!r}; "
                    "declare a new field beside it and copy the values"
                )
        merged = old
        if new.unique and not old.unique:
            merged = replace(merged, unique=True)
            self.uniques.append(merged)
        if new.index and not old.index:
            merged = replace(merged, index=True)
            self.indexes.append(merged)
        same_default = (old.has_default, old.default) == (new.has_default, new.default)
        if not same_default and self.proposed.revision >= self.current.revision:
            if self.proposed.revision == self.current.revision:
                raise Incompatible(
                    f"{place}: the default is {_default(old)} in the log and {_default(new)} here; "
                    f"raise the entity's revision above {self.current.revision} to change it"
                )
            merged = replace(merged, default=new.default, has_default=new.has_default)
            self.defaults_changed = True
        self.columns[index] = merged

    def _add(self, column: Column) -> Column:
        if column.required and not column.has_default:
            raise Incompatible(
                f"field {column.name} of table {self.current.name} is new and required: rows are "
                "there already, so give it a default or let it be None"
            )
        column = replace(column, since=self.position)
        self.columns.append(column)
        if column.unique:
            self.uniques.append(column)
        if column.index or column.references:
            self.indexes.append(column)
        return column


def _default(column: Column) -> str:
    return repr(column.default) if column.has_default else "none"


@dataclass
class _Reader:
    """Reads a declaration from the JSON of a SCHEMA event; trusts nothing."""

    spelled: Any

    def table(self) -> Table:
        name = self._name(self.spelled, "table")
        columns = self._get(self.spelled, "columns", list, [])
        if len(columns) > COLUMNS_MAX:
            raise Incompatible(f"table {name}: more than {COLUMNS_MAX} fields")
        table = Table(
            name,
            tuple(self._column(column) for column in columns),
            revision=self._get(self.spelled, "revision", int, 0),
            code=self._code(),
        )
        if len(table.by_name) != len(columns) or "id" in table.by_name:
            raise Incompatible(f"table {name}: a field stands twice, or is named id")
        return table

    def _code(self) -> CodeVersion | None:
        spelled = self._get(self.spelled, "code", dict, None)
        if spelled is None:
            return None
        return CodeVersion(
            self._get(spelled, "name", str, ""), self._get(spelled, "version", int, 0)
        )

    def _column(self, spelled: Any) -> Column:
        if type(spelled) is not dict:
            raise Incompatible("a column must be an object")
        kind = self._get(spelled, "type", str, "")
        if kind not in TYPES or kind == "any":
            raise Incompatible(f"no field type is named {kind!r}")
        scale = self._get(spelled, "scale", int, 0)
        if not 0 <= scale <= SCALE_MAX:
            raise Incompatible(f"a decimal has 0 to {SCALE_MAX} decimal places")
        references = self._get(spelled, "references", str, None)
        if references is not None and (kind != "text" or not is_name(references)):
            raise Incompatible("a reference is a text field that names a table")
        column = Column(
            self._name(spelled, "name"),
            kind,
            # As `to_json` spells it: a table that was read again must be the one that was declared.
            scale=scale if kind == "decimal" else 0,
            required=self._get(spelled, "required", bool, False),
            default=spelled.get("default"),
            has_default="default" in spelled,
            unique=self._get(spelled, "unique", bool, False),
            index=self._get(spelled, "index", bool, False),
            references=references,
        )
        if column.required and column.has_default and column.default is None:
            raise Incompatible(f"field {column.name}: required, and its default is null")
        try:
            column.stored(column.default)
        except Unconvertible as error:
            raise Incompatible(f"field {column.name}: its default {error}") from None
        return column

    @staticmethod
    def _name(spelled: Any, key: str) -> str:
        name = spelled.get(key)
        if type(name) is not str or not is_name(name):
            raise Incompatible(f"{name!r} is no name: {NAME_RULE}")
        return name

    @staticmethod
    def _get(spelled: dict[str, Any], key: str, kind: type, default: Any) -> Any:
        value = spelled.get(key, default)
        if value is not default and type(value) is not kind:
            raise Incompatible(f"{key} must be {kind.__name__}")
        return value


def undeclared(name: str, keys: list[str], position: int) -> Table:
    """The table that a foreign event's keys make: every field nullable and of any type."""
    columns = tuple(Column(key, "any", since=position) for key in keys)
    return Table(name, columns, position=position, declared=False)
