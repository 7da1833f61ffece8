"""The simulated log: the port's contract in memory, with a fault at every call.

One `Store` is the topic; each start of a node has a `SimulatedLog` on it. What the port promises
holds here whatever the weather: positions only grow, what was acknowledged is there, a failure
says truly which of the two it is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final

from clusterlite.errors import (
    AppendUnknown,
    ClusterLiteError,
    Halt,
    LogClosed,
    LogUnavailable,
)
from clusterlite.log.base import Append, Batch, Bounds, Identity, Record, Settled
from clusterlite.log.memory import check_range, too_large
from clusterlite.testing.simulator.plan import Plan
from clusterlite.testing.simulator.world import World

RECORD_BYTES_MAX: Final = 100_000
HOLE_MAX: Final = 3
LEAP_MAX: Final = 1_500
"""Positions that are left out at once, at most: some such leaps pass a mark of the replicas."""

SLOW_S: Final = 1.0
LATE_S: Final = 5.0
_FORMAT: Final = b'"format":1,'


class Store:
    """The records, in order.

    Args:
        world: gives time and chance.
        plan: how often positions are left out.
    """

    def __init__(self, world: World, plan: Plan) -> None:
        self.records: list[Record] = []
        self.first = 0
        self.end = 0
        self.bells: list[Callable[[], None]] = []
        self._world = world
        self._plan = plan
        self._positions: list[int] = []
        self._seen: set[bytes] = set()

    def write(self, values: Sequence[bytes]) -> list[int]:
        """Give the values their positions, durably."""
        world = self._world
        positions = []
        for value in values:
            if world.chance(self._plan.hole):
                world.sometimes["hole in positions"] += 1
                self.end += world.random.randint(1, HOLE_MAX)
            if world.chance(self._plan.leap):
                self.leap(world.random.randint(HOLE_MAX, LEAP_MAX))
            self.records.append(Record(self.end, world.time_ms, value))
            self._positions.append(self.end)
            positions.append(self.end)
            self.end += 1
        world.note(f"log {positions}")
        for ring in self.bells:
            ring()
        return positions

    def leap(self, positions: int) -> None:
        """Leave positions out."""
        self._world.sometimes["leap in positions"] += 1
        self.end += positions

    def index(self, position: int) -> int:
        """Of the first record at or after the position."""
        return bisect_left(self._positions, position)


class StoreLook:
    """A look at the records; nothing goes wrong with it.

    Args:
        store: that is looked at.
    """

    url = "memory:"

    def __init__(self, store: Store) -> None:
        self._store = store

    def bounds(self) -> Bounds:
        """See `base.Look`."""
        return Bounds(self._store.first, self._store.end)

    def read(self, position: int, max_records: int, timeout_s: float) -> Batch:  # noqa: ARG002
        """See `base.Look`."""
        start = self._store.index(position)
        records = self._store.records[start : start + max_records]
        return Batch(records, records[-1].position + 1 if records else self._store.end)

    def close(self) -> None:
        """See `base.Look`."""


class Pending:
    """An append whose end is not known yet: `base.Append` without a lock."""

    __slots__ = ("_calls", "_settled")

    def __init__(self) -> None:
        self._settled: Settled | None = None
        self._calls: list[Callable[[Any], object]] = []

    def settle(self, outcome: int | ClusterLiteError) -> None:
        """It is known now."""
        self._settled = Settled(outcome)
        for call in self._calls:
            call(self)

    def done(self) -> bool:
        """See `base.Append`."""
        return self._settled is not None

    def exception(self, timeout: float | None = None) -> BaseException | None:  # noqa: ARG002
        """See `base.Append`."""
        return self._known().exception()

    def result(self, timeout: float | None = None) -> int:  # noqa: ARG002
        """See `base.Append`."""
        return self._known().result()

    def add_done_callback(self, call: Callable[[Any], object], /) -> None:
        """See `base.Append`."""
        if self._settled is None:
            self._calls.append(call)
        else:
            call(self)

    def _known(self) -> Settled:
        if self._settled is None:
            raise RuntimeError("a simulated append cannot be waited for")
        return self._settled


class SimulatedLog:
    """One node's handle on the store.

    Args:
        world: gives time and chance.
        store: shared with the other nodes.
        plan: how often what fails.
        passes: called with the name of a step of the node; may end it there.
        reachable: whether the node reaches the log now.
        ring: wakes the node.
        posing_as: the reason to halt that the node is to find when it opens the log; empty for
            its own log as it is.
    """

    url = "simulated:"
    record_bytes_max = RECORD_BYTES_MAX
    has_doorbell = True
    caveat: str | None = "it is simulated"

    def __init__(
        self,
        world: World,
        store: Store,
        plan: Plan,
        passes: Callable[[str], None],
        reachable: Callable[[], bool],
        ring: Callable[[], None],
        posing_as: str = "",
    ) -> None:
        self._world = world
        self._store = store
        self._plan = plan
        self._passes = passes
        self._reachable = reachable
        self._ring = ring
        self._posing_as = posing_as
        self._closed = False
        self.weather = plan
        self.newer: int | None = None
        """Position of the record that was read as a newer build's."""

    def open(self) -> None:
        """See `base.Log`."""
        self._passes("open")
        self._reach(self.weather.read_fails)
        if self._ring not in self._store.bells:
            self._store.bells.append(self._ring)

    def append(self, values: Sequence[bytes]) -> Sequence[Append]:
        """See `base.Log`."""
        self._passes("before append")
        world, weather = self._world, self.weather
        if self._closed:
            return [Settled(LogClosed("the log is closed"))] * len(values)
        if not self._reachable() or world.chance(weather.append_fails):
            world.sometimes["append refused"] += 1
            return [Settled(LogUnavailable("the log is not reachable"))] * len(values)
        sizes: list[Append] = []
        fitting: list[bytes] = []
        pending: list[Pending] = []
        for value in values:
            if len(value) > self.record_bytes_max:
                world.sometimes["record too large"] += 1
                sizes.append(Settled(too_large(value, self.record_bytes_max)))
            else:
                fitting.append(value)
                pending.append(Pending())
                sizes.append(pending[-1])
        if fitting:
            self._send(fitting, pending)
        self._passes("after append")
        return sizes

    def _send(self, values: list[bytes], pending: list[Pending]) -> None:
        """The group is on its way: when does it land, how often, and is its end known."""
        world, weather, store = self._world, self.weather, self._store
        if world.chance(weather.append_twice):
            world.sometimes["duplicate by producer"] += 1
            again = world.between(0, LATE_S if world.chance(0.2) else 0.01)
            world.at(again + 0.01, lambda: _nothing(store.write(values)))
        if world.chance(weather.append_unknown):
            self._lose(values, pending)
            return
        slow = world.chance(weather.append_slow)
        if weather.at_once and not slow:
            for one, position in zip(pending, store.write(values), strict=True):
                one.settle(position)
            return

        def land() -> None:
            positions = store.write(values)
            world.at(world.between(0, 0.003), lambda: tell(positions))

        def tell(positions: list[int]) -> None:
            for one, position in zip(pending, positions, strict=True):
                one.settle(position)

        if slow:
            world.sometimes["slow append"] += 1
        world.at(world.between(0, SLOW_S if slow else 0.003), land)

    def _lose(self, values: list[bytes], pending: list[Pending]) -> None:
        """What became of the group is not told."""
        world, store = self._world, self._store
        kind = world.random.choice(("landed", "landed late", "lost"))
        world.sometimes[f"unknown append that {kind}"] += 1
        if kind != "lost":
            after = world.between(0, LATE_S if kind == "landed late" else 0.01)
            world.at(after, lambda: _nothing(store.write(values)))
        told = world.random.random()
        if told < 0.3:
            _tell_unknown(pending)
        elif told < 0.6:
            world.at(world.between(0, 0.1), lambda: _tell_unknown(pending))

    def tail(self) -> Future[int]:
        """See `base.Log`."""
        world = self._world
        future: Future[int] = Future()
        if self._closed:
            future.set_exception(LogClosed("the log is closed"))
        elif not self._reachable() or world.chance(self.weather.tail_fails):
            world.sometimes["tail refused"] += 1
            future.set_exception(LogUnavailable("the log did not tell its end"))
        elif self.weather.at_once:
            future.set_result(self._end - 1)
        else:
            world.at(world.between(0, 0.003), lambda: self._ask_end(future))
        return future

    def _ask_end(self, future: Future[int]) -> None:
        end = self._end
        slow = self._world.chance(self.weather.append_slow)
        after = self._world.between(0, SLOW_S if slow else 0.003)
        self._world.at(after, lambda: future.set_result(end - 1))

    def read(self, position: int, max_records: int, timeout_s: float) -> Batch:  # noqa: ARG002
        """See `base.Log`."""
        self._passes("read")
        if self._posing_as in {"wrong_log", "log_rewound", "another record"}:
            self._world.violations.append(
                f"I10: a node follows a log that is not its own: {self._posing_as}"
            )
        self._reach(self.weather.read_fails)
        store, world = self._store, self._world
        check_range(position, self.bounds())
        start = store.index(position)
        limit = max_records
        if world.chance(self.weather.read_odd):
            world.sometimes["read cut short"] += 1
            limit = world.random.randrange(4)
            world.at(world.between(0, 0.005), self._ring)
        records = store.records[start : start + limit]
        if self._posing_as == "too_new" and records and self.newer is None:
            records = self._by_a_newer_build(records)
        return Batch(records, records[-1].position + 1 if records else position)

    def _by_a_newer_build(self, records: list[Record]) -> list[Record]:
        """The same, but for one record that this node's build is too old to read."""
        ours = [
            number
            for number, record in enumerate(records)
            if _FORMAT in record.value and b'"operation":"GENESIS"' not in record.value
        ]
        if not ours:
            return records
        number = self._world.random.choice(ours)
        record = records[number]
        self.newer = record.position
        newer = record._replace(value=record.value.replace(_FORMAT, b'"format":99,'))
        return [*records[:number], newer, *records[number + 1 :]]

    def peek(self, position: int) -> Record | None:
        """See `base.Log`."""
        self._reach(self.weather.read_fails)
        index = self._store.index(position)
        found = self._store.records[index : index + 1]
        if not found or found[0].position != position or position < self._store.first:
            return None
        if self._posing_as == "another record":
            return found[0]._replace(value=b"another")
        return found[0]

    def look(self) -> StoreLook:
        """See `base.Log`."""
        return StoreLook(self._store)

    def bounds(self) -> Bounds:
        """See `base.Log`."""
        self._reach(0.0)
        if self._posing_as == "log_rewound":
            return Bounds(0, 0)
        if self._posing_as == "log_gap":
            return Bounds(self._end, self._end)
        return Bounds(self._store.first, self._end)

    @property
    def _end(self) -> int:
        return self._store.end

    def identity(self) -> Identity:
        """See `base.Log`."""
        self._reach(self.weather.read_fails)
        other = self._posing_as == "wrong_log"
        return Identity("memory", "another" if other else "simulated", "")

    def trim(self, position: int) -> None:
        """See `base.Log`; a run keeps its whole log."""
        raise Halt(
            "log_gap", f"nobody trims a simulated log, and not to {position}", "Run it whole"
        )

    def doorbell(self) -> int | None:
        """See `base.Log`; the number names the bell to the simulated loop only."""
        return 0

    def close(self) -> None:
        """See `base.Log`."""
        self._closed = True
        if self._ring in self._store.bells:
            self._store.bells.remove(self._ring)

    def _reach(self, fails: float) -> None:
        if self._closed:
            raise LogClosed("the log is closed")
        if not self._reachable() or self._world.chance(fails):
            self._world.sometimes["log not reachable"] += 1
            raise LogUnavailable("the log is not reachable")


def _tell_unknown(pending: list[Pending]) -> None:
    for one in pending:
        one.settle(AppendUnknown("no acknowledgement came"))


def _nothing(_: object) -> None:
    """A call of the world gives nothing back."""
