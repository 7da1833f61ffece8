"""How new the state is that a read gets: what its level and its token ask of this replica.

    strong    ask the log for its end, then wait until the replica is there
    bounded   the same, unless such a question was begun recently enough
    session   wait until the replica is at the token's position

`Freshness` is what makes `bounded` cheap. It remembers when a question for the log's end was begun
whose answer this replica has reached: every write acknowledged before that moment is in it. The
moment is this process's own, by a clock that only grows; no other machine's clock is compared.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Final, Protocol

from clusterlite.core.consistency import Bounded, Consistency, read_consistency
from clusterlite.core.token import Token
from clusterlite.errors import ClusterLiteError, ForeignToken, InputError, Problem, TokenAhead
from clusterlite.node.answers import Answer, Reached

ASK_AFTER_S: Final = 0.5
"""How long a read waits for its token's position before the log is asked whether it has it."""

_AHEAD: Final = 0.5
"""The part of a bound after which the log is asked again, before a read has to wait for it."""

_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Only grows, and goes on while the machine is suspended: Python's monotonic clock may not."""


def clock_s() -> float:
    """Seconds, for `Freshness` alone."""
    return time.clock_gettime(_CLOCK)


class Freshness:
    """Up to which moment this process knows its replica to be complete."""

    def __init__(self) -> None:
        self._known = (-math.inf, -1)
        self._asking = False

    def reached(self, begun_s: float, position: int) -> None:
        """The replica has all that was acknowledged before `begun_s`: it stands at `position`."""
        self._known = max(self._known, (begun_s, position))

    def forget(self) -> None:
        """The replica may be another one."""
        self._known = (-math.inf, -1)

    def position(self, bounded: Bounded, now_s: float) -> int | None:
        """A position whose state is within the bound, None where none is known to be."""
        begun_s, position = self._known
        return position if now_s - begun_s <= bounded.seconds else None

    def ages(self, bounded: Bounded, now_s: float) -> bool:
        """Whether to ask the log again, so that the next read needs not wait for it.

        True to one caller until that one calls `asked`.
        """
        if self._asking or now_s - self._known[0] <= bounded.seconds * _AHEAD:
            return False
        self._asking = True
        return True

    def asked(self) -> None:
        """The question that `ages` led to has its answer."""
        self._asking = False


class Replica(Protocol):
    """What a read asks of its node."""

    def ask_tail(self, wait_s: float) -> Future[Answer]:
        """Told once it has all that was acknowledged before this call."""

    def ask_position(self, position: int, wait_s: float) -> Future[Answer]:
        """Told once it has applied up to this position."""


class Levels:
    """The reads of an embedded node; used from any thread.

    Args:
        replica: that is read.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._freshness = Freshness()

    def reach(
        self,
        consistency: Consistency | None,
        token: str | None,
        cluster: str,
        position: int,
        wait_s: float,
    ) -> None:
        """Wait until the replica is as new as is asked for.

        Args:
            consistency: by default `session` with a token, else `eventual`.
            token: of an earlier answer.
            cluster: the node's cluster id.
            position: the replica's.
            wait_s: the longest wait, in seconds.

        Raises:
            InputError: no such level, or no token.
            ForeignToken, TokenAhead: the token is of another cluster or from beyond the log.
            LogUnavailable, Behind, NotServing, Overloaded, Halt: the replica is not that new, or
                nobody can know it.
        """
        level = "session" if consistency is None else _checked(consistency)
        if level == "eventual":
            return
        asked = -1 if token is None else _position(token, cluster)
        if isinstance(level, Bounded):
            known = self._within(level, wait_s)
            if known is not None:
                asked = max(asked, known)
        if level == "strong" or (isinstance(level, Bounded) and known is None):
            self.reach_end(wait_s, asked)
        elif position < asked:
            self._reach_position(asked, wait_s)

    def reach_end(self, wait_s: float, asked: int = -1) -> int:
        """Wait until the replica has all that was acknowledged before this call.

        Returns:
            The position reached.

        Raises:
            TokenAhead: the log is not as far as `asked`.
            LogUnavailable, Behind, NotServing, Overloaded, Halt: it is not there in time.
        """
        begun_s = clock_s()
        answer = self._replica.ask_tail(wait_s).result()
        reached = reached_position(answer)
        self._freshness.reached(begun_s, reached)
        check_ahead(asked, answer)
        return reached

    def _reach_position(self, asked: int, wait_s: float) -> None:
        reached = self._replica.ask_position(asked, wait_s)
        wait([reached], min(ASK_AFTER_S, wait_s))
        if not reached.done():
            tail = self._replica.ask_tail(wait_s)
            wait([reached, tail], return_when=FIRST_COMPLETED)
            if tail.done():
                check_ahead(asked, tail.result())
        reached_position(reached.result())

    def _within(self, bounded: Bounded, wait_s: float) -> int | None:
        now_s, freshness = clock_s(), self._freshness
        known = freshness.position(bounded, now_s)
        if known is not None and freshness.ages(bounded, now_s):

            def told(future: Future[Answer]) -> None:
                answer = future.result()
                freshness.asked()
                if isinstance(answer, Reached):
                    freshness.reached(now_s, answer.position)

            self._replica.ask_tail(wait_s).add_done_callback(told)
        return known


def check_ahead(asked: int, answer: Answer) -> None:
    """Refuse a token from beyond the log.

    Args:
        asked: the token's position.
        answer: to `ask_tail`; one that is no position tells nothing.

    Raises:
        TokenAhead: it is.
    """
    if isinstance(answer, Reached) and answer.position < asked:
        raise TokenAhead(f"position {asked} was asked for, the log ends at {answer.position}")


def reached_position(answer: Answer) -> int:
    """The position that was waited for.

    Raises:
        ClusterLiteError: why the replica is not there.
    """
    if isinstance(answer, Reached):
        return answer.position
    raise answer if isinstance(answer, ClusterLiteError) else ClusterLiteError(repr(answer))


def _checked(consistency: Consistency) -> Consistency:
    if isinstance(consistency, Bounded):
        return consistency
    try:
        return read_consistency(consistency)
    except ValueError as error:
        raise InputError([Problem("/consistency", "consistency", str(error))]) from None


def _position(text: str, cluster: str) -> int:
    token = Token.parse(text)
    if token is None:
        raise InputError([Problem("/token", "token", "must be <cluster id>:<position>, as given")])
    if token.cluster != cluster:
        raise ForeignToken(f"this is {cluster}")
    return token.position
