"""What must hold for the clone itself: its pins, its addresses, its versions, its words."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import clusterlite
from tests.plugins.counts import IMPOSSIBLE

ROOT = Path(__file__).resolve().parents[2]
PINS = ("run.txt", "dev.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Written in pieces, so that this file does not find itself.
REGISTRIES = ("py" + "pi.org", "python" + "hosted.org", "npm" + "js.", "maven" + ".org")
REGISTRIES += (
    "maven" + ".apache.org",
    "repo1" + ".maven",
    "proxy." + "golang.org",
    "crates" + ".io",
)
MAVEN_NAMESPACE = "http://maven" + ".apache.org/POM/4.0.0"
"""The name of the POM format: it looks like an address, and nothing fetches it."""


def tracked() -> list[Path]:
    """The files that a clone holds."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("no git, or no git clone: the tracked files are not known")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = listed.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def pins(name: str) -> dict[str, str]:
    """The pinned packages of a requirements file, each with the whole text of its entry."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return {re.split(r"[\s=<>~!;\[]", line)[0]: line for line in lines}


@pytest.mark.parametrize("name", PINS)
def test_every_requirement_is_one_version_with_hashes(name: str) -> None:
    entries = pins(name)
    assert len(entries) > 20
    for entry in entries.values():
        assert re.match(r"[a-z0-9-]+==[\w.]+ ", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("name", PINS)
def test_the_pins_name_no_index_and_no_folder(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    assert not re.search(r"--(index-url|extra-index-url|find-links|trusted-host)", text)
    assert not re.search(r"(?m)^[^-#\s]*/", text)


def test_the_pins_serve_other_machines_than_this_one() -> None:
    """One wheel has one hash: a package of compiled code shows several machines by many."""
    entries = pins("run.txt")
    for name in ("apsw", "confluent-kafka", "httptools", "msgspec", "pydantic-core", "uvloop"):
        assert entries[name].count("--hash=") > 20, name


def test_both_files_choose_the_same_versions() -> None:
    run, dev = pins("run.txt"), pins("dev.txt")
    for name in run.keys() & dev.keys():
        assert run[name].split()[0] == dev[name].split()[0]


def test_every_dependency_is_pinned() -> None:
    declared = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
    names = {re.split(r"[\s=<>~!;\[]", line)[0] for line in declared}
    assert names <= pins("run.txt").keys()


def test_no_tracked_file_names_a_registry() -> None:
    found = []
    for file in tracked():
        text = file.read_bytes().decode("utf-8", errors="replace").replace(MAVEN_NAMESPACE, "")
        found += [f"{file.relative_to(ROOT)}: {host}" for host in REGISTRIES if host in text]
    assert found == []


def test_no_tracked_file_names_this_clones_folder() -> None:
    here = str(ROOT)
    found = [file for file in tracked() if here in file.read_bytes().decode(errors="replace")]
    assert found == []


def test_one_version_everywhere() -> None:
    assert PROJECT["project"]["version"] == clusterlite.__version__
    assert version("clusterlite") == clusterlite.__version__


def test_make_help_lists_every_command_that_the_makefile_declares() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"(?m)^\.PHONY: (.*)$", makefile)
    assert phony is not None
    assert re.findall(r"(?m)^([a-z-]+):.*##", makefile) == phony[1].split()


def test_contributing_lists_what_ci_may_leave_out() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("cannot be tested here")[2]
    for words in IMPOSSIBLE:
        assert re.search(rf"(?mi)^- \*\*{words}\*\*", section), words
