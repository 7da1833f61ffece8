"""The simulator: whole clusters in one thread, under virtual time, from a seed.

    python -m clusterlite.testing.simulator --seed 7 --operations 200
    python -m clusterlite.testing.simulator --soak 10m

Real are core, replica (SQLite files), engine, follower, start-up, guard and runtime. Simulated
are the log, the clock, ids, threads, and the messages between clients and nodes.
"""

from __future__ import annotations

from clusterlite.testing.simulator.plan import Plan
from clusterlite.testing.simulator.run import Report, run

__all__ = ["Plan", "Report", "run"]
