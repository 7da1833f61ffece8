"""Seeds one after another, counted: what was done, how fast, and which seeds were red."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from clusterlite.testing.simulator.run import Report, run


@dataclass
class Tally:
    """Of the seeds that were run.

    Args:
        seeds: how many.
        operations: that clients asked for, all of them judged.
        took_s: by the clock on the wall.
        cpu_s: time of one core.
        red: by seed, the first violation of what is promised.
        sometimes: how often what happened.
    """

    seeds: int = 0
    operations: int = 0
    took_s: float = 0.0
    cpu_s: float = 0.0
    red: dict[int, str] = field(default_factory=dict)
    sometimes: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Operations, simulated and judged, in a second of one core."""
        return self.operations / self.cpu_s if self.cpu_s else 0.0

    def add(self, report: Report) -> None:
        """Count a run."""
        self.seeds += 1
        self.operations += report.operations
        self.sometimes += report.sometimes
        if report.violations:
            self.red[report.seed] = report.violations[0]

    def __add__(self, other: Tally) -> Tally:
        """Both together, run side by side."""
        return Tally(
            self.seeds + other.seeds,
            self.operations + other.operations,
            max(self.took_s, other.took_s),
            self.cpu_s + other.cpu_s,
            self.red | other.red,
            self.sometimes + other.sometimes,
        )

    def __str__(self) -> str:
        return (
            f"{self.seeds} seeds, {self.operations} operations in {self.took_s:.1f} s, "
            f"{self.rate:.0f} operations/s on one core, checked; {len(self.red)} red"
        )


def soak(
    seeds: Iterable[int],
    operations: int,
    goes_on: Callable[[], bool] = lambda: True,
    tell: Callable[[Report, Tally], None] | None = None,
) -> Tally:
    """Run seeds.

    Args:
        seeds: in this order.
        operations: of each, see `run`.
        goes_on: asked before every seed but the first.
        tell: called after every seed.
    """
    tally, thresholds = Tally(), gc.get_threshold()
    gc.freeze()  # what is loaded stays: it need not be looked at again and again
    gc.set_threshold(100_000)
    begun, begun_cpu = time.monotonic(), time.process_time()
    try:
        for seed in seeds:
            if tally.seeds and not goes_on():
                break
            report = run(seed, operations)
            tally.add(report)
            tally.took_s = time.monotonic() - begun
            tally.cpu_s = time.process_time() - begun_cpu
            if tell is not None:
                tell(report, tally)
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    return tally
