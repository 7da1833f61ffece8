"""Tests as documents name them: `path::name`, with `[case]` behind it where it has cases."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_ID: Final = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)(?:\[([^`]+)\])?`")


def named(text: str) -> list[str]:
    """The ids that a text names."""
    return [found.group(0).strip("`") for found in _ID.finditer(text)]


def missing(text: str) -> list[str]:
    """Those of them that no test of the tree has."""
    return [
        found.group(0)
        for found in _ID.finditer(text)
        if not _exists(found.group(1), found.group(2), found.group(3))
    ]


def _exists(path: str, name: str, case: str | None) -> bool:
    file = ROOT / path
    if not file.is_file():
        return False
    names, literals = _contents(file)
    return name in names and (case is None or case in literals)


@cache
def _contents(file: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The functions of a test's file, and the texts in it and in what it imports of the tests."""
    tree = ast.parse(file.read_text())
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    literals = _literals(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests."):
            beside = ROOT / f"{(node.module or '').replace('.', '/')}.py"
            literals |= _literals(ast.parse(beside.read_text()))
    return frozenset(names), frozenset(literals)


def _literals(tree: ast.AST) -> set[str]:
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}
