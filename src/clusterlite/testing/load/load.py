"""Clients that run workloads together, until they are told to stop or have done enough."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence

from clusterlite.testing.history import Operation, Recorder
from clusterlite.testing.load.client import Client, Tally
from clusterlite.testing.load.workloads.base import Rows, Workload, tables

NO_STEPS = 1 << 62


class Load:
    """A run of workloads; each client takes a step of one, then of another.

    Args:
        ports: on loopback, of nodes or of a balancer; clients go round them.
        workloads: from which each step is chosen, all alike often.
        clients: how many at once.
        seed: of all choices.
        steps: of all clients together.
        pause_s: of a client between two steps.
    """

    def __init__(
        self,
        ports: Sequence[int],
        workloads: Sequence[Workload],
        clients: int,
        seed: int,
        steps: int = NO_STEPS,
        pause_s: float = 0.0,
    ) -> None:
        self.recorder = Recorder()
        self.workloads = workloads
        self.tally = Tally()
        self.steps = steps
        self.taken = 0
        self.in_flight = 0
        self.stopped = False
        """Set it to have every client end after its present step."""
        self._pause_s = pause_s
        self._ports = ports
        self._seed = seed
        self.clients = [self.client(f"c{number}") for number in range(clients)]

    def client(self, name: str) -> Client:
        """One more client, whose operations stand in the same history."""
        chance = random.Random(f"{self._seed} {name}")
        client = Client(name, self._ports, self.recorder, chance, self.tally)
        client.hop()
        return client

    async def begin(self) -> None:
        """Make the rows that the workloads begin with."""
        for workload in self.workloads:
            await workload.begin(self.clients[0])

    async def run(self) -> None:
        """Step until stopped, or until all steps are taken."""
        await asyncio.gather(*map(self._steps, self.clients))

    async def _steps(self, client: Client) -> None:
        while not self.stopped and self.taken < self.steps:
            self.taken += 1
            self.in_flight += 1
            workload = client.chance.choice(self.workloads)
            await workload.step(client)
            self.in_flight -= 1
            client.hop()
            if self._pause_s:
                await asyncio.sleep(self._pause_s * 2 * client.chance.random())

    async def settle(self) -> None:
        """Make unknown fates definite where that can be."""
        await asyncio.gather(*(client.settle() for client in self.clients))

    async def close(self) -> None:
        """Let go of all connections."""
        for client in self.clients:
            await client.close()

    def judge(self, rows: Mapping[str, Rows]) -> list[str]:
        """What the workloads' own checks say.

        Args:
            rows: of each table at the end, by key.
        """
        history = self.recorder.history()
        return [
            f"{workload.name}: {wrong}"
            for workload in self.workloads
            for wrong in workload.check(of(history, workload.table), rows.get(workload.table, {}))
        ]


def of(history: Sequence[Operation], table: str) -> list[Operation]:
    """The operations on one table."""
    return [operation for operation in history if table in tables(operation)]
