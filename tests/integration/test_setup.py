"""`tools/setup.sh`: what is installed already asks nothing of anybody, what is missing is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import setup

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What set-up needs of a clone, in a folder with spaces, an apostrophe and other letters."""
    clone = tmp_path / "ein Klon's größter"
    clone.mkdir()
    for name in ("tools", "requirements"):
        shutil.copytree(
            ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__", "kafka")
        )
    shutil.copy(ROOT / "pyproject.toml", clone)
    return clone


def set_up(clone: Path, path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Set it up, with an index that cannot be reached."""
    return subprocess.run(
        ["/bin/sh", "tools/setup.sh", "run"],
        cwd=clone,
        env={"PATH": path, "PIP_INDEX_URL": "http://127.0.0.1:9/", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def programs(folder: Path, **scripts: str) -> str:
    """A path with these programs and the few that the script itself needs."""
    folder.mkdir()
    (folder / "dirname").symlink_to(shutil.which("dirname") or "")
    for name, script in scripts.items():
        program = folder / name.replace("_", ".")
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    return str(folder)


def test_a_second_start_asks_nothing_of_the_network(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's Python fails when it is called, as pip would call it."""
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho called >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(setup, "ROOT", clone)
    monkeypatch.setattr(setup, "__file__", str(clone / "tools" / "setup.py"))
    stamp = {"home": str(clone), "python": setup.version(sys.version_info)}
    stamp["run"] = setup.digest("run")
    (clone / ".venv" / "clusterlite-setup.json").write_text(json.dumps(stamp))
    path = programs(tmp_path / "bin", python3=f'exec "{sys.executable}" "$@"')
    again = set_up(clone, path)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    with (clone / "requirements" / "run.txt").open("a") as requirements:
        requirements.write("# another\n")
    changed = set_up(clone, path)
    assert changed.returncode == 1
    assert "setup: installing requirements (run.txt)" in changed.stdout
    assert "called" in changed.stderr


def test_a_python_that_cannot_make_environments_is_named_with_the_package(
    clone: Path, tmp_path: Path
) -> None:
    """As Debian's without python3-venv: `ensurepip` is not there."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "ensurepip.py").write_text("raise ImportError\n")
    path = programs(tmp_path / "bin", python3=f'exec "{sys.executable}" "$@"')
    done = set_up(clone, path, PYTHONPATH=str(tmp_path / "without"))
    assert done.returncode == 1
    package = f"python{setup.version(sys.version_info)}-venv"
    (line,) = done.stderr.splitlines()
    assert line.startswith("setup: ")
    assert line.endswith(
        " cannot make environments, since it lacks ensurepip: apt-get install "
        f"{package} (as root), or name another Python by PYTHON="
    )


def test_a_machine_without_a_recent_python_is_told_what_it_has_and_what_to_do(
    clone: Path, tmp_path: Path
) -> None:
    old = 'case "$*" in -V) echo Python 3.9.2;; "-c ") ;; *) exit 1;; esac'
    done = set_up(clone, programs(tmp_path / "bin", python3=old))
    assert done.returncode == 1
    assert done.stderr == (
        "setup: ClusterLite needs Python 3.11 or newer, and found none of: python3.11 python3.12 "
        "python3.13 python3.14 python3; python3 here is Python 3.9.2.\n"
        "Debian and Ubuntu: apt-get install python3 python3-venv. macOS: brew install python.\n"
        "One that is elsewhere can be named: make run PYTHON=/path/to/python3.12\n"
    )


def test_a_machine_without_any_python_is_told_too(clone: Path, tmp_path: Path) -> None:
    done = set_up(clone, programs(tmp_path / "bin"))
    assert done.returncode == 1
    assert "python3.14 python3.\n" in done.stderr


def test_a_python_that_was_named_and_is_none_is_named(clone: Path, tmp_path: Path) -> None:
    done = set_up(clone, programs(tmp_path / "bin"), PYTHON="python2")
    assert done.returncode == 1
    assert done.stderr == "setup: PYTHON=python2 is no Python 3.11 or newer that runs here.\n"


def test_ctrl_c_during_set_up_makes_no_traceback(clone: Path, tmp_path: Path) -> None:
    python = tmp_path / "interrupting.py"
    python.write_text(
        "import runpy, sys\n"
        f"sys.argv = [{str(clone / 'tools' / 'setup.py')!r}, 'run']\n"
        "import fcntl\n"
        "def interrupted(*_): raise KeyboardInterrupt\n"
        "fcntl.flock = interrupted\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, str(python)],
        cwd=clone, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "\nsetup: stopped; the next start begins again where this one left off.\n"
    )
