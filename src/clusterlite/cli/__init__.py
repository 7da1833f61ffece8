"""The command line: `clusterlite`. `commands` lists what it can do, `supervisor` serves."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `clusterlite` command."""
    from clusterlite.cli.commands import run  # noqa: PLC0415 - workers do not load it

    run()
