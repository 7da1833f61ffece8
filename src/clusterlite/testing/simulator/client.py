"""Clients: what they ask, at which node, and what they do about an answer that does not come.

A client has one request under way. It writes with an event id of its own, as one who sends an
Idempotency-Key does, so it may ask again anywhere, or settle what stays unknown. Messages to a
node and back take time, and some are lost.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, NamedTuple

from clusterlite.core import codec
from clusterlite.core.entity import Entity, Field
from clusterlite.core.event import Change, Condition, Stamp
from clusterlite.core.keys import keyed_event_id
from clusterlite.core.operations import DeclaredOperations
from clusterlite.core.outcome import APPLIED, NEVER, Applied
from clusterlite.errors import ClusterLiteError, KeyReused, NotServing, OutcomeUnknown
from clusterlite.node import keyed
from clusterlite.node.answers import Answer, Reached, Reply, Submission
from clusterlite.node.keyed import call_fingerprint
from clusterlite.replica.reader import Found, Page, Selection
from clusterlite.testing.history import Call, Recorder
from clusterlite.testing.simulator.node import SimulatedNode
from clusterlite.testing.simulator.plan import Plan
from clusterlite.testing.simulator.world import World

WAIT_S: Final = 1.0
PATIENCE_S: Final = 1.5
"""How long a client waits; longer than a node does, so mostly a node's own words reach it."""

TRIES: Final = 4

REUSED_S: Final = 5.0
"""How long after its answer a key is still used for something else, by mistake."""


class Account(Entity, table="accounts"):
    """A register with a balance, and a text that may be missing."""

    balance: int
    note: str | None = None


class Member(Entity, table="members"):
    """A row with a name that no other has, and perhaps an account."""

    name: str = Field(unique=True)
    account: str | None = Field(default=None, references="accounts")


class _Kind:
    def __init__(self, entity: type[Entity]) -> None:
        self.operations = DeclaredOperations(entity)
        self.table = self.operations.table_name
        self.names = [column.name for column in entity.declaration.columns]
        self.selection = Selection(self.table, self.names)


ACCOUNTS: Final = _Kind(Account)
MEMBERS: Final = _Kind(Member)
KINDS: Final = (ACCOUNTS, MEMBERS)
ENTITIES: Final = (Account, Member)

ROWS_MAX: Final = 100_000


class Listed(NamedTuple):
    """All rows of a table, and the position of their snapshot."""

    position: int
    page: Page


Told = Answer | Found | Listed | None
"""What a client hears; None where it waited in vain."""

Steps = Generator[None, Told, Any]


class Refused(ClusterLiteError):
    """Nobody listens there: nothing was sent."""


class Client:
    """One session.

    Args:
        world: gives time and chance.
        plan: of the run.
        name: of the client.
        nodes: any may be asked.
        recorder: of the history.
        more: whether another operation is to be done; counts it.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        name: str,
        nodes: list[SimulatedNode],
        recorder: Recorder,
        more: Callable[[], bool],
    ) -> None:
        self.name = name
        self.busy = False
        self._world = world
        self._plan = plan
        self._nodes = nodes
        self._recorder = recorder
        self._more = more
        self._node = world.random.choice(nodes)
        self._token = -1
        self._versions: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        self._asked = 0
        self._written = 0
        self._judged: tuple[str, str, float] | None = None
        self._life = self._live()

    def begin(self) -> None:
        """Ask for the first time."""
        self.busy = True
        self._go_on(None)

    # What it does all day.

    def _live(self) -> Steps:
        world, random = self._world, self._world.random
        while self._more():
            if world.chance(0.2):
                before, self._node = self._node, random.choice(self._nodes)
                if before is not self._node:
                    world.sometimes["client went to another node"] += 1
            what = random.random()
            if what < 0.55:
                yield from self._read(random.choice((ACCOUNTS, ACCOUNTS, MEMBERS)), self._key())
            elif what < 0.58:
                yield from self._list(random.choice(KINDS))
            elif what < 0.62:
                yield from self._transfer() if random.random() < 0.7 else self._several()
            elif what < 0.65:
                yield from self._put_again()
            elif what < 0.68:
                yield from self._reuse()
            else:
                yield from self._change()
            if self._plan.quiet_s:
                yield from self._sleep(world.between(0, self._plan.quiet_s))
        self.busy = False

    def _key(self) -> str:
        return f"k{self._world.random.randrange(self._plan.keys)}"

    def _change(self) -> Steps:
        """One write of one row, of whatever kind."""
        random = self._world.random
        what = random.random()
        if what < 0.35:
            key = f"{self.name}-{self._written}" if random.random() < 0.7 else self._key()
            kind = ACCOUNTS if random.random() < 0.7 else MEMBERS
            yield from self._write("create", kind, {"id": key, **self._row(kind)})
        elif what < 0.6:
            kind = random.choice((ACCOUNTS, MEMBERS))
            row = {"id": self._key(), **self._row(kind)}
            yield from self._write("put", kind, row, self._condition(kind, row["id"]))
        elif what < 0.85:
            key = self._key()
            fields: dict[str, Any] = {"balance": random.randrange(1000)}
            if random.random() < 0.5:
                fields = {"note": random.choice((None, "x", "é"))}
            condition = self._condition(ACCOUNTS, key)
            yield from self._write("patch", ACCOUNTS, {"id": key, **fields}, condition)
        else:
            kind, key = random.choice((ACCOUNTS, MEMBERS)), self._key()
            yield from self._write("delete", kind, {"id": key}, self._condition(kind, key))

    def _row(self, kind: _Kind) -> dict[str, Any]:
        random = self._world.random
        if kind is ACCOUNTS:
            return {"balance": random.randrange(1000), "note": random.choice((None, "a", "b"))}
        name = self._key() if random.random() < 0.3 else f"{self.name}/{self._written}"
        return {"name": name, "account": self._key() if random.random() < 0.3 else None}

    def _condition(self, kind: _Kind, key: str) -> Condition | None:
        random = self._world.random
        what = random.random()
        if what < 0.5:
            return None
        seen = self._versions.get((kind.table, key))
        if seen is not None and what < 0.9:
            return Condition(version=seen[0])
        return Condition(present=random.random() < 0.5)

    def _transfer(self) -> Steps:
        """Move money between two accounts that were read, in one transaction or not at all."""
        first, second = self._key(), self._key()
        if first == second:
            return
        for key in (first, second):
            yield from self._read(ACCOUNTS, key)
        source = self._versions.get(("accounts", first))
        target = self._versions.get(("accounts", second))
        if source is None or target is None:
            return
        amount = self._world.random.randrange(1, 50)
        changes = [
            Change("PATCH", "accounts", key, {"id": key, "balance": seen[1]["balance"] + more},
                   -1, Condition(version=seen[0]))
            for key, seen, more in ((first, source, -amount), (second, target, amount))
        ]  # fmt: skip
        if self._world.chance(0.3):
            other = Condition(present=self._world.chance(0.5))
            changes.append(Change("ASSERT", "members", first, {"id": first}, -1, other))
        yield from self._transact(changes)

    def _put_again(self) -> Steps:
        """Write a row as it was read."""
        key = self._key()
        yield from self._read(ACCOUNTS, key)
        seen = self._versions.get(("accounts", key))
        if seen is not None:
            yield from self._write("put", ACCOUNTS, dict(seen[1]), Condition(version=seen[0]))

    def _reuse(self) -> Steps:
        """Send another write under a key that has its answer: it must be told so."""
        world = self._world
        if self._judged is None or world.now - self._judged[2] > REUSED_S:
            return
        event, _, _ = self._judged
        data = {"id": f"{self.name}-again-{self._asked}", **self._row(ACCOUNTS)}
        fp = call_fingerprint("create", "accounts", data)

        def make(stamp: Stamp, node: SimulatedNode) -> bytes:
            known = node.runtime.table("accounts")
            schema = -1 if known is None else known.position
            return codec.encode(stamp, "INSERT", "accounts", data, schema=schema)

        node = self._node
        answer = yield from self._ask(lambda reply: self._send(node, event, fp, make, reply, False))
        if not isinstance(answer, Applied):
            return
        try:
            keyed.check_same(event, fp, answer.outcome)
        except KeyReused:
            world.sometimes["key that came with another body"] += 1
            return
        if answer.outcome.verdict != NEVER:
            world.violations.append(
                f"I3: {event} came with another body, and was answered: {answer.outcome}"
            )

    def _several(self) -> Steps:
        """Change a few rows in one transaction, whichever are there: all of them or none."""
        world, random = self._world, self._world.random
        changes = []
        for number in range(random.randint(2, 3)):
            key = f"{self.name}-{self._written}.{number}" if world.chance(0.5) else self._key()
            row = {"id": key, "balance": random.randrange(1000)}
            operation = random.choice(("INSERT", "UPDATE", "PATCH"))
            if operation != "PATCH":
                row["note"] = None
            changes.append(Change(operation, "accounts", key, row))
        yield from self._transact(changes)

    # Reads.

    def _read(self, kind: _Kind, key: str) -> Steps:
        world, node = self._world, self._node
        level = world.random.choice(("eventual", "session", "session", "strong"))
        request = {"table": kind.table, "key": key}
        call = self._recorder.begin(self.name, "read", request, node=node.name, level=level)
        token = self._token if level == "session" else -1
        found = yield from self._ask(
            lambda reply: self._read_at(node, kind.selection, key, level, token, reply)
        )
        if not isinstance(found, Found):
            if isinstance(found, ClusterLiteError):
                world.sometimes[f"read refused {type(found).__name__}"] += 1
            call.failed()
            return
        self._token = max(self._token, found.position)
        row = dict(zip(("id", *kind.names), found.row, strict=True)) if found.row else None
        if row is None or found.version is None:
            self._versions.pop((kind.table, key), None)
        else:
            self._versions[kind.table, key] = found.version, row
        call.done(position=found.position, version=found.version, value=row)

    def _list(self, kind: _Kind) -> Steps:
        """All rows of a table, as of one position."""
        node = self._node
        call = self._recorder.begin(self.name, "list", {"table": kind.table}, node=node.name)

        def look(reply: Callable[[Told], None]) -> None:
            if node.runtime.table(kind.table) is None:
                reply(NotServing("the node has not applied the declaration yet"))
                return
            with node.reader.snapshot():
                position = node.reader.position()
                page = node.reader.page(kind.selection, "", ROWS_MAX)
            reply(Listed(position, page))

        listed = yield from self._ask(look)
        if not isinstance(listed, Listed):
            call.failed()
            return
        self._token = max(self._token, listed.position)
        names = ("id", *kind.names)
        rows = [dict(zip(names, row, strict=True)) for row in listed.page.rows]
        call.done(position=listed.position, value=rows)

    def _read_at(
        self,
        node: SimulatedNode,
        selection: Selection,
        key: str,
        level: str,
        token: int,
        reply: Callable[[Told], None],
    ) -> None:
        """What a worker does with a read."""
        world, boot, engine = self._world, node.boot, node.runtime.engine
        if node.runtime.table(selection.folded) is None:
            reply(NotServing("the node has not applied the declaration yet"))
            return

        def look() -> None:
            if node.alive and node.boot == boot:
                reply(node.reader.get(selection, key))

        def reached(answer: Answer) -> None:
            node.answering()
            if isinstance(answer, Reached):
                world.at(0.0001, look)
            else:
                reply(answer)

        deadline = world.now + WAIT_S
        if level == "strong":
            if engine._tails.under_way:
                world.sometimes["strong read behind a tail under way"] += 1

            def ask() -> None:
                engine.await_tail(deadline, reached)
                if len(engine._tails.waiting) > 1:
                    world.sometimes["barrier shared by several"] += 1

            engine.loop.post(ask)
        elif token > node.position:
            world.sometimes["reader waited for a token"] += 1
            engine.loop.post(lambda: engine.await_position(token, deadline, reached))
        else:
            look()

    # Writes.

    def _write(
        self, kind: str, of: _Kind, data: dict[str, Any], condition: Condition | None = None
    ) -> Steps:
        key = data["id"]
        request: dict[str, Any] = {"table": of.table}
        if kind == "delete":
            request["key"] = key
        elif kind == "patch":
            request |= {"key": key, "fields": {k: v for k, v in data.items() if k != "id"}}
        else:
            request["row"] = data
        if condition is not None:
            request["if"] = condition.to_json()
        operation = {"create": "INSERT", "put": "UPDATE", "patch": "PATCH", "delete": "DELETE"}[
            kind
        ]

        def make(stamp: Stamp, node: SimulatedNode) -> bytes:
            known = node.runtime.table(of.table)
            schema = None if kind == "delete" or known is None else known.position
            return codec.encode(
                stamp, operation, of.table, data, schema=schema, condition=condition
            )

        yield from self._submit(kind, request, make)

    def _transact(self, changes: list[Change]) -> Steps:
        spelled = [
            {"operation": c.operation, "table_name": c.table, "data": c.data}
            | ({} if c.condition is None else {"if": c.condition.to_json()})
            for c in changes
        ]

        def make(stamp: Stamp, node: SimulatedNode) -> bytes:
            known = node.runtime.table("accounts")
            schema = -1 if known is None else known.position
            return codec.encode_transaction(stamp, [c._replace(schema=schema) for c in changes])

        yield from self._submit("transaction", {"changes": spelled}, make)

    def _submit(
        self,
        kind: str,
        request: Mapping[str, Any],
        make: Callable[[Stamp, SimulatedNode], bytes],
    ) -> Steps:
        """Write, ask again where nothing is known, and perhaps settle."""
        world, random = self._world, self._world.random
        self._written += 1
        event = keyed_event_id("simulated", self.name, str(self._written))
        fp = call_fingerprint(kind, str(request.get("table", "")), dict(request))
        call = self._recorder.begin(self.name, kind, request, event=event, node=self._node.name)
        unknown = False
        for attempt in range(random.randint(1, TRIES)):
            if attempt:
                world.sometimes["client asked again"] += 1
                if random.random() < 0.5:
                    self._node = random.choice(self._nodes)
                yield from self._sleep(world.between(0, 0.3))
            node, early = self._node, random.random() < 0.03

            def write(
                reply: Callable[[Told], None], node: SimulatedNode = node, early: bool = early
            ) -> None:
                self._send(node, event, fp, make, reply, early)

            answer = yield from self._ask(write)
            if isinstance(answer, Applied):
                if answer.outcome.fp not in {fp, ""}:  # of a fence, none
                    world.violations.append(f"I3: {event} is told another's outcome")
                self._judged = event, fp, world.now
                self._judge(call, answer)
                return
            if answer is None or not isinstance(answer, ClusterLiteError | Found | Listed):
                unknown = True
                if answer is not None:
                    world.sometimes["early answer"] += 1
            elif isinstance(answer, OutcomeUnknown):
                unknown = True
            else:
                world.sometimes[f"write refused {type(answer).__name__}"] += 1
        if not unknown:
            call.failed()
        elif random.random() < 0.6:
            yield from self._settle(call, event)
        else:
            world.sometimes["left unknown"] += 1
            call.unknown()

    def _send(
        self,
        node: SimulatedNode,
        event: str,
        fp: str,
        make: Callable[[Stamp, SimulatedNode], bytes],
        reply: Callable[[Told], None],
        early: bool,
    ) -> None:
        """What a worker does with a write: look the id up, else make the event and hand it over."""
        earlier = node.reader.fate(event).outcome
        if earlier is not None:
            self._world.sometimes["replayed answer"] += 1
            reply(Applied(earlier, ()))
            return
        stamp = self._stamp(node, event)._replace(fp=fp)
        deadline = self._world.now + WAIT_S
        if event in node.runtime.engine._writes.waited:
            self._world.sometimes["joined a waiter in flight"] += 1
        node.runtime.submit(
            Submission(event, make(stamp, node), _answering(node, reply), deadline, early)
        )

    def _stamp(self, node: SimulatedNode, event: str) -> Stamp:
        runtime = node.runtime
        cluster = runtime.applier.committed.cluster
        now = self._world.timestamp()
        return Stamp(event, now, cluster, node.name, runtime.seen.position)

    def _settle(self, call: Call, event: str) -> Steps:
        """Ask for the outcome, or have the id closed."""
        for _ in range(TRIES):
            node = self._node = self._world.random.choice(self._nodes)

            def fence(reply: Callable[[Told], None], node: SimulatedNode = node) -> None:
                record = codec.encode(self._stamp(node, event), "FENCE")
                deadline = self._world.now + WAIT_S
                node.runtime.submit(Submission(event, record, _answering(node, reply), deadline))

            answer = yield from self._ask(fence)
            if isinstance(answer, Applied):
                never = answer.outcome.verdict == NEVER
                self._world.sometimes["settled as never" if never else "settled as judged"] += 1
                self._judge(call, answer)
                return
            yield from self._sleep(self._world.between(0, 0.5))
        call.unknown()

    def _judge(self, call: Call, answer: Applied) -> None:
        outcome, rows, _ = answer
        self._token = max(self._token, outcome.position)
        if outcome.verdict == NEVER:
            call.never()
        elif outcome.verdict == APPLIED:
            kind = call.operation.kind
            version = outcome.position if kind in {"create", "put", "patch"} else None
            value = None
            if version is not None and rows and rows[0].fields is not None:
                value = {"id": rows[0].key, **rows[0].fields}
            call.done(position=outcome.position, version=version, value=value)
        else:
            if outcome.code == "precondition_failed":
                self._world.sometimes["compare-and-set that lost"] += 1
            self._world.sometimes[f"rejected {outcome.code}"] += 1
            call.rejected(
                outcome.code or outcome.verdict, position=outcome.position, version=outcome.version
            )

    # Messages.

    def _ask(self, request: Callable[[Callable[[Told], None]], None]) -> Steps:
        """Send a request to the node, and wait for its answer as long as patience lasts."""
        self._asked += 1
        number, node, world = self._asked, self._node, self._world

        def hear(told: Told) -> None:
            if self._asked == number:
                self._asked += 1
                self._go_on(told)

        def reply(told: Told) -> None:
            self._carry(lambda: hear(told))

        def arrive() -> None:
            if node.alive:
                request(reply)
            else:
                reply(Refused("connection refused"))

        self._carry(arrive)
        world.at(PATIENCE_S, lambda: hear(None))
        return (yield)

    def _carry(self, message: Callable[[], None]) -> None:
        world = self._world
        if world.chance(self._plan.message_lost):
            world.sometimes["message lost"] += 1
        else:
            world.at(world.between(0.0001, 0.001), message)

    def _sleep(self, seconds: float) -> Steps:
        self._world.at(seconds, lambda: self._go_on(None))
        yield

    def _go_on(self, told: Told) -> None:
        try:
            self._life.send(told)
        except StopIteration:
            self.busy = False


def _answering(node: SimulatedNode, reply: Callable[[Told], None]) -> Reply:
    def answer(told: Answer) -> None:
        node.answering()
        reply(told)

    return answer
