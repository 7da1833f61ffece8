"""Check again what a fault run kept: `python -m clusterlite.testing.history FOLDER`.

The folder has `history.jsonl`, `log.jsonl` and, if replicas were read, `replicas.jsonl`. Prints
the violations, and exits with 1 where there are any.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from clusterlite.testing.history.check import check
from clusterlite.testing.history.files import load_log, load_replicas
from clusterlite.testing.history.recorder import load


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        prog="python -m clusterlite.testing.history", description=__doc__
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--since", type=int, default=0, help="where nobody else wrote any more")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    replicas = folder / "replicas.jsonl"
    found = check(
        load(folder / "history.jsonl"),
        load_log(folder / "log.jsonl"),
        load_replicas(replicas) if replicas.exists() else (),
        since=arguments.since,
    )
    for violation in found:
        sys.stdout.write(f"{violation}\n")
    sys.stdout.write(f"{len(found)} violations\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
