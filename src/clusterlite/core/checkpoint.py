"""Checkpoints: what a node says its running hash is at a mark, and what another makes of it.

Rules:

1. A CHECKPOINT has no effect on state: its outcome and the running hash over it are the same,
   whatever it says and whoever reads it.
2. One that is garbage, or names a mark that is not here, is passed: it stops nobody.
3. A difference tells only that one of the two is wrong. Which one is found by deriving the mark
   again from the log. What was derived once is not derived again.
4. When one is proposed is no part of apply. Nodes take turns without talking to each other: each
   has a rank for the next mark, and waits that much longer for another's to come.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from clusterlite.core.hashing import MARK_EVERY

PASSED: Final = "passed"
AGREED: Final = "agreed"
REFUTED: Final = "refuted"
DISPUTED: Final = "disputed"

EVERY_POSITIONS: Final = 65_536
"""A checkpoint is due once so many positions were applied since the last one."""

EVERY_S: Final = 60.0
"""And once a mark with something new has been without one for so long."""

RANKS: Final = 8
RANK_S: Final = 2.0
"""How much longer each rank waits; by positions it is one mark."""

_HASH_DIGITS: Final = 64


class Checkpoint(NamedTuple):
    """What one says.

    Args:
        mark: a multiple of 1,024.
        hash: the running hash there, 32 bytes.
        node: who says so, for people.
        incarnation: of that node's start.
    """

    mark: int
    hash: bytes
    node: str = ""
    incarnation: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it stands in an event."""
        return {
            "position": self.mark,
            "hash": self.hash.hex(),
            "node": self.node,
            "incarnation": self.incarnation,
        }


def read_checkpoint(data: Mapping[str, Any]) -> Checkpoint | None:
    """What an event's data say, None where that can be no checkpoint of ours."""
    mark, spelled = data.get("position"), data.get("hash")
    if type(mark) is not int or mark < 0 or mark % MARK_EVERY:
        return None
    if type(spelled) is not str or len(spelled) != _HASH_DIGITS:
        return None
    try:
        found = bytes.fromhex(spelled)
    except ValueError:
        return None
    if found.hex() != spelled:  # spaces, capitals: nothing that a node writes
        return None
    return Checkpoint(mark, found, _text(data.get("node")), _text(data.get("incarnation")))


def _text(value: Any) -> str:
    return value[:255] if type(value) is str else ""


def judge(checkpoint: Checkpoint, own: bytes | None, derived: int) -> str:
    """What a replica makes of a checkpoint.

    Args:
        checkpoint: of whichever node.
        own: the replica's hash at its mark, None where it has none.
        derived: marks up to this one were derived again from the log, and are right.
    """
    if own is None:
        return PASSED
    if own == checkpoint.hash:
        return AGREED
    return REFUTED if checkpoint.mark <= derived else DISPUTED


def rank(node: str, incarnation: str, covered: int) -> int:
    """A node's turn for the checkpoint after `covered`, from 0."""
    spelled = f"{node}\0{incarnation}\0{covered}".encode("utf-8", "surrogatepass")
    return blake2b(spelled, digest_size=1).digest()[0] % RANKS


def is_due(newest: int, covered: int, begun: int, turn: int, waited_s: float) -> bool:
    """Whether a node proposes a checkpoint of its newest mark.

    Args:
        newest: mark of the replica.
        covered: the highest mark of which the log has a checkpoint that this replica agrees with.
        begun: the newest mark when the node became ready.
        turn: its rank.
        waited_s: for how long there has been something new to say.
    """
    if newest <= covered:
        return False
    ahead = newest - max(covered, begun)
    return ahead >= EVERY_POSITIONS + turn * MARK_EVERY or waited_s >= EVERY_S + turn * RANK_S
