"""`clusterlite init`: a project to begin with, from the files in `templates/project`."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import typer

from clusterlite.errors import ConfigError

_DOT: Final = "dot-"
"""Stands for the dot of a hidden file, which would take effect in the clone itself."""


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Made where it is absent.")
    ] = Path(),
) -> None:
    """Begin a project: an entity, a test that runs, and what three nodes need in containers.

    It overwrites nothing: where one of its files is there, it makes none.
    """
    made = dict(_templates())
    taken = [name for name in made if (folder / name).exists() or (folder / name).is_symlink()]
    if taken:
        raise ConfigError(
            f"{folder.absolute()} has {', '.join(taken)} already, and nothing is overwritten: "
            "name another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be made: {error.strerror}") from error
    typer.echo(f"{folder.absolute()} has {', '.join(made)}.")
    typer.echo("Next:")
    for command in _next(folder):
        typer.echo(f"  {command}")


def _templates() -> Iterator[tuple[str, str]]:
    """Name and text of each file of a new project."""
    for file in sorted(files("clusterlite").joinpath("templates", "project").iterdir(), key=str):
        if file.is_file():
            name = file.name
            shown = f".{name.removeprefix(_DOT)}" if name.startswith(_DOT) else name
            yield shown, file.read_text(encoding="utf-8")


def _next(folder: Path) -> Iterator[str]:
    """What to run now; it works as it stands, also where this command is not on the path."""
    here = Path(sys.executable).parent
    on_path = {name: shutil.which(name) for name in ("python", "clusterlite")}
    active = all(found is not None and Path(found).parent == here for found in on_path.values())
    python = "python" if active else shlex.quote(sys.executable)
    program = "clusterlite" if active else f"{python} -m clusterlite"
    if folder.absolute() != Path.cwd():
        yield f"cd {shlex.quote(str(folder))}"
    yield f"{python} -m pip install -r requirements.txt"
    yield f"{python} -m pytest"
    yield f"{program} serve --entities tasks"
