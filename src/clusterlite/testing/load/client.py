"""A client: its requests go to any node, and what it was told goes into a recorder.

It carries its token, so all it does is one session. A write with a key is sent again, to another
node each time, until its fate is known or it has been tried for long enough; what is still unknown
then is settled after the load. A write without a key is sent once.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from clusterlite.testing.history import Call, Recorder
from clusterlite.testing.load.connection import Answer, Connection
from clusterlite.testing.load.told import Told, of_event, of_read, of_write, position_of

RETRY_S: Final = 0.1
TRIED_S: Final = 20.0
"""How long a write with a key is sent again."""

SETTLE_S: Final = 60.0

PATIENCE_S: Final = (2.0, 5.0, 20.0)
"""How long an answer is waited for, one of these: the impatient ask elsewhere meanwhile."""

FINAL: Final = frozenset({"invalid", "key_reused", "malformed", "record_too_large", "too_large"})
"""Refusals that no other node would take back."""

Row = Mapping[str, Any]


class Tally:
    """What all clients of a load count together.

    `answers` by status, of retries too, 0 for none; `doubted` are the writes that were unknown
    for a time, or still are.
    """

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        self.doubted: list[Call] = []


class Write(NamedTuple):
    """A request as it is sent, however often."""

    method: str
    path: str
    body: Any
    headers: dict[str, str]


class Doubt(NamedTuple):
    """A write of unknown fate, that has a key or an event id to ask by."""

    call: Call
    write: Write


class Client:
    """One client, which does one thing after another.

    Args:
        name: its session in the history.
        ports: on loopback: of nodes, of a balancer.
        recorder: where all it asks and is told is noted.
        chance: of its choices.
        tally: of all clients.
    """

    def __init__(
        self,
        name: str,
        ports: Sequence[int],
        recorder: Recorder,
        chance: random.Random,
        tally: Tally,
    ) -> None:
        self.name = name
        self.chance = chance
        self._recorder = recorder
        self._tally = tally
        self._links = [Connection(port, tally.answers) for port in ports]
        self._at = 0
        self.token: str | None = None
        self.doubts: list[Doubt] = []
        """Writes of unknown fate, for `settle`."""

    def other(self, name: str) -> Client:
        """Another client at the same node, with connections and a session of its own."""
        chance = random.Random(self.chance.getrandbits(64))
        ports = [link.port for link in self._links]
        client = Client(name, ports, self._recorder, chance, self._tally)
        client._at = self._at
        return client

    async def close(self) -> None:
        """Let go of its connections."""
        for link in self._links:
            await link.close()

    def hop(self) -> None:
        """Go on at another node, where there is one."""
        others = [index for index in range(len(self._links)) if index != self._at]
        self._at = self.chance.choice(others or [0])

    def unique(self) -> str:
        """A value that nobody else writes."""
        return f"{self.name}-{self.chance.getrandbits(64):016x}"

    # Reading.

    async def read(self, table: str, key: str, level: str = "session") -> Told:
        """One row."""
        call = self._begin("read", {"table": table, "key": key}, level)
        return await self._read(call, f"/{table}/{quote(key)}?_consistency={level}", level)

    async def list(self, table: str, level: str = "session") -> Told:
        """All rows of a table that has at most a thousand, as of one snapshot."""
        call = self._begin("list", {"table": table}, level)
        return await self._read(call, f"/{table}?_limit=1000&_consistency={level}", level)

    async def _read(self, call: Call, path: str, level: str) -> Told:
        carried = {"ClusterLite-Token": self.token} if self.token and level == "session" else {}
        told = of_read(await self._ask("GET", path, headers=carried))
        self._learn(told)
        if told.status == "done":
            call.done(position=told.position, version=told.version, value=told.value)
        else:
            call.failed()
        return told

    # Writing.

    async def create(self, table: str, row: Row, key: str | None = None) -> Told:
        """POST of a row."""
        request = {"table": table, "row": row}
        return await self._write("create", request, "POST", f"/{table}", row, None, key)

    async def put(
        self, table: str, row: Row, key: str | None = None, condition: Row | None = None
    ) -> Told:
        """PUT of a row with its id; `condition` as an event spells `if`."""
        request = {"table": table, "row": row} | ({"if": condition} if condition else {})
        body = {name: value for name, value in row.items() if name != "id"}
        path = f"/{table}/{quote(row['id'])}"
        return await self._write("put", request, "PUT", path, body, condition, key)

    async def patch(
        self,
        table: str,
        row: str,
        fields: Row,
        key: str | None = None,
        condition: Row | None = None,
    ) -> Told:
        """PATCH of some fields."""
        request = {"table": table, "key": row, "fields": fields}
        request |= {"if": condition} if condition else {}
        path = f"/{table}/{quote(row)}"
        return await self._write("patch", request, "PATCH", path, fields, condition, key)

    async def delete(
        self, table: str, row: str, key: str | None = None, condition: Row | None = None
    ) -> Told:
        """DELETE of a row."""
        request = {"table": table, "key": row} | ({"if": condition} if condition else {})
        path = f"/{table}/{quote(row)}"
        return await self._write("delete", request, "DELETE", path, None, condition, key)

    async def transaction(self, changes: Sequence[Row], key: str | None = None) -> Told:
        """Changes as an event spells them, the ids in their data."""
        request, path = {"changes": list(changes)}, "/-/transaction"
        return await self._write("transaction", request, "POST", path, request, None, key)

    async def _write(
        self,
        kind: str,
        request: Row,
        method: str,
        path: str,
        body: Any,
        condition: Row | None,
        key: str | None,
    ) -> Told:
        headers = _headers(condition, key)
        write = Write(method, path, body, headers)
        call = self._begin(kind, request)
        told = _kept(await self._tried(write, call), call)
        note(call, told)
        if told.status == "unknown" and (key is not None or told.event is not None):
            self.doubts.append(Doubt(call, write))
        return told

    async def _tried(self, write: Write, call: Call) -> Told:
        """Send it, and again where that is safe."""
        loop = asyncio.get_running_loop()
        until = loop.time() + TRIED_S
        before = Told("failed")
        while True:
            told = of_write(await self._send(write), keyed="Idempotency-Key" in write.headers)
            self._learn(told)
            if told.status == "unknown" and before.status != "unknown":
                self._tally.doubted.append(call)
            before = after(before, told)
            again = "Idempotency-Key" in write.headers and before.status in {"unknown", "failed"}
            if not again or told.code in FINAL or loop.time() > until:
                return before
            self.hop()
            await asyncio.sleep(RETRY_S)

    async def _send(self, write: Write) -> Answer | None:
        return await self._ask(write.method, write.path, write.body, write.headers)

    async def _ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer | None:
        wait_s = self.chance.choice(PATIENCE_S)
        return await self._links[self._at].request(method, path, body, headers, wait_s)

    def _begin(self, kind: str, request: Row, level: str = "eventual") -> Call:
        node = str(self._links[self._at].port)
        return self._recorder.begin(self.name, kind, request, node=node, level=level)

    def _learn(self, told: Told) -> None:
        """Keep the newest token."""
        if (position_of(told.token) or -1) > (position_of(self.token) or -1):
            self.token = told.token

    # Settling.

    async def settle(self) -> None:
        """Make what is unknown definite, as far as that can be, and note it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SETTLE_S
        for doubt in self.doubts:
            told = await self._settled(doubt)
            while told.status in {"unknown", "failed"} and loop.time() < until:
                self.hop()
                await asyncio.sleep(RETRY_S)
                told = await self._settled(doubt)
            if told.status not in {"unknown", "failed"}:
                note(doubt.call, told)
        self.doubts.clear()

    async def _settled(self, doubt: Doubt) -> Told:
        event = doubt.call.operation.event
        if event is None:  # only the write itself can learn its event's id
            return _kept(of_write(await self._send(doubt.write)), doubt.call)
        path = f"/-/events/{event}"
        told = of_event(await self._ask("GET", path), event)
        if told.status == "unknown":
            told = of_event(await self._ask("POST", f"{path}/settle"), event)
        return told


def after(before: Told, told: Told) -> Told:
    """What is known of a write after one more try of it.

    That a try did not happen says nothing of those before it; that the write did not, does.
    """
    told = told._replace(event=told.event or before.event)
    if before.status == "unknown" and (told.status == "unknown" or _is_of_a_try(told)):
        return before._replace(event=told.event)
    return told


def _is_of_a_try(told: Told) -> bool:
    return told.status == "failed" and not told.whole


def note(call: Call, told: Told) -> None:
    """Note what was told of a write."""
    facts = {"event": told.event}
    if told.status == "done":
        call.done(position=told.position, version=told.version, value=told.value, event=told.event)
    elif told.status == "rejected":
        call.rejected(
            str(told.code), position=told.position, version=told.version, event=told.event
        )
    elif told.status == "never":
        call.never(**facts)
    elif told.status == "failed":
        call.failed(**facts)
    else:
        call.unknown(**facts)


def _kept(told: Told, call: Call) -> Told:
    """Without what an answer says of no row of the operation."""
    kind = call.operation.kind
    if kind == "transaction":
        return told._replace(value=None, version=None)
    return told._replace(version=None) if kind == "delete" and told.status == "done" else told


def _headers(condition: Row | None, key: str | None) -> dict[str, str]:
    headers = {} if key is None else {"Idempotency-Key": key}
    if condition is None:
        return headers
    if "absent" in condition:
        return headers | {"If-None-Match": "*"}
    return headers | {"If-Match": f'"{condition["version"]}"' if "version" in condition else "*"}
