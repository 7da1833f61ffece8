"""What the command line says of itself, and that the reference says the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import clusterlite
from clusterlite.cli.commands import app
from clusterlite.config import Settings
from tests.cli import cli

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "commands.md"

Command = typer.core.TyperCommand


def commands(
    group: typer.core.TyperGroup | None = None, prefix: str = ""
) -> Iterator[tuple[str, Command]]:
    """Every command by its full name."""
    found = group or typer.main.get_command(app)
    assert isinstance(found, typer.core.TyperGroup)
    for name, command in found.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, f"{prefix}{name} ")
        else:
            assert isinstance(command, Command)
            yield prefix + name, command


COMMANDS = dict(commands())


def options(command: Command) -> set[str]:
    """The long names of its options, the short one where it has no long one."""
    return {
        max(parameter.opts, key=len)
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name != "help"
    }


def section(name: str) -> str:
    found = re.findall(
        rf"^## `clusterlite {re.escape(name)}`\n(.*?)(?=^## |\Z)",
        REFERENCE.read_text(),
        re.DOTALL | re.MULTILINE,
    )
    assert len(found) == 1, name
    return str(found[0])


def test_the_reference_lists_every_command() -> None:
    named = re.findall(r"^## `clusterlite ([a-z ]+)`", REFERENCE.read_text(), re.MULTILINE)
    assert sorted(named) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_lists_a_commands_options_and_arguments(name: str) -> None:
    command, text = COMMANDS[name], section(name)
    listed = set(re.findall(r"^\| `(-[-\w]+)", text, re.MULTILINE))
    settings = {f"--{field.replace('_', '-')}" for field in Settings.model_fields}
    assert listed == options(command) - (settings if name == "serve" else set())
    arguments = {
        (parameter.metavar or parameter.name or "").strip("[]").upper()
        for parameter in command.params
        if parameter.param_type_name == "argument"
    }
    assert set(re.findall(r"^\| `([A-Z]+)", text, re.MULTILINE)) == arguments


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_is_for_and_ends_with_examples(name: str) -> None:
    command = COMMANDS[name]
    assert re.match(r"[A-Z][^\n]{20,}|Print the version\.", command.help or "")
    _, *examples = (command.epilog or "").split("\n\n")
    assert 1 <= len(examples) <= 2
    for example in examples:
        words = shlex.split(example)
        assert words[: 1 + len(name.split())] == ["clusterlite", *name.split()]
        command.make_context(name, words[1 + len(name.split()) :])  # its options exist
    done = cli(*name.split(), "--help")
    assert done.code == 0
    assert " ".join(examples[-1].split()) in " ".join(done.out.split())


def test_help_of_serve_shows_each_settings_default_and_its_name_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = " ".join(cli("serve", "--help").out.split())
    for name, field in Settings.model_fields.items():
        assert f"Environment: CLUSTERLITE_{name.upper()}." in shown, name
        assert isinstance(field.description, str)
    assert "Default: 8082." in shown
    assert "Default: clusterlite.examples.users." in shown


@pytest.mark.parametrize("asked", ["--version", "version"])
def test_it_says_its_version(asked: str) -> None:
    assert cli(asked) == (0, clusterlite.__version__ + "\n", "")
