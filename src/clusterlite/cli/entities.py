"""Entities by name: `module`, or `module:name`. Most mistakes are made here, so it says much."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, Final, TypeGuard

from pydantic import BaseModel

from clusterlite.core.entity import Entity
from clusterlite.core.operations import TableOperations
from clusterlite.core.registry import EntityRegistry
from clusterlite.errors import ConfigError

_NOT_THE_USERS: Final = (
    Path(__file__).resolve().parents[1],
    *(Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
)
"""Where code stands that a user's mistake is never in."""

_SHOWN_MAX: Final = 10


def load_entities(names: Iterable[str]) -> EntityRegistry:
    """Import modules and register the entities in them.

    Args:
        names: `module` for all that it defines or imports by name, `module:name` for one.

    Raises:
        ConfigError: a module does not import, or has none; says where, and what would be right.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    registry = EntityRegistry()
    for name in names:
        module_name, _, attribute = name.partition(":")
        module = _import(module_name)
        for entity in [_named(module, attribute)] if attribute else _all(module):
            registry.register(entity)
    return registry


def _import(name: str) -> ModuleType:
    if name.endswith(".py") or "/" in name:
        raise ConfigError(_not_a_file(name))
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent and f"{name}.".startswith(f"{absent}."):
            found = _not_there(absent)
        else:
            found = f"{type(error).__name__}: {error}{_place(error)}"
            if absent:
                found += "; install it in the environment that runs clusterlite"
        raise ConfigError(f"the entities' module {name!r} does not import: {found}") from error


def _not_a_file(name: str) -> str:
    path = Path(name)
    said = f"--entities takes a module's name and no file's: for {name} "
    if path.is_absolute() or ".." in path.parts:
        return f"{said}stand in the folder {path.parent} and say --entities {path.stem}"
    return f"{said}say --entities {'.'.join(path.with_suffix('').parts)}"


def _not_there(name: str) -> str:
    """No module of this name is there: say which are."""
    here = Path.cwd()
    modules = sorted(
        path.stem
        for path in here.iterdir()
        if path.stem.isidentifier()
        and (path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py"))))
    )
    said = f"no module {name} is in {here}, and none is installed"
    close = get_close_matches(name, modules, 3, 0.5)
    if close:
        return f"{said}; did you mean {' or '.join(close)}?"
    if modules:
        return f"{said}; there are {', '.join(modules[:_SHOWN_MAX])}"
    return f"{said}; start it in the folder of {name}.py"


def _place(error: BaseException) -> str:
    """Where in the user's own files an error came up; a syntax error says so itself."""
    if isinstance(error, SyntaxError):
        return ""
    for frame in reversed(extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_file() and not any(map(path.is_relative_to, _NOT_THE_USERS)):
            shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
            return f" ({shown}, line {frame.lineno})"
    return ""


def _named(module: ModuleType, attribute: str) -> type[Entity] | TableOperations:
    found = getattr(module, attribute, None)
    if found is None:
        names = [name for name, value in vars(module).items() if _is_entity(value)]
        close = get_close_matches(attribute, names, 1, 0.5)
        known = f"did you mean {close[0]}?" if close else f"it has {', '.join(names) or 'none'}"
        raise ConfigError(f"the module {module.__name__} has no entity {attribute}; {known}")
    if not _is_entity(found):
        raise ConfigError(f"{module.__name__}:{attribute} is no entity{_lacks(attribute, found)}")
    return found


def _all(module: ModuleType) -> list[type[Entity] | TableOperations]:
    found = [value for value in vars(module).values() if _is_entity(value)]
    stood_for = {value.entity for value in found if hasattr(value, "entity")}
    found = [value for value in found if value not in stood_for]
    if not found:
        own = {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == module.__name__
        }
        lacks = next(filter(None, (_lacks(name, value) for name, value in own.items())), None)
        cure = lacks or ': declare one, as class User(Entity, table="users")'
        raise ConfigError(f"the module {module.__name__} defines no entity{cure}")
    return found


def _lacks(name: str, value: Any) -> str:
    """What a class lacks to be an entity, as the rest of a sentence; empty for anything else."""
    if isinstance(value, type) and issubclass(value, BaseModel):
        declared = f'class {name}(Entity, table="{name.lower()}s")'
        if issubclass(value, Entity):
            return f": its class {name} has no table; declare it as {declared}"
        return f": its class {name} is a plain Pydantic model; declare it as {declared}"
    return ""


def _is_entity(value: Any) -> TypeGuard[type[Entity] | TableOperations]:
    if isinstance(value, TableOperations):
        return True
    return isinstance(value, type) and issubclass(value, Entity) and hasattr(value, "declaration")
