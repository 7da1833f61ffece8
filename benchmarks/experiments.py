"""How each row is measured: servers that stay, and one measurement a round.

An experiment is a context that yields its measurement. Each call measures what is compared one
after the other, so that both see the same state of the machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks import load
from benchmarks.apply_cost import apply_cost
from benchmarks.bare import make_file
from benchmarks.catch_up import catch_up
from benchmarks.failover import failover
from benchmarks.idle import idle
from benchmarks.many_rows import killed, many_rows
from benchmarks.nodes import Place, bare, call, seed, serve, until_equal
from benchmarks.pocketbase import pocketbase
from benchmarks.raw import RawReads, RoundTrip, fsync_p50_ms, per_s
from benchmarks.report import Sample, Samples
from clusterlite import Node
from clusterlite.examples.users import User

Measure = Callable[[], Samples]
GETS_A_SECOND: Final = 10_000
"""Calls of one measurement of the embedded library, for each second that it may take."""


@dataclass(frozen=True)
class Experiment:
    """Rows that are measured together.

    Args:
        rows: their names.
        opened: everything it needs, ready and warm; gives the measurement of one round.
        rounds: at most so many.
        warm_up: whether a measurement goes before the first round.
    """

    rows: tuple[str, ...]
    opened: Callable[[Place], AbstractContextManager[Measure]]
    rounds: int | None = None
    warm_up: bool = True


@contextmanager
def reads(place: Place) -> Iterator[Measure]:
    """One row by key."""
    with bare(place, "reads") as plain, serve(place, "reads") as node:
        seed(node.port)

        def measure() -> Samples:
            against = load.reads(plain, 32, place.seconds)
            ours = load.reads(node.port, 32, place.seconds)
            return {"reads": Sample(ours.per_s, against.per_s)}

        yield measure


@contextmanager
def create(place: Place) -> Iterator[Measure]:
    """One client on the embedded log, and the two things that it cannot do without."""
    with bare(place, "create") as plain, serve(place, "create") as node:

        def measure() -> Samples:
            against = load.reads(plain, 1, place.seconds).p50_ms
            against += fsync_p50_ms(place.folder, place.seconds / 2)
            ours = load.creates(node.port, 1, place.seconds).p50_ms
            return {"create": Sample(ours, against)}

        yield measure


@contextmanager
def create_kafka(place: Place) -> Iterator[Measure]:
    """One client on Kafka, and the two things that it cannot do without."""
    log = place.kafka("create")
    with ExitStack() as stack:
        plain = stack.enter_context(bare(place, "create-kafka"))
        node = stack.enter_context(serve(place, "create-kafka", log))
        trip = stack.enter_context(closing(RoundTrip(place.brokers, "round-trip")))

        def measure() -> Samples:
            against = load.reads(plain, 1, place.seconds).p50_ms
            against += trip.p50_ms(place.seconds)
            ours = load.creates(node.port, 1, place.seconds).p50_ms
            return {"create-kafka": Sample(ours, against)}

        yield measure


def _creates(name: str, *, kafka: bool) -> Callable[[Place], AbstractContextManager[Measure]]:
    @contextmanager
    def opened(place: Place) -> Iterator[Measure]:
        log = place.kafka(name) if kafka else ""
        with bare(place, name) as plain, serve(place, name, log) as node:

            def measure() -> Samples:
                against = load.reads(plain, 64, place.seconds)
                ours = load.creates(node.port, 64, place.seconds)
                return {name: Sample(ours.per_s, against.per_s)}

            yield measure

    return opened


@contextmanager
def overload(place: Place) -> Iterator[Measure]:
    """Ten times the clients, and what is left of it once they have gone."""
    with serve(place, "overload") as node:

        def measure() -> Samples:
            before = load.creates(node.port, 64, place.seconds).per_s
            during = load.creates(node.port, 640, place.seconds).per_s
            after = load.creates(node.port, 64, place.seconds).per_s
            return {
                "overload": Sample(during, before),
                "overload-after": Sample(after, before),
            }

        yield measure


@contextmanager
def three(place: Place) -> Iterator[Measure]:
    """Three nodes on one topic; one of them takes every create."""
    log = place.kafka("three")
    with ExitStack() as stack:
        plain = stack.enter_context(bare(place, "three"))
        nodes = [stack.enter_context(serve(place, f"three-{each}", log)) for each in (1, 2, 3)]
        ports = [node.port for node in nodes]

        def measure() -> Samples:
            against = load.reads(plain, 64, place.seconds)
            ours = load.creates(ports[0], 64, place.seconds)
            equal_s = until_equal(ports)
            return {
                "creates-three": Sample(ours.per_s, against.per_s),
                "equal-three": Sample(equal_s),
            }

        yield measure


def _strong(name: str, *, kafka: bool) -> Callable[[Place], AbstractContextManager[Measure]]:
    @contextmanager
    def opened(place: Place) -> Iterator[Measure]:
        log = place.kafka(name) if kafka else ""
        with serve(place, name, log) as node:
            seed(node.port)
            level = ("ClusterLite-Consistency", "strong")

            def measure() -> Samples:
                against = load.creates(node.port, 32, place.seconds)
                ours = load.reads(node.port, 32, place.seconds, header=level)
                return {name: Sample(ours.per_s, against.per_s)}

            yield measure

    return opened


@contextmanager
def session(place: Place) -> Iterator[Measure]:
    """Reads with and without a token, at the node that gave it; second by second in turn.

    Two of the same lie further apart than what is looked for, if each is measured in one piece.
    """
    with serve(place, "session-reads") as node:
        seed(node.port)
        status = call(node.port, "GET", "/-/cluster")
        token = ("ClusterLite-Token", f"{status['cluster']}:{status['position']}")

        def measure() -> Samples:
            ours = against = 0.0
            for number in range(2 * place.seconds):
                if number % 4 in {0, 3}:
                    against += load.reads(node.port, 32, 1).per_s
                else:
                    ours += load.reads(node.port, 32, 1, header=token).per_s
            return {"session-reads": Sample(ours / place.seconds, against / place.seconds)}

        yield measure


@contextmanager
def against_pocketbase(place: Place) -> Iterator[Measure]:
    """Creates and reads, here and there."""
    with pocketbase(place) as other, serve(place, "pocketbase-ours") as node:
        seed(node.port)

        def measure() -> Samples:
            seconds = place.seconds
            reads = load.reads(other.port, 32, seconds, f"{other.path}/").per_s
            creates = load.creates(other.port, 64, seconds, other.path).per_s
            return {
                "pocketbase-reads": Sample(load.reads(node.port, 32, seconds).per_s, reads),
                "pocketbase-creates": Sample(load.creates(node.port, 64, seconds).per_s, creates),
            }

        yield measure


@contextmanager
def get(place: Place) -> Iterator[Measure]:
    """`Node.get`, in this process, on the folder that a served node filled and left."""
    path = place.folder / "get.db"
    make_file(path)
    with serve(place, "get") as served:
        seed(served.port)
    with Node(served.data, entities=[User]) as node, closing(RawReads(path)) as raw:
        keys = [load.key(random.randrange(load.ROWS)) for _ in range(GETS_A_SECOND * place.seconds)]

        def measure() -> Samples:
            against = per_s(raw.get, keys)
            return {"get": Sample(per_s(lambda key: node.get(User, key), keys), against)}

        yield measure


EXPERIMENTS: Final = (
    Experiment(("reads",), reads),
    Experiment(("create",), create),
    Experiment(("creates",), _creates("creates", kafka=False)),
    Experiment(("overload", "overload-after"), overload),
    Experiment(("get",), get),
    Experiment(("session-reads",), session),
    Experiment(("strong-reads",), _strong("strong-reads", kafka=False)),
    Experiment(("pocketbase-creates", "pocketbase-reads"), against_pocketbase),
    Experiment(
        ("catch-up", "catch-up-rows", "catch-up-rate", "catch-up-memory"), catch_up, warm_up=False
    ),
    Experiment(("apply-cost",), apply_cost, warm_up=False),
    Experiment(("create-kafka",), create_kafka),
    Experiment(("creates-kafka",), _creates("creates-kafka", kafka=True)),
    Experiment(("strong-reads-kafka",), _strong("strong-reads-kafka", kafka=True)),
    Experiment(("creates-three", "equal-three"), three),
    Experiment(
        ("idle-memory", "idle-cpu", "idle-open-memory", "idle-open-cpu"),
        idle,
        rounds=1,
        warm_up=False,
    ),
    Experiment(("many-reads", "many-writes", "many-start"), many_rows),
    Experiment(("killed-start",), killed, warm_up=False),
    Experiment(("failover", "failover-plain"), failover, warm_up=False),
)
