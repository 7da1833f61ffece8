"""One run: a plan, nodes, clients and faults from a seed; then quiet, then the verdict."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from clusterlite.core.registry import EntityRegistry
from clusterlite.log.base import Record
from clusterlite.testing.history import Operation, Recorder, Replica, Violation, check
from clusterlite.testing.history.model import Model
from clusterlite.testing.simulator import operator
from clusterlite.testing.simulator.afterwards import duplicates
from clusterlite.testing.simulator.client import ENTITIES, KINDS, Client
from clusterlite.testing.simulator.log import Store
from clusterlite.testing.simulator.node import STEPS, SimulatedNode
from clusterlite.testing.simulator.others import Others
from clusterlite.testing.simulator.plan import Plan, draw
from clusterlite.testing.simulator.world import World

REGISTRY: Final = EntityRegistry(ENTITIES)

LIMIT_S: Final = 3_600.0
"""Virtual time that all operations of a run may take."""

FOUND_S: Final = 600.0
"""Virtual time in which a replica that is wrong must find that out, and be repaired."""

SETTLED_S: Final = 20.0
"""Virtual time in which nodes that can tell who is right are through with it."""

HEAL_S: Final = 120.0
"""Virtual time in which all nodes must be ready and equal once nothing fails any more."""

STEPS_MAX: Final = 100_000
"""Of the search for an order; where the log's explains all, it takes one an operation."""

_FAST: Final = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there


@dataclass(frozen=True)
class Report:
    """What a run found.

    Args:
        seed: to repeat it.
        operations: that clients asked for.
        violations: of what is promised; empty in a good run.
        sometimes: how often what happened.
        history: what clients asked and were told.
        records: the log.
        lines: what happened besides, with its time.
    """

    seed: int
    operations: int
    violations: list[str]
    sometimes: Counter[str]
    history: list[Operation]
    records: list[Record]
    lines: list[str]

    @property
    def digest(self) -> str:
        """Of all that happened: equal for equal runs, and for no others."""
        trace = blake2b(digest_size=16)
        for part in (self.lines, self.history, self.records, self.violations):
            for item in part:
                trace.update(f"{item}\n".encode())
        return trace.hexdigest()


def run(seed: int, operations: int, plan: Plan | None = None) -> Report:
    """Run a seed.

    Args:
        seed: of every choice.
        operations: that the clients do together; reads before a transfer come on top.
        plan: instead of the one that the seed draws.
    """
    base = str(_FAST) if _FAST.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="clusterlite-simulator-", dir=base))
    simulation = Simulation(seed, operations, folder, plan)
    try:
        return simulation.run()
    finally:
        simulation.close()
        shutil.rmtree(folder, ignore_errors=True)


class Simulation:
    """One run's parts.

    Args:
        seed: of every choice.
        operations: that the clients do together; reads before a transfer come on top.
        folder: for the nodes' folders.
        plan: instead of the one that the seed draws.
    """

    def __init__(
        self,
        seed: int,
        operations: int,
        folder: Path,
        plan: Plan | None = None,
    ) -> None:
        self.seed = seed
        self.world = World(seed)
        self.plan = plan or draw(self.world.random)
        self.store = Store(self.world, self.plan)
        self.recorder = Recorder(self.world.clock)
        self.others = Others(self.world, self.store, self.plan, self.recorder)
        self._left = operations
        self._healed = False
        hashes: dict[int, bytes] = {}
        self.nodes = [
            SimulatedNode(
                self.world, self.store, self.plan, f"node-{n}", folder / str(n), REGISTRY, hashes
            )
            for n in range(self.plan.nodes)
        ]
        self.clients = [
            Client(self.world, self.plan, f"c{n}", self.nodes, self.recorder, self._more)
            for n in range(self.plan.clients)
        ]

    def run(self) -> Report:
        """Let it happen, and judge."""
        world, plan = self.world, self.plan
        for node in self.nodes:
            node.start()
        self._tend()
        if not world.run_until(lambda: self._ready(self.nodes[0]), HEAL_S):
            world.violations.append("I12: the first node did not become ready")
        others = self.others
        if not world.violations:
            others.cluster = self.nodes[0].runtime.applier.committed.cluster
            others.set_window()
        for client in self.clients:
            world.at(world.between(0, 0.01), client.begin)
        self._later(plan.crash_every_s, self._crash)
        self._later(plan.cut_every_s, lambda: self._any().cut(world.between(0, 2)))
        self._later(plan.pause_every_s, lambda: self._any().pause(world.between(0, 2)))
        self._later(plan.poison_every_s, others.poison)
        self._later(plan.forge_every_s, others.forge)
        self._later(plan.trim_every_s, lambda: others.trim(self._furthest()))
        if not world.run_until(lambda: self._left <= 0 and not self._busy(), LIMIT_S):
            world.violations.append("I14: the clients did not come to an end")
        self._heal()
        if not world.violations:
            self._live_on()
        world.sometimes.update(duplicates(self.store.records))
        history = self.recorder.history()
        return Report(
            self.seed,
            len(history),
            world.violations + [str(found) for found in self._judged(history)],
            world.sometimes,
            history,
            self.store.records,
            world.lines,
        )

    def _judged(self, history: list[Operation]) -> list[Violation]:
        replicas = [_seen(node) for node in self.nodes if node.alive]
        return check(history, self.store.records, replicas, steps_max=STEPS_MAX)

    def close(self) -> None:
        """Let go of every file."""
        for node in self.nodes:
            if node.alive:
                node.die()

    def _more(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def _busy(self) -> bool:
        return any(client.busy for client in self.clients)

    @staticmethod
    def _ready(node: SimulatedNode) -> bool:
        return node.alive and node.runtime._ready.is_set()

    def _any(self) -> SimulatedNode:
        return self.world.random.choice(self.nodes)

    # Faults.

    def _later(self, every_s: float, call: object) -> None:
        """Do it again and again, at random times, until all is healed."""
        if not every_s or not callable(call):
            return
        world = self.world

        def again() -> None:
            if not self._healed:
                call()
                world.at(world.between(0, 2 * every_s), again)

        world.at(world.between(0, 2 * every_s), again)

    def _crash(self) -> None:
        node, world = self._any(), self.world
        if world.chance(0.1) and node.alive:
            world.sometimes["orderly stop"] += 1
            node.stop()
        else:
            node.crash(world.random.choice(STEPS))

    def _tend(self) -> None:
        """Whoever looks after the nodes: starts what died, and what halted for good."""
        world = self.world
        for node in self.nodes:
            if node.halted and (self._healed or world.chance(0.3)):
                node.stop()
                if node.wrong:
                    operator.reset(node.folder)
                    node.wrong = False
            if not node.alive and (self._healed or world.chance(0.5)):
                self._repair(node)
                node.start()
        world.at(0.2, self._tend)

    def _repair(self, node: SimulatedNode) -> None:
        """What becomes of a node's folder before it is started."""
        world, plan, store = self.world, node.plan, self.store
        if node.halted_for == "log_gap" and store.first:
            # The one cure that there is. Whoever is ahead has all that was trimmed.
            ahead = max((n for n in self.nodes if n is not node), key=lambda n: n.reached)
            if ahead.reached >= store.first - 1:
                operator.restore(node.folder, ahead.folder, world, 0.0)
            return
        if node.reached < 0 or (store.first and node.reached == self._furthest()):
            return  # with it would go what nobody can give back
        if world.chance(plan.damage):
            node.damaged = operator.damage(node.folder)
            world.sometimes["file overwritten"] += 1
        elif world.chance(plan.restore):
            other = self._any()
            if other is not node and other.reached >= store.first - 1:
                operator.restore(node.folder, other.folder, world, plan.restore_dies)

    def _furthest(self) -> int:
        return max(node.reached for node in self.nodes)

    def _live_on(self) -> None:
        """After all is quiet: time passes, late producers write again, a bit flips somewhere."""
        world, plan, others = self.world, self.plan, self.others
        if plan.window_s:
            others.pass_mark()
            others.write_again()
            world.run_until(lambda: False, plan.window_s + 1)
            others.pass_mark()
            others.write_again()
        if plan.flip and not self.store.first:
            self._flip()
        if not world.run_until(self._equal, HEAL_S):
            world.violations.append("I12: nodes are not equal at the end of the log")

    def _flip(self) -> None:
        """A row of one replica is not what the log gives: it must find that out and halt."""
        world, node = self.world, self._any()
        keys = sorted(Model(self.store.records).tables["accounts"].cells)
        if not keys:
            return
        key = world.random.choice(keys)
        node.stop()
        operator.flip(node.folder, "accounts", "balance", key)
        node.wrong = True
        world.sometimes["bit flipped in a row"] += 1
        node.start()
        self.others.patch("accounts", key, {"note": "y"})
        self.others.pass_mark()
        if not world.run_until(lambda: not node.wrong, FOUND_S):
            node.wrong = False
            world.violations.append(f"I5: {node.name} does not find out that it is wrong")

    def _heal(self) -> None:
        """Nothing fails any more: every node must come up, be equal, and have all."""
        self._healed = True
        world = self.world
        quiet = replace(
            Plan(),
            nodes=self.plan.nodes,
            clients=self.plan.clients,
            keys=self.plan.keys,
            at_once=self.plan.at_once,
        )
        for node in self.nodes:
            node.heal(quiet)
        if self.plan.forge_every_s and not world.run_until(self._equal, SETTLED_S):
            # Of a trimmed log nothing can be derived: only a newer checkpoint ends a doubt.
            self.others.put("accounts", {"id": "z", "balance": 0})
            self.others.pass_mark()
        if not world.run_until(self._equal, HEAL_S) and not world.violations:
            for node in self.nodes:
                if not self._caught_up(node):
                    world.violations.append(
                        f"I12: {node.name} is at {node.position} of {self.store.end}, "
                        f"{node.runtime.status()['state']}, though nothing fails any more"
                    )

    def _caught_up(self, node: SimulatedNode) -> bool:
        last = self.store.records[-1].position if self.store.records else -1
        return self._ready(node) and not node.halted and node.position == last

    def _equal(self) -> bool:
        return all(map(self._caught_up, self.nodes))


def _seen(node: SimulatedNode) -> Replica:
    """What is in the node's file."""
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    versions: dict[str, dict[str, int]] = {}
    with node.reader.snapshot() as connection:
        position, running = connection.execute("SELECT position, hash FROM _cl_state").get
        for kind in KINDS:
            if node.runtime.table(kind.table) is None:
                continue
            names = ("id", *kind.names)
            columns = ", ".join(names)
            rows: list[tuple[Any, ...]] = connection.execute(
                f"SELECT _version, {columns} FROM {kind.table}"  # noqa: S608
            ).fetchall()
            versions[kind.table] = {row[1]: row[0] for row in rows}
            tables[kind.table] = {row[1]: dict(zip(names, row[1:], strict=True)) for row in rows}
    return Replica(node.name, position, {"running": running.hex()}, tables, versions)
