"""The page of limits says what the code holds to: every number is compared with its constant."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from clusterlite.http.service import Limits

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "limits.md"
UNITS = {"": 1, "s": 1, "ms": 1, "bytes": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
ROW = re.compile(r"^\| .+ \| (\d+) ?(\w*) \| .*\| `([\w/]+)\.py` `([\w.]+)` \|$", re.MULTILINE)
ROWS: list[tuple[str, str, str, str]] = ROW.findall(PAGE.read_text())


def constant(module: str, name: str) -> Any:
    found = importlib.import_module("clusterlite." + module.replace("/", "."))
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize(("number", "unit", "module", "name"), ROWS)
def test_every_number_of_the_page_is_that_of_the_code(
    number: str, unit: str, module: str, name: str
) -> None:
    assert constant(module, name) == int(number) * UNITS[unit]


def test_no_row_of_the_page_escapes_the_comparison() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert len(lines) - 4 == len(ROWS), "four of them are headings"


def test_every_limit_of_a_worker_stands_on_the_page() -> None:
    assert {f"Limits.{name}" for name in Limits.__dataclass_fields__} <= {name for *_, name in ROWS}
