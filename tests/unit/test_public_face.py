"""The public face: what `clusterlite` exports, and that importing it costs nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import clusterlite

EXPORTED = [
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
HEAVY = {"apsw", "confluent_kafka", "pydantic", "starlette", "typer", "uvicorn"}
SERVERS = {"confluent_kafka", "starlette", "typer", "uvicorn"}


def loaded(code: str) -> set[str]:
    """The top-level modules that a fresh process has loaded after `code`."""
    program = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_exported_members_are_these() -> None:
    assert clusterlite.__all__ == EXPORTED
    assert sorted(clusterlite.__all__) == EXPORTED


@pytest.mark.parametrize("name", [name for name in EXPORTED if name != "__version__"])
def test_each_is_importable_under_its_own_name_and_documented(name: str) -> None:
    member = getattr(importlib.import_module("clusterlite"), name)
    assert member.__name__ == name
    assert (member.__doc__ or "").partition("\n")[0].endswith(".")


def test_the_version_is_a_text() -> None:
    assert clusterlite.__version__.count(".") == 2


def test_a_name_that_is_not_exported_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Applier'"):
        clusterlite.Applier  # noqa: B018


def test_importing_the_package_loads_no_library() -> None:
    assert not loaded("import clusterlite") & HEAVY


def test_an_embedded_node_loads_no_server_and_no_kafka() -> None:
    assert not loaded("from clusterlite import Entity, Field, Node") & SERVERS


def test_star_import_gives_what_is_exported() -> None:
    namespace: dict[str, object] = {}
    exec("from clusterlite import *", namespace)
    assert set(EXPORTED) <= namespace.keys()
