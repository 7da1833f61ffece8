"""The guard: asks the log, over its second connection, what may take long to answer.

A thread of its own, so that neither the engine nor the follower waits for a broker. It looks
where the log ends (lag, reachability), and whether it is still the same log: every ten seconds,
and after any error of the log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from clusterlite.errors import Halt, LogClosed, LogError
from clusterlite.log.base import Bounds, Identity, Log
from clusterlite.node.follower import Seen
from clusterlite.node.identity import check_identity

BOUNDS_EVERY_S: Final = 2.0
IDENTITY_EVERY_S: Final = 10.0


class Guard:
    """Watches one log.

    Args:
        log: opened.
        known: the identity that it had at start.
        seen: gives the last record applied.
        report: told the bounds, or why they are not known; on this thread.
        clock: in seconds.
    """

    def __init__(
        self,
        log: Log,
        known: Identity,
        seen: Callable[[], Seen],
        report: Callable[[Bounds | LogError | Halt], None],
        clock: Callable[[], float],
    ) -> None:
        self._log = log
        self._known = known
        self._seen = seen
        self._report = report
        self._clock = clock
        self._checked = clock()
        self._failed = False
        self._closing = False
        self._hurry = threading.Event()

    def close(self) -> None:
        """Ask the thread to end."""
        self._closing = True
        self._hurry.set()

    def look(self) -> None:
        """Look at the log's identity at once: something happened that may have changed it."""
        self._hurry.set()

    def run(self) -> None:
        """Look until closed or halted."""
        going = True
        while going:
            self._hurry.wait(BOUNDS_EVERY_S)
            going = self.check()

    def check(self) -> bool:
        """Look once; False where nothing is to be looked at any more."""
        hurried = self._hurry.is_set()
        self._hurry.clear()
        if self._closing:
            return False
        try:
            if self._failed or hurried or self._clock() - self._checked >= IDENTITY_EVERY_S:
                check_identity(self._log, self._known, self._seen())
                self._checked = self._clock()
            self._report(self._log.bounds())
            self._failed = False
        except LogClosed:
            return False
        except LogError as error:
            self._failed = True
            self._report(error)
        except Halt as halt:
            self._report(halt)
            return False
        except Exception as error:
            self._report(Halt("internal", repr(error), "This is a defect: report it"))
            raise
        return True
