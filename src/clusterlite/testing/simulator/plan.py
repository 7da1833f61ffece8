"""What a seed decides before its run: how many of each, and how bad the weather is."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

LEVELS = ("eventual", "session", "strong")


@dataclass(frozen=True)
class Plan:
    """One run's.

    Args:
        nodes: replicas on the one log.
        clients: that ask them, one request each at a time.
        keys: rows that they fight for, of each table.
        at_once: the log settles an append before its call returns, as the embedded one does.
        append_fails: how often an append never leaves its node.
        append_unknown: how often its end is not known; it lands, lands late or never does.
        append_twice: how often a producer's retry writes it again.
        append_slow: how often it takes up to a second.
        read_fails, tail_fails: how often the log refuses.
        read_odd: how often a read is cut short.
        hole: how often the log leaves positions out.
        message_lost: how often one message between client and node is.
        crash_every_s: virtual time between two crashes; one of a random node at a random step.
        cut_every_s: between two times that a node cannot reach the log.
        pause_every_s: between two times that a node stands still.
        commit_fails: how often the machine refuses a commit.
        wrong_log: how often a node that starts finds another log than its own, or is an older
            build than a record that it meets.
        leap: how often the log leaves so many positions out that a mark is passed.
        poison_every_s: between two records that some other program writes.
        forge_every_s: between two checkpoints that nobody's replica gave.
        trim_every_s: between two times that the log's older records are deleted.
        damage: how often the file of a node that is down is overwritten.
        restore: how often a node that is down gets a copy of another's replica.
        restore_dies: how often the power goes while such a copy is made.
        read_races: how often a batch is applied between two statements of a read.
        window_s: event ids are remembered so long; 0 for the default.
        flip: a bit of one replica's row flips in the end, and a checkpoint must tell.
        node_s: how long a node takes to come to what it was handed, at most; what comes
            meanwhile it takes together.
        quiet_s: how long a client thinks between two operations, at most.
    """

    nodes: int = 3
    clients: int = 8
    keys: int = 12
    at_once: bool = True
    append_fails: float = 0.0
    append_unknown: float = 0.0
    append_twice: float = 0.0
    append_slow: float = 0.0
    read_fails: float = 0.0
    tail_fails: float = 0.0
    read_odd: float = 0.0
    hole: float = 0.0
    message_lost: float = 0.0
    crash_every_s: float = 0.0
    cut_every_s: float = 0.0
    pause_every_s: float = 0.0
    commit_fails: float = 0.0
    wrong_log: float = 0.0
    node_s: float = 0.0005
    leap: float = 0.0
    poison_every_s: float = 0.0
    forge_every_s: float = 0.0
    trim_every_s: float = 0.0
    damage: float = 0.0
    restore: float = 0.0
    restore_dies: float = 0.0
    read_races: float = 0.0
    window_s: int = 0
    flip: bool = False
    quiet_s: float = 0.01


def draw(random: Random) -> Plan:
    """A plan; each fault is absent from some runs, so that others have room to show."""

    def some(high: float, share: float = 0.7) -> float:
        value = random.random() * high
        return value if random.random() < share else 0.0

    def every(low: float, high: float, share: float) -> float:
        return low + random.random() * (high - low) if random.random() < share else 0.0

    return Plan(
        nodes=random.choice((2, 3, 3, 4)),
        clients=random.choice((4, 8, 16, 32)),
        keys=random.choice((3, 12, 40)),
        at_once=random.random() < 0.5,
        append_fails=some(0.05),
        append_unknown=some(0.08),
        append_twice=some(0.08),
        append_slow=some(0.05),
        read_fails=some(0.03),
        tail_fails=some(0.05),
        read_odd=some(0.3),
        hole=some(0.1),
        message_lost=some(0.03),
        crash_every_s=every(0.1, 1.0, 0.8),
        cut_every_s=every(0.3, 2.0, 0.5),
        pause_every_s=every(0.3, 2.0, 0.5),
        commit_fails=some(0.02),
        wrong_log=some(0.3, 0.4),
        node_s=random.choice((0.0005, 0.002, 0.008)),
        leap=some(0.03, 0.5),
        poison_every_s=every(0.02, 0.5, 0.5),
        forge_every_s=every(0.5, 3.0, 0.3),
        trim_every_s=every(0.5, 3.0, 0.3),
        damage=some(0.2, 0.3),
        restore=some(0.3, 0.4),
        restore_dies=some(0.5, 0.5),
        read_races=some(0.1, 0.5),
        window_s=30 if random.random() < 0.4 else 0,
        flip=random.random() < 0.25,
        quiet_s=random.choice((0.0, 0.01, 0.05)),
    )
