"""Entities: a Pydantic class declares a table.

    class User(Entity, table="users"):
        name: str = Field(min_length=1)
        email: str = Field(min_length=1, unique=True)

The class is the only place where a row is validated, at the node that creates the event. What
it declares to the log is its `declaration`: names, types, defaults, unique, index, references.
"""

from __future__ import annotations

import datetime as dt
import enum
import types
import uuid
from collections.abc import Callable, Container, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal, Self, TypeVar, Union, get_args, get_origin

import pydantic
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from clusterlite.core.fields import Json, Stored, Unconvertible
from clusterlite.core.names import KEY_RULE, NAME_RULE, is_key, is_name
from clusterlite.core.schema import Column, Incompatible, Table
from clusterlite.errors import DeclarationError, InputError, Problem

_OPTIONS = ("unique", "index", "references")


def Field(  # noqa: N802 - reads like pydantic.Field, which it stands for
    default: Any = ...,
    *,
    default_factory: Callable[[], Any] | None = None,
    unique: bool = False,
    index: bool = False,
    references: str | None = None,
    title: str | None = None,
    description: str | None = None,
    examples: list[Any] | None = None,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    multiple_of: float | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    max_digits: int | None = None,
    decimal_places: int | None = None,
) -> Any:
    """Describe a field: what the log enforces, then what the model validates.

    Args:
        default: of the field; required where neither it nor a factory is given.
        default_factory: makes the default at the creating node.
        unique: no two rows have the same value; judged at apply, alike on every node.
        index: keep the field in an index.
        references: the table that holds the row which this field names.
        title: for forms and OpenAPI, as all that follows for Pydantic (see its documents).
        description: for forms and OpenAPI.
        examples: for forms and OpenAPI.
        gt: greater than.
        ge: greater than or equal.
        lt: less than.
        le: less than or equal.
        multiple_of: of a number.
        min_length: of a string or list.
        max_length: of a string or list.
        pattern: regular expression that a string matches.
        max_digits: of a Decimal.
        decimal_places: of a Decimal; required for one, since it is stored as a scaled integer.
    """
    options = {"unique": unique, "index": index, "references": references}
    given: dict[str, Any] = {
        "default_factory": default_factory,
        "title": title,
        "description": description,
        "examples": examples,
        "gt": gt,
        "ge": ge,
        "lt": lt,
        "le": le,
        "multiple_of": multiple_of,
        "min_length": min_length,
        "max_length": max_length,
        "pattern": pattern,
        "max_digits": max_digits,
        "decimal_places": decimal_places,
    }
    set_ = {name: value for name, value in given.items() if value is not None}
    if default is not ...:
        set_["default"] = default
    extra: dict[str, Any] = {f"x-{name}": value for name, value in options.items() if value}
    return pydantic.Field(**set_, json_schema_extra=extra or None)


class Entity(BaseModel):
    """The base of every entity.

    Class arguments:
        table: the table's name; without it the class is an abstract base.
        revision: raise it to change a field's default.

    Attributes:
        id: the key; a UUIDv7 is made at creation where it is empty.
    """

    model_config = ConfigDict(
        ser_json_bytes="base64",
        val_json_bytes="base64",
        # Not null: a number that is not finite is refused and not forgotten.
        ser_json_inf_nan="constants",
    )

    declaration: ClassVar[Table]
    """What a SCHEMA event of this entity declares; absent on an abstract base."""

    _loads: ClassVar[tuple[tuple[str, Callable[[Any], Any] | None], ...]]
    """By field: what gives a stored value the field's type; None where it has it."""

    _is_plain: ClassVar[bool]
    """Whether an object is its fields and its version, and nothing runs when it is made."""

    id: str = ""

    def __init_subclass__(
        cls, *, table: str | None = None, revision: int = 0, **kwargs: Any
    ) -> None:
        """Take the class arguments; `__pydantic_init_subclass__` uses them."""
        try:
            super().__init_subclass__(**kwargs)
        except TypeError:
            name = cls.__name__
            raise DeclarationError(
                f"{name}: no class argument is named {' or '.join(kwargs)}; an entity takes table "
                f'and revision, as in class {name}(Entity, table="{name.lower()}s")'
            ) from None

    @classmethod
    def __pydantic_init_subclass__(
        cls, *, table: str | None = None, revision: int = 0, **kwargs: Any
    ) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if table is not None:
            cls.declaration = _declare(cls, table, revision)
            cls._loads = tuple(
                (column.name, _loader(column, cls.model_fields[column.name]))
                for column in cls.declaration.columns
            )
            cls._is_plain = not cls.__private_attributes__ and cls.__pydantic_post_init__ is None

    @property
    def version(self) -> int:
        """The position of the event that last wrote the row; -1 before it was written."""
        # No PrivateAttr: pydantic would call a function for it at each validation.
        private = self.__pydantic_private__
        return -1 if private is None else int(private.get("_version", -1))

    def _at_version(self, version: int) -> Self:
        """This object, with the version that its row has now."""
        if self.__pydantic_private__ is None:
            object.__setattr__(self, "__pydantic_private__", {"_version": version})
        else:
            self.__pydantic_private__["_version"] = version
        return self

    def row(self, only: Container[str] | None = None) -> dict[str, Json]:
        """The declared fields, without the id, in canonical JSON form.

        Args:
            only: fields to leave it at; all by default.

        Raises:
            InputError: a value that JSON or the log cannot hold, a naive time for example.
        """
        row: dict[str, Json] = {}
        for column in self.declaration.columns:
            if only is not None and column.name not in only:
                continue
            value = getattr(self, column.name)
            # A plain string is its own form; most fields are.
            if type(value) is not str or column.type != "text":
                value = None if value is None else self._event_value(column, value)
            row[column.name] = value
        return row

    def _event_value(self, column: Column, value: Any) -> Json:
        if column.type == "json":
            value = self.model_dump(mode="json", include={column.name})[column.name]
        try:
            spelled = column.kind.event_value(value, column.scale)
            column.stored(spelled)
        except Unconvertible as error:
            raise InputError([Problem(f"/{column.name}", "datatype", str(error))]) from None
        return spelled

    @classmethod
    def from_stored(cls, key: str, values: Sequence[Stored], version: int) -> Self:
        """The object of a stored row.

        Its values are given the fields' types. What else the class asks for was judged when the
        row was written, by whoever wrote it, and is not judged again.

        Args:
            key: the id.
            values: as SQLite holds them, in the order of the declaration's columns.
            version: of the row.

        Raises:
            pydantic.ValidationError: a value has no counterpart in the field's type, such as one
                that an enum does not have any more.
        """
        fields: dict[str, Any] = {"id": key}
        for (name, load), value in zip(cls._loads, values, strict=True):
            fields[name] = value if load is None or value is None else load(value)
        if not cls._is_plain:
            return cls.model_construct(**fields)._at_version(version)
        # As `model_construct` does, without the parts that an entity does not have.
        entity = cls.__new__(cls)
        put = object.__setattr__
        put(entity, "__dict__", fields)
        put(entity, "__pydantic_fields_set__", set(fields))
        put(entity, "__pydantic_extra__", None)
        put(entity, "__pydantic_private__", {"_version": version})
        return entity


EntityT = TypeVar("EntityT", bound=Entity)


def check_key(key: str) -> str:
    """The key, if it is acceptable.

    Raises:
        InputError: it is not; says the rule.
    """
    if not is_key(key):
        raise InputError([Problem("/id", "key", f"must be {KEY_RULE}")])
    return key


def key_of(verb: str, entity: Entity) -> str:
    """The key of an entity that names a row.

    Args:
        verb: what is asked of the row, for the error.
        entity: with its id.

    Raises:
        InputError: it has none, or one that is not acceptable.
    """
    if not entity.id:
        why = f"this {type(entity).__name__} has none; {verb} needs a row's id, create makes one"
        raise InputError([Problem("/id", "key", why)])
    return check_key(entity.id)


def invalid(error: pydantic.ValidationError) -> InputError:
    """What a model refused, by JSON pointer."""
    return InputError(
        [
            Problem("".join(map(_pointed, item["loc"])), item["type"], item["msg"])
            for item in error.errors(include_url=False, include_context=False)
        ]
    )


def judged_row(entity: Entity) -> dict[str, Json]:
    """The row of an entity that a program writes, judged again: it may have been changed since.

    The validators see the values as they are in the object; what they make of them is not taken.

    Raises:
        InputError: what is wrong where, by JSON pointer.
    """
    # First, since it names a value that no event can hold better than a validator does.
    row = entity.row()
    try:
        type(entity).model_validate(
            entity.model_dump(round_trip=True, warnings=False), by_alias=False, by_name=True
        )
    except pydantic.ValidationError as error:
        raise invalid(error) from None
    return row


def _pointed(part: int | str) -> str:
    return "/" + str(part).replace("~", "~0").replace("/", "~1")


def _declare(cls: type[Entity], table: str, revision: int) -> Table:
    if not is_name(table):
        raise DeclarationError(f"{cls.__name__}: table={table!r} is no name: {NAME_RULE}")
    columns = tuple(
        _column(cls, name, info) for name, info in cls.model_fields.items() if name != "id"
    )
    try:
        return Table.from_json(Table(table, columns, revision=revision).to_json())
    except Incompatible as error:
        raise DeclarationError(f"{cls.__name__}: {error}") from None


def _column(cls: type[Entity], name: str, info: FieldInfo) -> Column:
    place = f"{cls.__name__}.{name}"
    if not is_name(name):
        raise DeclarationError(f"{place}: not a field name; use {NAME_RULE}")
    annotation, nullable = _without_none(info.annotation)
    kind = _type_name(annotation)
    if kind is None:
        raise DeclarationError(
            f"{place}: {annotation!r} is no field type; use str, int, float, bool, datetime, "
            "date, Decimal, UUID, bytes, an enum of str, list, dict or a Pydantic model"
        )
    scale = _scale(place, info) if kind == "decimal" else 0
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    options: dict[str, Any] = {option: extra.get(f"x-{option}") for option in _OPTIONS}
    column = Column(
        name,
        kind,
        scale=scale,
        required=not nullable,
        unique=bool(options["unique"]),
        index=bool(options["index"]),
        references=options["references"],
    )
    return _with_default(place, column, info)


def _loader(column: Column, info: FieldInfo) -> Callable[[Any], Any] | None:
    annotation, _ = _without_none(info.annotation)
    if column.type == "boolean":
        return bool
    if annotation in (str, int, float, bytes):
        return None
    convert = pydantic.TypeAdapter(annotation).validate_python
    if column.type == "blob":
        return convert
    shown = column.shown
    return lambda stored: convert(shown(stored))


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in {Union, types.UnionType}:
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        nullable = len(kinds) < len(get_args(annotation))
        return (kinds[0] if len(kinds) == 1 else annotation), nullable
    return annotation, annotation is None


_TYPE_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (str, "text"),
    (int, "integer"),
    (float, "real"),
    (dt.datetime, "timestamp"),
    (dt.date, "date"),
    (Decimal, "decimal"),
    (uuid.UUID, "uuid"),
    (bytes, "blob"),
    (list, "json"),
    (dict, "json"),
    (BaseModel, "json"),
)


def _type_name(annotation: Any) -> str | None:
    origin = get_origin(annotation)
    if origin is Literal:
        return "text" if all(isinstance(value, str) for value in get_args(annotation)) else None
    kind = origin or annotation
    if not isinstance(kind, type):
        return None
    if issubclass(kind, enum.Enum):
        return "text" if all(isinstance(member.value, str) for member in kind) else None
    return next((name for base, name in _TYPE_NAMES if issubclass(kind, base)), None)


def _scale(place: str, info: FieldInfo) -> int:
    for constraint in info.metadata:
        places = getattr(constraint, "decimal_places", None)
        if places is not None:
            return int(places)
    raise DeclarationError(
        f"{place}: a Decimal needs Field(decimal_places=…): it is stored as a scaled integer"
    )


def _with_default(place: str, column: Column, info: FieldInfo) -> Column:
    default = info.default
    if info.default_factory in {list, dict}:
        default = info.default_factory()
    if default is PydanticUndefined or default is None:
        return column
    try:
        literal = column.kind.event_value(
            default.model_dump(mode="json") if isinstance(default, BaseModel) else default,
            column.scale,
        )
        column.stored(literal)
    except Unconvertible as error:
        raise DeclarationError(f"{place}: its default {error}") from None
    return Column(
        column.name,
        column.type,
        scale=column.scale,
        required=column.required,
        default=literal,
        has_default=True,
        unique=column.unique,
        index=column.index,
        references=column.references,
    )
