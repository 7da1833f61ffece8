"""The command line: `clusterlite`. `commands` lists what it can do, `supervisor` serves."""

from __future__ import annotations

import signal

EXIT_INTERRUPTED = 130
"""As a shell has it for a command that Ctrl-C ended."""


def main() -> None:
    """Entry point of the `clusterlite` command."""
    try:
        from clusterlite.cli.commands import run  # noqa: PLC0415 - workers do not load it

        run()
    except KeyboardInterrupt:  # while it is imported; commands have their own words
        raise SystemExit(EXIT_INTERRUPTED) from None
    finally:
        # One that comes now would end in a traceback, or change the exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
