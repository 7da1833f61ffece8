"""The level that a request reads at: `_consistency` or `ClusterLite-Consistency`, and its token.

The rules are those of `node.consistency`; here they are asked over the link, for a worker's reads.
A read that asks for nothing costs three look-ups among its headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

from clusterlite.core.consistency import Bounded, Consistency, read_consistency
from clusterlite.errors import Behind, ForeignToken
from clusterlite.http.link import LinkClient
from clusterlite.http.messages import TOKEN_COOKIE, TOKEN_HEADER, Prefer, Request
from clusterlite.http.problems import HttpError, from_error
from clusterlite.node.answers import Answer, Reached
from clusterlite.node.consistency import (
    ASK_AFTER_S,
    Freshness,
    check_ahead,
    clock_s,
    reached_position,
)

PARAMETER: Final = "_consistency"
HEADER: Final = b"clusterlite-consistency"
READ_WAIT_S: Final = 10.0
"""How long a read waits for its state, unless `Prefer: wait=N` says otherwise."""

_DIGITS: Final = 18
"""Of a position that no rule needs to look at."""

_CLEARED: Final = (b"set-cookie", f"{TOKEN_COOKIE}=; Path=/; Max-Age=0".encode())


class Need(NamedTuple):
    """The state that a read asks for.

    Args:
        position: at least this one.
        tail: the log is to be asked for its end first, and the replica to get there.
        wait_s: the longest wait, in seconds.
    """

    position: int
    tail: bool
    wait_s: float

    def check(self, position: int) -> None:
        """Answer nothing older than was asked for.

        Raises:
            Behind: the replica in hand is not that far, whatever the node said.
        """
        if position < self.position:
            raise Behind(f"at position {position}, {self.position} was asked for")


class Levels:
    """The reads of one worker.

    Args:
        link: to the node process.
    """

    def __init__(self, link: LinkClient) -> None:
        self._link = link
        self._freshness = Freshness()
        self._cluster = ""
        self._ours = b":"
        """What every token of this cluster begins with."""

    def greeted(self, cluster: str, *, anew: bool) -> None:
        """The node told its cluster.

        Args:
            cluster: its id.
            anew: the node was started again, so its replica may be another.
        """
        self._cluster = cluster
        self._ours = cluster.encode() + b":"
        if anew:
            self._freshness.forget()

    def need(self, request: Request, parameters: Mapping[str, str], have: int) -> Need | None:
        """What the request asks for beyond the snapshot in hand, None where that will do.

        Args:
            request: to be answered.
            parameters: of its query.
            have: the snapshot's position.

        Raises:
            HttpError: 400 for what is no level or no token; 409 for a token of another cluster,
                and a cookie is cleared with it.
        """
        headers = request.headers
        level: Consistency = "session"
        if PARAMETER in parameters or HEADER in headers:
            level = _level(request, parameters)
            if level == "eventual":
                return None
        position = -1
        raw = headers.get(TOKEN_HEADER)
        if raw is not None:
            digits = raw.removeprefix(self._ours)
            # As nearly always; to read it by the rules takes longer, and cookies are not looked at.
            if digits != raw and len(digits) <= _DIGITS and digits.isdigit():
                position = int(digits)
            else:
                position = self._position(request)
        elif b"cookie" in headers:
            position = self._position(request)
        if level == "session":
            return None if position <= have else Need(position, False, _wait_s(request))
        if isinstance(level, Bounded):
            known = self._within(level)
            if known is not None:
                position = max(position, known)
                return None if position <= have else Need(position, False, _wait_s(request))
        return Need(position, True, _wait_s(request))

    async def reach(self, need: Need) -> Need:
        """Wait until the replica is as new as is needed.

        Returns:
            What the snapshot that is read must have.

        Raises:
            TokenAhead: the log itself is not as far as the token.
            ClusterLiteError: the replica is not, in time, or nobody can know it.
        """
        if not need.tail:
            await self._reach_position(need.position, need.wait_s)
            return need
        begun_s = clock_s()
        answer = await self._link.tail(need.wait_s)
        reached = reached_position(answer)
        self._freshness.reached(begun_s, reached)
        check_ahead(need.position, answer)
        return Need(reached, False, 0.0)

    async def _reach_position(self, position: int, wait_s: float) -> None:
        reached = self._link.await_position(position, wait_s)
        await asyncio.wait([reached], timeout=min(ASK_AFTER_S, wait_s))
        if not reached.done():
            tail = self._link.tail(wait_s)
            await asyncio.wait([reached, tail], return_when=asyncio.FIRST_COMPLETED)
            if tail.done():
                check_ahead(position, tail.result())
        reached_position(await reached)

    def _position(self, request: Request) -> int:
        token, is_cookie = request.token()
        if token is None:
            return -1
        if token.cluster == self._cluster:
            return token.position
        problem = from_error(ForeignToken(f"this is {self._cluster}"))
        headers = (_CLEARED,) if is_cookie else ()
        raise HttpError(problem.status, problem.code, problem.detail, headers=headers)

    def _within(self, bounded: Bounded) -> int | None:
        now_s, freshness = clock_s(), self._freshness
        known = freshness.position(bounded, now_s)
        if known is not None and freshness.ages(bounded, now_s):

            def told(future: asyncio.Future[Answer]) -> None:
                freshness.asked()
                answer = future.result()
                if isinstance(answer, Reached):
                    freshness.reached(now_s, answer.position)

            self._link.tail(READ_WAIT_S).add_done_callback(told)
        return known


def _level(request: Request, parameters: Mapping[str, str]) -> Consistency:
    """The level that is spelled; the parameter's where there is a header too."""
    text = parameters.get(PARAMETER)
    where = PARAMETER
    if text is None:
        text, where = request.header(HEADER) or "", "ClusterLite-Consistency"
    try:
        return read_consistency(text)
    except ValueError as error:
        raise HttpError(400, "bad_consistency", f"{where} {error}") from None


def _wait_s(request: Request) -> float:
    if b"prefer" not in request.headers:
        return READ_WAIT_S
    wait_s = Prefer(request.header(b"prefer")).wait_s
    return READ_WAIT_S if wait_s is None else wait_s
