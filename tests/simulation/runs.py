"""Many seeds side by side: each process takes every so many-th, so the split is always the same."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from clusterlite.testing.simulator.soak import Tally, soak


def _share(seeds: range) -> Tally:
    logging.getLogger("clusterlite").setLevel(logging.CRITICAL + 1)
    return soak(seeds, 200)


def runs(seeds: int) -> Tally:
    """Run the first so many seeds of 200 operations on all cores."""
    workers = os.cpu_count() or 1
    shares = [range(first, seeds, workers) for first in range(workers)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(_share, shares), Tally())
