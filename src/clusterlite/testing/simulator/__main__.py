"""`python -m clusterlite.testing.simulator`: repeat one seed, or run new ones for a time."""

from __future__ import annotations

import argparse
import logging
import secrets
import signal
import sys
import time
from collections.abc import Iterable
from itertools import count
from types import FrameType
from typing import Final

from clusterlite.testing.simulator.run import Report
from clusterlite.testing.simulator.soak import Tally, soak

TELL_EVERY_S: Final = 30.0
RED_SHOWN: Final = 20
SOAKED: Final = 500
"""Operations of a soak's seeds: starts are a large part of a shorter run."""


class _Soak:
    """When it ends, and what is told meanwhile.

    Args:
        operations: of each seed.
        limit_s: for all of them.
    """

    def __init__(self, operations: int, limit_s: float) -> None:
        self._operations = operations
        self._until = time.monotonic() + limit_s
        self._tell_at = time.monotonic() + TELL_EVERY_S
        self._stopped = False
        self.last: Report | None = None

    def stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """The seed under way is the last one."""
        self._stopped = True

    def goes_on(self) -> bool:
        return not self._stopped and time.monotonic() < self._until

    def tell(self, report: Report, tally: Tally) -> None:
        self.last = report
        for violation in report.violations:
            print(f"seed {report.seed}: {violation}")
        if report.violations:
            print(again(report.seed, self._operations))
        if time.monotonic() >= self._tell_at:
            self._tell_at += TELL_EVERY_S
            print(tally)
        sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit code is 1 where something promised did not hold."""
    given = _parser().parse_args(arguments)
    logging.getLogger("clusterlite").setLevel(logging.CRITICAL + 1)
    first = secrets.randbelow(10**9) if given.seed is None else given.seed
    limit_s = _seconds(given.soak) if given.soak else float("inf")
    seeds: Iterable[int] = count(first) if given.soak else range(first, first + given.seeds)
    operations = given.operations or (SOAKED if given.soak else 200)
    watch = _Soak(operations, limit_s)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, watch.stop)
    tally = soak(seeds, operations, watch.goes_on, watch.tell)
    for name, number in sorted(tally.sometimes.items()):
        print(f"{number:8} {name}")
    print(f"from seed {first}: {tally}")
    for seed, violation in list(tally.red.items())[:RED_SHOWN]:
        print(f"red: {seed}: {violation.splitlines()[0]}\n    {again(seed, operations)}")
    if tally.seeds == 1 and watch.last is not None:
        print(f"trace {watch.last.digest}")
    return 1 if tally.red else 0


def again(seed: int, operations: int) -> str:
    """The command that repeats a seed."""
    command = f"--seed {seed} --operations {operations}"
    return f"again: python -m clusterlite.testing.simulator {command}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clusterlite.testing.simulator")
    parser.add_argument("--seed", type=int, default=None, help="the first; random without it")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after another")
    parser.add_argument(
        "--operations", type=int, default=None, help="of each seed: 200, and 500 in a soak"
    )
    parser.add_argument("--soak", default="", help="seeds without end for so long: 90s, 10m, 2h")
    return parser


def _seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600}
    return float(text[:-1]) * units[text[-1]]


if __name__ == "__main__":
    sys.exit(main())
