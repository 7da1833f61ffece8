"""Measure, print the table and keep it as JSON: see the package's first lines.

Ends with 0 whether targets are met or not: they are judged by people, on quiet machines.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.experiments import EXPERIMENTS, Experiment
from benchmarks.nodes import Missing, Place
from benchmarks.report import Figure, table
from benchmarks.rows import ROWS
from tools.setup import CACHE, ROOT

FOLDER: Final = CACHE / "bench"
ROUNDS: Final = 5
SECONDS: Final = 3
WARM_UP_S: Final = 1
QUIET: Final = 0.5
"""The load average up to which nothing else seems to run."""


def run(experiment: Experiment, place: Place, figures: dict[str, Figure], rounds: int) -> None:
    """Measure the rounds of one experiment, after a measurement that only warms up."""
    name = ", ".join(row for row in experiment.rows if row in figures)
    rounds = min(rounds, experiment.rounds or rounds)
    try:
        with experiment.opened(place) as measure:
            if experiment.warm_up:
                say(f"{name}: warming up")
                seconds, place.seconds = place.seconds, WARM_UP_S
                measure()
                place.seconds = seconds
            for number in range(rounds):
                say(f"{name}: round {number + 1} of {rounds}")
                for row, sample in measure().items():
                    if row in figures:
                        figures[row].samples.append(sample)
    except Missing as error:
        say(f"{name}: left out: {error}")
        for row in experiment.rows:
            if row in figures:
                figures[row].missing = str(error)


def say(text: str) -> None:
    """A line of progress, apart from the table."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """What figures of other machines differ by."""
    return {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def keep(figures: Sequence[Figure], started: datetime, circumstances: dict[str, Any]) -> Path:
    """Write the JSON beside earlier ones."""
    path = FOLDER / f"{started:%Y-%m-%dT%H%M%SZ}.json"
    found = {
        "started": started.isoformat(),
        **circumstances,
        "rows": [figure.to_json() for figure in figures],
    }
    path.write_text(json.dumps(found, indent=2) + "\n")
    return path


def main() -> None:
    """See the module's first lines."""
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"any of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of one load")
    parser.add_argument("--large", action="store_true", help="1,000,000 records, 60 s idle")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.rows if name not in names]:
        parser.error(f"no such row: {', '.join(unknown)}")
    if min(arguments.rounds, arguments.seconds) < 1:
        parser.error("--rounds and --seconds are at least 1")
    if shutil.which("wrk") is None:
        sys.exit("bench: no wrk here (apt-get install wrk, as root on Debian)")
    picked = arguments.rows or [row.name for row in ROWS if arguments.large or row.usual]
    figures = {row.name: Figure(row) for row in ROWS if row.name in picked}
    started, before = datetime.now(UTC), machine()
    if before["load"] > QUIET:
        say(f"the load average is {before['load']:.1f}: other programs spoil what follows")
    folder = FOLDER / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place = Place(folder, arguments.seconds, arguments.large)
    # SIGTERM as Ctrl-C: what was started is ended either way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for experiment in EXPERIMENTS:
            if not figures.keys().isdisjoint(experiment.rows):
                run(experiment, place, figures, arguments.rounds)
    except KeyboardInterrupt:
        sys.exit("bench: interrupted; nothing was kept")
    finally:
        place.close()
    shutil.rmtree(folder)
    measured = list(figures.values())
    settings = {name: getattr(arguments, name) for name in ("rounds", "seconds", "large")}
    path = keep(measured, started, {"settings": settings, "machine": before})
    print(table(measured))
    print(f"\nnoise: how far the other side's rounds lie apart. Samples: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
