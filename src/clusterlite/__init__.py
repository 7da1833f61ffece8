"""ClusterLite: distributed SQLite. Every node a whole database, every write an event in one log.

The public face. Everything else is reached through it or is not meant to be reached.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clusterlite.core.consistency import Bounded
    from clusterlite.core.entity import Entity, Field
    from clusterlite.core.operations import DeclaredOperations, TableOperations
    from clusterlite.core.registry import EntityRegistry
    from clusterlite.core.transaction import Assert, Changed, Create, Delete, Patch, Put, Update
    from clusterlite.errors import (
        Behind,
        ClusterLiteError,
        ConfigError,
        ConstraintFailed,
        Exists,
        Halt,
        InputError,
        KeyReused,
        LogUnavailable,
        NotFound,
        NotServing,
        OutcomeUnknown,
        Overloaded,
        PreconditionFailed,
        RecordTooLarge,
        Rejected,
    )
    from clusterlite.node.node import Node

__version__ = "0.1.0"

_HOMES = {
    "Bounded": "core.consistency",
    "Entity": "core.entity",
    "Field": "core.entity",
    "DeclaredOperations": "core.operations",
    "TableOperations": "core.operations",
    "EntityRegistry": "core.registry",
    "Assert": "core.transaction",
    "Changed": "core.transaction",
    "Create": "core.transaction",
    "Delete": "core.transaction",
    "Patch": "core.transaction",
    "Put": "core.transaction",
    "Update": "core.transaction",
    "Behind": "errors",
    "ClusterLiteError": "errors",
    "ConfigError": "errors",
    "ConstraintFailed": "errors",
    "Exists": "errors",
    "Halt": "errors",
    "InputError": "errors",
    "KeyReused": "errors",
    "LogUnavailable": "errors",
    "NotFound": "errors",
    "NotServing": "errors",
    "OutcomeUnknown": "errors",
    "Overloaded": "errors",
    "PreconditionFailed": "errors",
    "RecordTooLarge": "errors",
    "Rejected": "errors",
    "Node": "node.node",
}

__all__ = [
    "Assert",
    "Behind",
    "Bounded",
    "Changed",
    "ClusterLiteError",
    "ConfigError",
    "ConstraintFailed",
    "Create",
    "DeclaredOperations",
    "Delete",
    "Entity",
    "EntityRegistry",
    "Exists",
    "Field",
    "Halt",
    "InputError",
    "KeyReused",
    "LogUnavailable",
    "Node",
    "NotFound",
    "NotServing",
    "OutcomeUnknown",
    "Overloaded",
    "Patch",
    "PreconditionFailed",
    "Put",
    "RecordTooLarge",
    "Rejected",
    "TableOperations",
    "Update",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that no process loads what it does not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
