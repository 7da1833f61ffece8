"""The closing table of a test run, and CI's refusal of skips, tried on a run of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PASSING = "def test_passes(): pass\n"
FAILING = "def test_fails(): assert False\n"
SKIPPING = "import pytest\n@pytest.mark.skip(reason={reason!r})\ndef test_skips(): pass\n"
MODULE = "import pytest\npytest.skip({reason!r}, allow_module_level=True)\n"
BROKEN_FIXTURE = """
import pytest

@pytest.fixture
def broken():
    yield
    assert False

def test_uses(broken): pass
"""


def run(folder: Path, files: dict[str, str], *, ci: str = "") -> tuple[int, list[str]]:
    """Run pytest with the plugin alone over files under `tests/`; its exit code and lines."""
    for name, text in files.items():
        file = folder / "tests" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    options = ["-p", "tests.plugins.counts", "-c", os.devnull, "--import-mode=importlib"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--rootdir={folder}", folder / "tests"],
        cwd=ROOT,
        env=os.environ | {"CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout.splitlines()


def test_kinds_are_counted_by_folder_and_pytest_has_the_last_word(tmp_path: Path) -> None:
    files = {"unit/test_a.py": PASSING, "browser/test_b.py": PASSING + FAILING}
    code, lines = run(tmp_path, files)
    assert code == 1
    assert "unit         1 passed" in lines
    assert "browser      1 passed, 1 failed" in lines
    assert "1 failed, 2 passed" in lines[-1]


@pytest.mark.parametrize("text", [SKIPPING, MODULE], ids=["test", "module"])
def test_what_is_left_out_is_said_with_its_reason(tmp_path: Path, text: str) -> None:
    code, lines = run(
        tmp_path, {"a/test_a.py": text.format(reason="no java"), "a/test_b.py": PASSING}
    )
    assert code == 0
    assert "left out: 1 a: no java" in lines


@pytest.mark.parametrize("text", [SKIPPING, MODULE], ids=["test", "module"])
def test_ci_leaves_nothing_out(tmp_path: Path, text: str) -> None:
    code, lines = run(tmp_path, {"a/test_a.py": text.format(reason="no java")}, ci="true")
    assert code != 0
    assert any("with CI=true nothing may be: no java" in line for line in lines)


def test_ci_lets_the_impossible_go(tmp_path: Path) -> None:
    text = SKIPPING.format(reason="Kubernetes: no cluster here")
    code, lines = run(tmp_path, {"a/test_a.py": text + PASSING}, ci="true")
    assert code == 0
    assert "left out: 1 a: Kubernetes: no cluster here" in lines


def test_a_failing_teardown_is_counted(tmp_path: Path) -> None:
    code, lines = run(tmp_path, {"a/test_a.py": BROKEN_FIXTURE})
    assert code == 1
    assert "a            1 passed, 1 failed" in lines
