"""The hunt: brings each known bug, and runs seeds until one is red."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any, Final, NamedTuple

from clusterlite.testing.simulator.known_bugs import apply, node, power
from clusterlite.testing.simulator.known_bugs.switch import Bug, Switch, Trial
from clusterlite.testing.simulator.plan import Plan, draw
from clusterlite.testing.simulator.run import run

OPERATIONS: Final = 200
"""Of each run."""


class Sighting(NamedTuple):
    """What a hunt found.

    Args:
        bug: its name.
        seed: that is red, None where none was.
        operations: of all runs up to and with the red one.
        seconds: that they took.
        violation: the first that was found.
    """

    bug: str
    seed: int | None
    operations: int
    seconds: float
    violation: str

    @property
    def rule(self) -> str:
        """Which rule the violation names."""
        return self.violation.partition(":")[0]


def simulated(seed: int) -> Trial:
    """A run of the simulator, with whatever the seed draws."""
    return _simulated(seed, None)


def _simulated(seed: int, plan: Plan | None) -> Trial:
    """One that does not come to its end is red too."""
    try:
        report = run(seed, OPERATIONS, plan)
    except Exception as error:  # noqa: BLE001 - whatever a bug does to whoever calls
        return Trial(OPERATIONS, [f"the run broke: {error!r}"])
    return Trial(report.operations, report.violations)


def weather(**fields: Any) -> Callable[[int], Trial]:
    """Runs of the simulator in which some of what a seed draws is given.

    Args:
        fields: of `Plan`.
    """

    def trial(seed: int) -> Trial:
        plan = replace(draw(Random(seed)), **fields)  # noqa: S311 - a run must be repeatable
        return _simulated(seed, plan)

    return trial


KNOWN_BUGS: Final[dict[str, Bug]] = {
    bug.name: bug
    for bug in (
        Bug(apply.dedupe_off, simulated),
        Bug(apply.reset_to_latest, simulated),
        Bug(apply.failed_batch_skipped, simulated),
        Bug(apply.position_outside_the_transaction, simulated),
        Bug(apply.clock_in_apply, simulated),
        Bug(apply.preconditions_not_judged, simulated),
        Bug(apply.fence_forgotten, weather(append_unknown=0.3, message_lost=0.05)),
        Bug(apply.patch_replaces, simulated),
        Bug(apply.transaction_keeps_its_first_change, simulated),
        Bug(apply.group_loses_its_savepoint, simulated),
        Bug(apply.equal_content_keeps_its_version, simulated),
        Bug(apply.delete_of_nothing_is_fine, simulated),
        Bug(apply.window_forgotten, weather(window_s=30)),
        Bug(apply.floor_counted_by_each_node, weather(window_s=30, leap=0.02)),
        Bug(apply.rejection_uses_no_id, simulated),
        Bug(apply.outcome_overwritten, weather(poison_every_s=0.01)),
        Bug(apply.newer_format_passed, weather(crash_every_s=0.1, wrong_log=0.5)),
        Bug(apply.broken_bytes_halt, simulated),
        Bug(apply.wrong_replica_goes_on, weather(flip=True, trim_every_s=0.0)),
        Bug(apply.forged_checkpoint_believed, weather(forge_every_s=0.2, trim_every_s=0.0)),
        Bug(apply.two_partitions, simulated),
        Bug(apply.gap_accepted, weather(crash_every_s=0.2, trim_every_s=0.2)),
        Bug(node.strong_read_without_its_barrier, simulated),
        Bug(node.token_not_waited_for, simulated),
        Bug(node.watermark_one_early, simulated),
        Bug(node.unknown_told_as_not_written, simulated),
        Bug(node.acknowledged_at_append, simulated),
        Bug(node.answered_with_anothers_outcome, simulated),
        Bug(node.identity_not_checked, simulated),
        Bug(node.record_not_recognised, weather(crash_every_s=0.1, wrong_log=0.5)),
        Bug(
            node.barrier_under_way_joined,
            weather(at_once=False, append_slow=0.3, cut_every_s=0.2, clients=16, quiet_s=0.0),
        ),
        Bug(node.timeout_told_as_not_written, simulated),
        Bug(node.settled_before_its_fence_is_applied, simulated),
        Bug(node.body_of_a_key_not_compared, simulated),
        Bug(node.ready_by_end_offset_alone, simulated),
        Bug(node.failed_fsync_tried_again, simulated),
        Bug(node.read_over_two_snapshots, weather(read_races=0.5, clients=16, quiet_s=0.0)),
        Bug(node.copy_with_a_wrong_position, weather(crash_every_s=0.2, restore=0.5)),
        Bug(node.restore_not_atomic, weather(crash_every_s=0.2, restore=0.5, restore_dies=0.5)),
        Bug(power.acknowledged_before_fsync, power.embedded_log),
        Bug(power.append_after_a_failed_fsync, power.embedded_log),
    )
}


def hunt(bug: Bug, first: int = 0) -> Sighting:
    """Bring a bug, and try seeds until one sees it.

    Args:
        bug: which.
        first: the first seed.
    """
    operations, begun = 0, time.perf_counter()
    with Switch() as switch:
        bug.bring(switch)
        for seed in range(first, first + bug.seeds):
            trial = bug.trial(seed)
            operations += trial.operations
            if trial.violations:
                took_s = time.perf_counter() - begun
                return Sighting(bug.name, seed, operations, took_s, trial.violations[0])
    return Sighting(bug.name, None, operations, time.perf_counter() - begun, "not seen")


def hunt_all(names: list[str]) -> Iterator[Sighting]:
    """Hunt those that are named, or all."""
    for name in names or KNOWN_BUGS:
        yield hunt(KNOWN_BUGS[name])
