"""Entities by name: `module`, or `module:name`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from clusterlite.core.entity import Entity
from clusterlite.core.operations import TableOperations
from clusterlite.core.registry import EntityRegistry
from clusterlite.errors import ConfigError


def load_entities(names: Iterable[str]) -> EntityRegistry:
    """Import modules and register the entities in them.

    Args:
        names: `module` for all that it defines or imports by name, `module:name` for one.

    Raises:
        ConfigError: a module does not import, or has none; says where.
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
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"the entities' module {name!r} does not import: {type(error).__name__}: {error}"
        ) from error


def _named(module: ModuleType, attribute: str) -> type[Entity] | TableOperations:
    found = getattr(module, attribute, None)
    if found is None or not _is_entity(found):
        raise ConfigError(f"{module.__name__}:{attribute} is no entity with table=…")
    return found


def _all(module: ModuleType) -> list[type[Entity] | TableOperations]:
    found = [value for value in vars(module).values() if _is_entity(value)]
    stood_for = {value.entity for value in found if hasattr(value, "entity")}
    found = [value for value in found if value not in stood_for]
    if not found:
        raise ConfigError(f"the module {module.__name__} defines no entity with table=…")
    return found


def _is_entity(value: Any) -> TypeGuard[type[Entity] | TableOperations]:
    if isinstance(value, TableOperations):
        return True
    return isinstance(value, type) and issubclass(value, Entity) and hasattr(value, "declaration")
