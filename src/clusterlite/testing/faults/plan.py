"""The pure parts of the fault run: which fault comes next, and what the run reports."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple


class Fault(NamedTuple):
    """What is done next.

    Args:
        kind: one of those that `faults.Faults` makes.
        node: index of the node that it is done to, None where it is done to none: the brokers.
    """

    kind: str
    node: int | None


def plan(seed: int, targets: Mapping[str, Sequence[int] | None]) -> Iterator[Fault]:
    """Faults without end: every kind once, in an order of the seed's, then all of them again.

    Without a kind there are none.

    Args:
        seed: of the order, and of the nodes that are hit.
        targets: indexes of the nodes that each kind can hit, None for a kind that hits none.
    """
    chance = random.Random(seed)
    kinds = sorted(targets)
    while kinds:
        chance.shuffle(kinds)
        for kind in kinds:
            nodes = targets[kind]
            yield Fault(kind, None if nodes is None else chance.choice(nodes))


def chosen(
    targets: Mapping[str, tuple[int, ...] | None], only: Sequence[str]
) -> dict[str, tuple[int, ...] | None]:
    """The kinds that have one of `only` in their name; all of them where that is empty.

    Raises:
        SystemExit: one of `only` is in no name.
    """
    for part in only:
        if not any(part in kind for kind in targets):
            raise SystemExit(f"no fault here has {part!r} in its name: {', '.join(targets)}")
    return {
        kind: nodes
        for kind, nodes in targets.items()
        if not only or any(part in kind for part in only)
    }


@dataclass(frozen=True)
class Recovery:
    """How one fault went.

    Args:
        fault: what was done.
        at_s: when, from the run's begin.
        lasted_s: until its cause was gone.
        back_s: from then on, until the nodes that it hit were ready and had acknowledged a write;
            None where they did not.
        answers: of the clients from its begin until then, by status; 0 for none at all.
    """

    fault: Fault
    at_s: float
    lasted_s: float
    back_s: float | None
    answers: Counter[int] = field(default_factory=Counter)

    def line(self) -> str:
        """For the output of the run."""
        where = "" if self.fault.node is None else f" of node-{self.fault.node + 1}"
        back = "NOT BACK" if self.back_s is None else f"back after {self.back_s:6.2f} s"
        done = sum(self.answers[status] for status in (200, 201, 204))
        return (
            f"{self.at_s:7.1f} s  {self.fault.kind + where:<30} for {self.lasted_s:5.1f} s, "
            f"{back}, meanwhile {done} done, {self.answers[202]} x 202, "
            f"{self.answers[503]} x 503, {self.answers[504]} x 504, "
            f"{self.answers[502] + self.answers[0]} cut off"
        )


def quiet_s(recoveries: Sequence[Recovery], least_s: float) -> float:
    """How long nothing is broken after the last of them: a quarter of the time in all."""
    if not recoveries:
        return least_s
    last = recoveries[-1]
    return max(least_s, (last.lasted_s + (last.back_s or 0.0)) / 3)


def table(recoveries: Sequence[Recovery]) -> list[str]:
    """Times to recover, a line for each kind of fault."""
    lines = [f"{'fault':<22} {'times':>5} {'median':>8} {'worst':>8}  503s   504s"]
    for kind in dict.fromkeys(recovery.fault.kind for recovery in recoveries):
        of_kind = [recovery for recovery in recoveries if recovery.fault.kind == kind]
        back = [recovery.back_s for recovery in of_kind if recovery.back_s is not None]
        times = [f"{value:6.2f} s" for value in (median(back), max(back))] if back else ["-", "-"]
        refused, unknown = (sum(r.answers[status] for r in of_kind) for status in (503, 504))
        lines.append(
            f"{kind:<22} {len(of_kind):>5} {times[0]:>8} {times[1]:>8}  {refused:<6} {unknown}"
        )
    return lines


def not_back(recoveries: Sequence[Recovery]) -> list[str]:
    """The faults after which a node did not come back by itself."""
    return [f"did not recover: {r.line().strip()}" for r in recoveries if r.back_s is None]
