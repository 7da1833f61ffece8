"""Parts of an entity, as a PATCH gives them: judged field by field, or with the row they go onto.

    a body --`Partial.read`--> Part --`Part.attempt`--> the event to try

1. A field that is given is judged by what the entity's class asks of that field: its alias, type,
   constraints and validators. A field that is not given is not judged: it was when it was written.
2. Where nothing looks at more than one field, the part alone decides, and the event merges into
   whatever the row has when it is applied.
3. Else the row is read, and what the part makes of it is judged as a whole. That holds for the
   version that was read, so the event asks for it. Two things make a part need the row: a class
   that looks at several fields (a validator of the model, `model_post_init`, an `__init__`, a
   field validator that takes `info`); and an object for a document that may not hold just any
   object, since only the merged document can be judged.
4. An event that is sent to be told apart only (the row is not as it must be, as far as this
   replica knows) is one that can never have an effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, Final, NamedTuple, cast

import pydantic
import pydantic_core
from pydantic_core import SchemaValidator

from clusterlite.core.entity import Entity, EntityT, invalid
from clusterlite.core.event import Condition
from clusterlite.core.fields import Json, Stored
from clusterlite.core.patch import difference, merge
from clusterlite.core.schema import Column
from clusterlite.errors import InputError, Problem

_Schema = dict[str, Any]
"""A core schema of Pydantic's, or a field's."""

_OBJECT_KEYS: Final = frozenset({"type", "keys_schema", "values_schema", "metadata", "strict"})


class _Kept(NamedTuple):
    """A field that was not given: as it stands in the whole input, and what it is in Python."""

    shown: Json
    load: Callable[[Any], Any] | None
    stored: Stored


_kept: ContextVar[Mapping[str, _Kept]] = ContextVar("_kept")
"""The fields that the validation under way keeps, by name."""


class Attempt(NamedTuple):
    """One event to try.

    Args:
        operation: PATCH; or INSERT where it is sent to be told apart only.
        data: of the event.
        condition: of the event.
    """

    operation: str
    data: dict[str, Json]
    condition: Condition | None


class Part(NamedTuple):
    """Some fields of one row.

    Args:
        of: the entity's.
        key: of the row.
        body: as the client sent it.
        given: the body's values by field, not judged yet.
        data: the fields in canonical JSON form, None where only the whole row can be judged.
    """

    of: Partial
    key: str
    body: dict[str, Json]
    given: dict[str, Json]
    data: dict[str, Json] | None

    def attempt(
        self, found: tuple[int, Sequence[Stored]] | None, asked: Condition | None
    ) -> Attempt:
        """The event that brings this part onto the row as it was read.

        Args:
            found: the row's version and values in the order of the declaration's columns; None
                where it is absent.
            asked: the client's own precondition.

        Raises:
            InputError: what the part makes of the row does not fit the entity.
        """
        bare = {"id": self.key}
        if asked is not None and asked.present is False:
            return Attempt("PATCH", bare, asked)
        if asked is not None and asked.version is not None:
            if found is None or found[0] != asked.version:
                return Attempt("INSERT", bare, asked)
        elif found is None:
            return Attempt("PATCH", bare, Condition(present=False))
        version, values = found
        return Attempt("PATCH", bare | self.of.changed(self, values), Condition(version))


class Partial:
    """How parts of one entity are read.

    Args:
        entity: with a table.
    """

    def __init__(self, entity: type[Entity]) -> None:
        self.entity = entity
        shape = _Shape(entity)
        self.needs_row = shape.needs_row
        """Whether every part does."""
        self._typed = {
            column.name
            for column in entity.declaration.columns
            if column.type == "json" and not _takes_any_object(shape.fields[column.name]["schema"])
        }
        self._spelled = {name: _input_key(name, field) for name, field in shape.fields.items()}
        anything: dict[str, _Schema] = {name: {"type": "any"} for name in shape.fields}
        self._names = shape.optional(anything)
        self._alone = shape.optional(
            {name: _without_default(field["schema"]) for name, field in shape.fields.items()}
        )
        self._whole = shape.keeping(_keep)

    def read(self, raw: bytes, key: str) -> Part:
        """A body as a part of the row with this key.

        Raises:
            InputError: what is wrong where, by JSON pointer.
        """
        body = pydantic_core.from_json(raw)
        if type(body) is not dict:
            raise InputError([Problem("", "type", "must be a JSON object")])
        given = _judged(self._names, raw)
        if self.needs_row or any(type(given.get(name)) is dict for name in self._typed):
            data = None
        else:
            given = _judged(self._alone, raw)
            data = self._spell(given)
        if given.get("id", "") not in {"", key}:
            raise InputError([Problem("/id", "key", f"must be {key!r}, as in the path, or absent")])
        return Part(self, key, body, given, data)

    def changed(self, part: Part, values: Sequence[Stored]) -> dict[str, Json]:
        """What a part changes of a row, judged with all of it.

        Args:
            part: of this entity.
            values: of the row, in the order of the declaration's columns.

        Raises:
            InputError: the whole does not fit the entity.
        """
        columns = self.entity.declaration.columns
        shown = {c.name: c.shown(v) for c, v in zip(columns, values, strict=True)}
        whole = {**part.body, self._spelled["id"]: part.key}
        for column in columns:
            whole[self._spelled[column.name]] = _laid_onto(column, shown[column.name], part.given)
        loads = dict(self.entity._loads)
        kept = {
            column.name: _Kept(shown[column.name], loads[column.name], value)
            for column, value in zip(columns, values, strict=True)
            if column.name not in part.given
        }
        token = _kept.set(kept)
        try:
            entity: Entity = _judged(self._whole, pydantic_core.to_json(whole), by_name=True)
        finally:
            _kept.reset(token)
        row = entity.row()
        changes: dict[str, Json] = {}
        for column, value in zip(columns, values, strict=True):
            new = row[column.name]
            if column.name in part.given or column.stored(new) != value:
                changes[column.name] = difference(shown[column.name], new)
        return changes

    def _spell(self, given: dict[str, Any]) -> dict[str, Json]:
        """Judged values in canonical JSON form."""
        bare = _made(self.entity, (given, None, set(given)))
        return bare.row(only=given)


@cache
def partial_of(entity: type[Entity]) -> Partial:
    """How parts of an entity are read; made once for each class."""
    return Partial(entity)


def fields_as_json(entity: type[Entity], fields: Mapping[str, Any]) -> bytes:
    """Fields as Python has them, as the JSON that a client would have sent.

    Raises:
        InputError: a value that JSON cannot hold.
    """
    mode: Any = entity.model_config.get("val_json_bytes", "utf8")
    try:
        return pydantic_core.to_json(
            dict(fields), bytes_mode=mode, inf_nan_mode="constants", round_trip=True
        )
    except ValueError as error:
        raise InputError([Problem("", "datatype", f"cannot be written as JSON: {error}")]) from None


def bare(entity: type[EntityT], key: str) -> EntityT:
    """A row of which nothing but its id is known: its other fields are not there."""
    made = entity.__new__(entity)
    _fill(made, {"id": key}, None, {"id"})
    return made


class _Shape:
    """What Pydantic made of an entity's class, taken apart at its fields."""

    def __init__(self, entity: type[Entity]) -> None:
        top: Any = entity.__pydantic_core_schema__
        self._definitions: list[_Schema] = []
        if top["type"] == "definitions":
            self._definitions, top = top["definitions"], top["schema"]
        self._by_ref = {schema["ref"]: schema for schema in self._definitions}
        self._top: _Schema = self._by_ref[top["schema_ref"]] if "schema_ref" in top else top
        *around, inner = self._layers()
        self.fields: dict[str, _Schema] = inner["fields"]
        model = next(layer for layer in around if layer["type"] == "model")
        self._config: _Schema = model.get("config", {})
        self._looking = {
            name
            for name, field in self.fields.items()
            if self._looks_around(field["schema"], set())
        }
        self._entity, self._makes_itself = entity, model.get("custom_init", False)
        self.needs_row = (
            len(around) > 1
            or self._makes_itself
            or model.get("post_init") is not None
            or bool(self._looking)
        )

    def _layers(self) -> Iterator[_Schema]:
        """The model's schema with the validators around and in it, down to its fields."""
        layer = self._top
        while layer["type"] != "model-fields":
            yield layer
            layer = layer["schema"]
        yield layer

    def _looks_around(self, schema: Any, followed: set[str]) -> bool:
        """Whether a validator in a field's schema is told of the fields before it."""
        if isinstance(schema, list | tuple):
            return any(self._looks_around(item, followed) for item in schema)
        if not isinstance(schema, dict):
            return False
        kind = schema.get("type")
        if kind == "with-info":
            return True
        if kind in {"model-fields", "dataclass-args", "typed-dict"}:
            return False  # they are told of fields of their own
        if kind == "definition-ref":
            ref = schema["schema_ref"]
            if ref in followed:
                return False
            followed.add(ref)
            return self._looks_around(self._by_ref.get(ref), followed)
        return any(
            self._looks_around(value, followed)
            for name, value in schema.items()
            if name not in {"metadata", "serialization"}
        )

    def optional(self, schemas: Mapping[str, _Schema]) -> SchemaValidator:
        """Reads what is given of these fields, under the entity's aliases and rules for others."""
        fields: _Schema = {}
        for name, field in self.fields.items():
            fields[name] = {"type": "typed-dict-field", "required": False, "schema": schemas[name]}
            if "validation_alias" in field:
                fields[name]["validation_alias"] = field["validation_alias"]
        return self._validator({"type": "typed-dict", "fields": fields, "config": self._config})

    def keeping(self, keep: Callable[[str, Any, Callable[[Any], Any]], Any]) -> SchemaValidator:
        """Reads the whole entity, with a say over each field.

        Args:
            keep: given a field's name, its input and what judges that, gives the field's value.
        """
        if self._makes_itself:
            return cast("SchemaValidator", self._entity.__pydantic_validator__)
        fields: _Schema = {}
        for name, field in self.fields.items():
            fields[name] = field
            if name != "id" and name not in self._looking:
                function = {"type": "no-info", "function": partial(keep, name)}
                judged = _without_default(field["schema"])
                schema = {"type": "function-wrap", "function": function, "schema": judged}
                fields[name] = {**field, "schema": schema}
        schema = {}
        for layer in reversed([*self._layers()]):
            if layer["type"] == "model-fields":
                schema = {**layer, "fields": fields}
            elif layer["type"] == "model":
                # Pydantic would put the class's own validator in the place of a model's schema.
                function = {"type": "no-info", "function": partial(_made, self._entity)}
                schema = {"type": "function-after", "function": function, "schema": schema}
            else:
                schema = {**{key: layer[key] for key in layer if key != "ref"}, "schema": schema}
        return self._validator(schema)

    def _validator(self, schema: Any) -> SchemaValidator:
        if self._definitions:
            schema = {"type": "definitions", "schema": schema, "definitions": self._definitions}
        return SchemaValidator(schema, cast("Any", self._config))


def _judged(validator: SchemaValidator, raw: bytes, *, by_name: bool | None = None) -> Any:
    try:
        return validator.validate_json(raw, by_alias=by_name, by_name=by_name)
    except pydantic.ValidationError as error:
        raise invalid(error) from None


def _made(entity: type[Entity], judged: tuple[dict[str, Any], Any, set[str]]) -> Entity:
    """The entity of judged fields, as Pydantic makes it of them."""
    made = entity.__new__(entity)
    _fill(made, *judged)
    if entity.__pydantic_post_init__ is not None:
        made.model_post_init(None)
    return made


def _fill(made: Entity, values: dict[str, Any], extra: Any, given: set[str]) -> None:
    put = object.__setattr__
    put(made, "__dict__", values)
    put(made, "__pydantic_fields_set__", given)
    put(made, "__pydantic_extra__", extra)
    put(made, "__pydantic_private__", None)


def _keep(name: str, given: Any, judge: Callable[[Any], Any]) -> Any:
    """A field's value: the row's own, unless the body or a validator of the model changed it."""
    kept = _kept.get().get(name)
    if kept is None or given != kept.shown:
        return judge(given)
    if kept.load is None or kept.stored is None:
        return kept.stored
    return kept.load(kept.stored)


def _laid_onto(column: Column, shown: Json, given: Mapping[str, Json]) -> Json:
    if column.name not in given:
        return shown
    value = given[column.name]
    return merge(shown, value) if column.type == "json" and type(value) is dict else value


def _without_default(schema: _Schema) -> _Schema:
    return schema["schema"] if schema["type"] == "default" else schema


def _takes_any_object(schema: _Schema) -> bool:
    """Whether a document may hold any object, so that no merge of two can make a wrong one."""
    while schema["type"] in {"default", "nullable"}:
        schema = schema["schema"]
    return (
        schema["type"] == "dict"
        and schema.keys() <= _OBJECT_KEYS
        and schema.get("keys_schema", {"type": "str"}).keys() <= {"type"}
        and schema.get("keys_schema", {"type": "str"})["type"] in {"str", "any"}
        and schema.get("values_schema", {"type": "any"})["type"] == "any"
    )


def _input_key(name: str, field: _Schema) -> str:
    """The key under which a whole entity's input has the field: as clients know it."""
    alias = field.get("validation_alias")
    if isinstance(alias, str):
        return alias
    paths = alias or []
    paths = paths if paths and isinstance(paths[0], list) else [paths]
    return next((path[0] for path in paths if len(path) == 1), name)
