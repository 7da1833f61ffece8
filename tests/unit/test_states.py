"""Every reason to halt and every state has a name, a cure and a row in the reference, and the
reference names no other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.halting import CASES
from tests.named import missing, named

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "clusterlite").rglob("*.py"))
PAGE = (ROOT / "docs" / "reference" / "halts.md").read_text()

WITH_CURE = {"Halt": 2, "LogUnavailable": 1, "Strained": 1}
"""Errors that carry a cure, with its place among the arguments."""


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the page's table that begins with this heading, by name."""
    rows = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    return {row[0].strip("`"): row[1:] for row in cells}


def raised(kind: str) -> Iterator[tuple[str, list[ast.expr]]]:
    """The arguments of every place in the source that makes an error of this kind."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == kind:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.args


def texts(expression: ast.expr) -> list[str]:
    """The literals that an argument may be: one, or the two of a choice."""
    if isinstance(expression, ast.IfExp):
        return texts(expression.body) + texts(expression.orelse)
    return [expression.value] if isinstance(expression, ast.Constant) else []


def reasons() -> set[str]:
    return {text for _, args in raised("Halt") if args for text in texts(args[0])}


def states() -> set[str]:
    """What the source calls the state of a node."""
    texts = [path.read_text() for path in SOURCES]
    spelled = (
        r'phase = "([a-z_]+)"',  # of a node that comes up
        r'"state": "([a-z_]+)"',  # what is told where the node process cannot
        r'OVER: Final = frozenset\(\{"([a-z_]+)", "[a-z_]+"\}\)',
        r'OVER: Final = frozenset\(\{"[a-z_]+", "([a-z_]+)"\}\)',
        r'state = "([a-z_]+)" if isinstance\(error, Strained\)',
        r'if isinstance\(error, Strained\) else "([a-z_]+)"',
        r'return "([a-z_]+)" if lag',
        r'"reason": "(checking)"',
        r'self\._service\.serving else "([a-z_]+)"',
    )
    found = [{name for text in texts for name in re.findall(form, text)} for form in spelled]
    assert all(found), "the source spells a state in another way"
    return set[str]().union(*found)


def test_the_reference_lists_every_reason_to_halt_and_no_other() -> None:
    assert len(reasons()) >= 13
    assert set(table("reason")) == reasons()


def test_the_reference_lists_every_state_and_no_other() -> None:
    assert len(states()) >= 13
    assert set(table("state")) == states()


@pytest.mark.parametrize("heading", ["reason", "state"])
def test_each_row_says_what_happened_and_what_to_do(heading: str) -> None:
    for name, cells in table(heading).items():
        assert all(len(cell) >= 4 for cell in cells), name
        assert cells[-1].endswith("."), name


def cures() -> dict[str, str]:
    """What stands under each reason's heading."""
    sections = re.split(r"^### (\w+)\n", PAGE.partition("\n## States")[0], flags=re.MULTILINE)
    return dict(zip(sections[1::2], sections[2::2], strict=True))


def test_each_reason_has_its_cure_as_a_command_and_the_tests_that_try_it() -> None:
    tried = table("halt")
    assert set(tried) == set(cures()) == reasons()
    for reason, cure in cures().items():
        assert re.search(r"^    clusterlite |\(#log_rewound\)", cure, re.MULTILINE), reason
        assert any("test_each_halt.py" in test for test in named(tried[reason][0])), reason


def test_each_halt_that_is_tried_is_named_by_the_reason_that_it_gives() -> None:
    found = {case: reason for reason, cells in table("halt").items() for case in cases(cells[0])}
    assert found == {case: reason for case, (reason, _) in CASES.items()}


def cases(cell: str) -> list[str]:
    return re.findall(r"test_each_halt\.py::\w+\[([^`]+)\]", cell)


def test_the_tests_that_the_page_names_are_there() -> None:
    assert len(named(PAGE)) > len(reasons())
    assert missing(PAGE) == []
    assert missing("`tests/unit/test_states.py::test_gone`, `tests/gone.py::test_x`")
    assert missing(f"`{named(PAGE)[0].partition('[')[0]}[no such case]`")


@pytest.mark.parametrize("kind", WITH_CURE)
def test_no_error_that_stops_writes_is_made_with_an_empty_cure(kind: str) -> None:
    places = list(raised(kind))
    assert len(places) >= 3
    for place, args in places:
        cure = args[WITH_CURE[kind] :][:1]
        if kind != "LogUnavailable":
            assert cure or any(isinstance(arg, ast.Starred) for arg in args), place
        for text in (text for expression in cure for text in texts(expression)):
            assert len(text) > 10, place
