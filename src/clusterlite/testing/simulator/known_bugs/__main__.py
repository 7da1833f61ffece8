"""`python -m clusterlite.testing.simulator.known_bugs`: which seed catches which bug, how soon."""

from __future__ import annotations

import argparse
import logging
import sys

from clusterlite.testing.simulator.known_bugs import KNOWN_BUGS, hunt_all


def main(arguments: list[str] | None = None) -> int:
    """Hunt; the exit code is 1 where a bug was not seen."""
    parser = argparse.ArgumentParser(
        prog="python -m clusterlite.testing.simulator.known_bugs",
        description="Bring known bugs one after another; each must turn a run red.",
    )
    parser.add_argument("bugs", nargs="*", metavar="bug", help="which; all by default")
    parser.add_argument("--list", action="store_true", help="say what they are, and run nothing")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.bugs if name not in KNOWN_BUGS]
    if unknown:
        parser.error(f"there is no bug {unknown[0]}; --list names them")
    if given.list:
        for name in given.bugs or KNOWN_BUGS:
            print(f"{name:36} {KNOWN_BUGS[name].about}")
        return 0
    logging.getLogger("clusterlite").setLevel(logging.CRITICAL + 1)
    unseen = 0
    print(f"{'bug':36} {'seed':>4} {'operations':>10} {'s':>6}  violation")
    for found in hunt_all(given.bugs):
        unseen += found.seed is None
        seed = "-" if found.seed is None else str(found.seed)
        print(
            f"{found.bug:36} {seed:>4} {found.operations:10} {found.seconds:6.2f}  "
            f"{found.violation.splitlines()[0][:100]}",
            flush=True,
        )
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
