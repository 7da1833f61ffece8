"""The workloads by name: `WORKLOADS["mixed"]()` is one."""

from __future__ import annotations

from typing import Final

from clusterlite.testing.load.workloads.adding import Overload, Retry, Set
from clusterlite.testing.load.workloads.base import Workload
from clusterlite.testing.load.workloads.many import Bank, Fork
from clusterlite.testing.load.workloads.mixed import Mixed
from clusterlite.testing.load.workloads.single import Append, Counter, Register, Session

__all__ = ["WORKLOADS", "Workload"]

WORKLOADS: Final[dict[str, type[Workload]]] = {
    kind.name: kind
    for kind in (
        *(Register, Counter, Append, Session),
        *(Bank, Fork),
        *(Set, Overload, Retry),
        Mixed,
    )
}
