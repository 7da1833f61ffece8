"""Several nodes of one cluster: one after the other is asked, until one has a definite answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

from clusterlite.client.address import Address, Answer, Lost
from clusterlite.core.token import Token
from clusterlite.errors import ForeignToken

TRY_S: Final = 5.0
"""How long one node is waited for, while there are others to ask."""

_PAUSE_MIN_S: Final = 0.05
_PAUSE_MAX_S: Final = 1.0


class Call:
    """One call on its way through the nodes.

    Args:
        wait_s: for all its tries.
    """

    def __init__(self, wait_s: float) -> None:
        self.deadline = time.monotonic() + wait_s
        self.in_doubt = False
        """Whether a try may have reached the log, with an outcome that is not known."""
        self.why = "no node was asked"
        self._tries = 0

    def left_s(self) -> float:
        """How much of its time is left, in seconds."""
        return self.deadline - time.monotonic()

    def pause(self, nodes: int) -> None:
        """Before the next try: none while there are nodes that were not asked yet."""
        self._tries += 1
        rounds = self._tries // nodes
        if rounds and self._tries % nodes == 0:
            pause_s = min(_PAUSE_MIN_S * 2 ** min(rounds - 1, 10), _PAUSE_MAX_S)
            time.sleep(max(0.0, min(pause_s, self.left_s())))


class Rotation:
    """The nodes of a client, and the newest state that it has seen at any of them.

    Args:
        urls: of the nodes.

    Raises:
        ConfigError: one is no address.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.token: Token | None = None
        self._nodes = [Address(url) for url in urls]
        self._first = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections that are free."""
        for node in self._nodes:
            node.close()

    def ask(
        self,
        call: Call,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer | None:
        """Ask one node after the other, until one has a definite answer; None where none has.

        What no node answered decides nothing: a login's page with 200 is no write that happened.

        Args:
            call: that it is for.
            method: of HTTP.
            path: with its query.
            body: None where there is none.
            headers: of the request; a write has its key among them.
        """
        is_write = "Idempotency-Key" in headers
        first = self._first
        for number in range(first, first + 1_000_000):
            left_s = call.left_s()
            if left_s <= 0:
                return None
            node = self._nodes[number % len(self._nodes)]
            try:
                answer = node.ask(method, path, body, headers, min(TRY_S, left_s))
            except Lost as lost:
                call.in_doubt |= is_write and lost.sent
                call.why = str(lost)
            else:
                if not answer.is_open:
                    self._first = number % len(self._nodes)
                    self._note(answer, node)
                    return answer
                call.in_doubt |= is_write and (answer.status != 503 or not answer.is_of_node)
                call.why = f"{node.url}: {answer.why}"
            call.pause(len(self._nodes))
        return None

    def _note(self, answer: Answer, node: Address) -> None:
        """Keep the newest token.

        Raises:
            ForeignToken: the node is of another cluster.
        """
        found = answer.token
        if found is None:
            return
        with self._lock:
            if self.token is not None and self.token.cluster != found.cluster:
                raise ForeignToken(
                    f"{node.url} is of the cluster {found.cluster}, the others of "
                    f"{self.token.cluster}: name nodes of one cluster"
                )
            if self.token is None or found.position > self.token.position:
                self.token = found
