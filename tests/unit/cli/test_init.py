"""`clusterlite init`: a project whose test runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from clusterlite.cli.entities import load_entities
from clusterlite.testing.cluster.nginx import find_nginx
from tests.cli import cli
from tests.conftest import need_nginx

ROOT = Path(__file__).resolve().parents[3]
FILES = {
    ".gitignore",
    "Dockerfile",
    "README.md",
    "compose.yaml",
    "nginx.conf",
    "requirements.txt",
    "tasks.py",
    "test_tasks.py",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "a project"
    done = cli("init", folder)
    assert (done.code, done.err) == (0, "")
    return folder


def test_its_own_test_passes(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_it_says_what_was_made_and_what_to_run_next(tmp_path: Path) -> None:
    done = cli("init", tmp_path / "my shop")
    made, next_line, *commands = done.out.splitlines()
    assert {name for name in FILES if name in made} == FILES
    assert next_line == "Next:"
    assert [command.strip() for command in commands[:1]] == [f"cd '{tmp_path}/my shop'"]
    assert [command.split()[-1] for command in commands[1:]] == [
        "requirements.txt",
        "pytest",
        "tasks",
    ]


def test_what_to_run_next_works_also_where_the_command_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    last = cli("init").out.splitlines()[-1].strip()
    assert last == f"{sys.executable} -m clusterlite serve --entities tasks"
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    last = cli("init").out.splitlines()[-1].strip()
    assert last == "clusterlite serve --entities tasks"


def test_it_holds_nothing_else(project: Path) -> None:
    assert {path.name for path in project.iterdir()} - {"__pycache__"} == FILES


@pytest.mark.parametrize("taken", ["tasks.py", ".gitignore"])
def test_it_overwrites_nothing_and_makes_nothing_then(taken: str, tmp_path: Path) -> None:
    (tmp_path / taken).write_text("mine")
    done = cli("init", tmp_path)
    assert done.code == 2
    assert f"{tmp_path} has {taken} already, and nothing is overwritten: name another" in done.err
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "mine"


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").symlink_to(tmp_path / "elsewhere")
    assert cli("init", tmp_path).code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.py"]


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert cli("init", tmp_path).code == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"mine.txt"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = cli("init", tmp_path / "file" / "project")
    assert done.code == 2
    assert f"{tmp_path}/file/project cannot be made: Not a directory" in done.err


def test_its_entity_can_be_served(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", [str(project), *sys.path])
    try:
        assert [operations.table_name for operations in load_entities(["tasks"])] == ["tasks"]
    finally:
        sys.modules.pop("tasks", None)


def test_its_containers_are_those_of_deploy(project: Path) -> None:
    """The same images, nodes and port; and Redpanda made to keep what it acknowledges."""
    own, shipped = (
        yaml.safe_load((folder / "compose.yaml").read_text())["services"]
        for folder in (project, ROOT / "deploy")
    )
    assert own.keys() == shipped.keys()
    for name in ("redpanda", "nginx"):
        assert own[name]["image"] == shipped[name]["image"]
    command = own["redpanda"]["command"]
    assert set(command) <= set(shipped["redpanda"]["command"])
    assert {"--unsafe-bypass-fsync=false", "redpanda.write_caching_default=false"} <= set(command)
    assert own["nginx"]["ports"] == shipped["nginx"]["ports"]
    for node in ("node-1", "node-2", "node-3"):
        assert own[node]["volumes"] == shipped[node]["volumes"]
        assert f"server {node}:8082 " in (project / "nginx.conf").read_text()


def test_its_nginx_configuration_is_taken(project: Path, tmp_path: Path) -> None:
    need_nginx()
    site = re.sub(r"node-\d", "127.0.0.1", (project / "nginx.conf").read_text())
    (tmp_path / "site.conf").write_text(site)
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n  access_log off;\n"
        + "".join(
            f"  {kind}_temp_path {tmp_path}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"  include {tmp_path}/site.conf;\n}}\n"
    )
    done = subprocess.run(
        [find_nginx(), "-t", "-e", tmp_path / "errors", "-c", tmp_path / "nginx.conf"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
