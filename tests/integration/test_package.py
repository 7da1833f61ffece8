"""What is published: the wheel and the source distribution hold all that the clone serves, and the
installed command serves without the clone.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import clusterlite
from tests.processes import Serve

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "clusterlite"


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, source: Path, folder: Path) -> Path:
    """The one file that building makes of a source folder, without a network."""
    run(sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "-o", folder, cwd=source)
    (built,) = folder.iterdir()
    return built


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as opened:
        return opened.namelist()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment that has the wheel, and this one's requirements."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    programs = folder / "bin"
    run(
        *(sys.executable, "-m", "pip", "--python", programs / "python"),
        *("install", "--quiet", "--no-deps", "--no-index", wheel),
        cwd=folder,
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    # The folder's own .pth files, the clone's among them, are not read.
    (packages / "requirements.pth").write_text(sysconfig.get_paths()["platlib"])
    found = run(
        programs / "python", "-c", "import clusterlite; print(clusterlite.__file__)", cwd=folder
    )
    assert Path(found.strip()).is_relative_to(packages)
    return programs


def test_the_wheel_holds_every_file_of_the_package_once(wheel: Path) -> None:
    files = {
        f"clusterlite/{file.relative_to(PACKAGE).as_posix()}"
        for folder in (PACKAGE, *(path for path in PACKAGE.iterdir() if path.is_dir()))
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    files.add("clusterlite/testing/cluster/nginx.conf")  # of deploy/
    held = [name for name in names(wheel) if ".dist-info/" not in name]
    assert len(held) == len(set(held))
    assert set(held) == files
    for name in ("examples/users.py", "ui/index.html", "ui/vendor/preact.js", "py.typed"):
        assert f"clusterlite/{name}" in held


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path / "sdist")) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    again = build("wheel", source, tmp_path / "wheel")
    assert again.name == wheel.name
    assert names(again) == names(wheel)


def test_the_installed_command_says_its_version(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "clusterlite", "version", cwd=tmp_path) == clusterlite.__version__ + "\n"


def test_the_installed_command_begins_a_project(installed: Path, tmp_path: Path) -> None:
    run(installed / "clusterlite", "init", "shop", cwd=tmp_path)
    assert {".gitignore", "tasks.py"} <= {path.name for path in (tmp_path / "shop").iterdir()}


@pytest.mark.parametrize("program", ["clusterlite", "python -m clusterlite"])
def test_the_installed_command_serves_the_sample_and_the_page(
    installed: Path, tmp_path: Path, program: str
) -> None:
    name, *arguments = program.split()
    command = (str(installed / name), *arguments)
    with Serve(tmp_path / "node", cwd=tmp_path, program=command) as serve:
        created = serve.request("POST", "/users", {"name": "Ann", "email": "ann@example.com"})
        assert created.status == 201
        assert serve.request("GET", created.headers["location"]).json == created.json
        page = serve.request("GET", "/-/ui/")
        assert page.status == 200
        assert b"app.js" in page.body
        for asset in ("app.js", "style.css", "vendor/preact.js"):
            assert serve.request("GET", f"/-/ui/{asset}").status == 200
