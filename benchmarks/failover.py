"""One of three nodes behind Nginx is killed under load: what clients see of it.

Three nodes on one embedded log, the configuration that `deploy/` ships, and three kinds of clients
that never retry by themselves: reads, creates with an `Idempotency-Key`, creates without one. What
Nginx may send again, nobody sees fail; of the last kind those fail that were in flight.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple
from uuid import uuid4

from benchmarks.nodes import Missing, Place, answers, call, seed, serve, until_equal, wait
from benchmarks.report import Sample, Samples
from clusterlite.testing.cluster.kafka import free_ports
from clusterlite.testing.cluster.nginx import Nginx, NginxMissing

CLIENTS: Final = 4
"""Of each kind."""

ANSWER_S: Final = 60.0
_JSON: Final = {"Content-Type": "application/json"}


class Seen(NamedTuple):
    """What one client saw.

    Args:
        statuses: how often each came; 0 for no answer.
        created: ids of the rows whose creation was acknowledged.
    """

    statuses: Counter[int]
    created: list[str]


@contextmanager
def failover(place: Place) -> Iterator[Callable[[], Samples]]:
    """Another node is killed in each round, and started again at its end."""
    log = f"file:{place.folder / 'failover' / 'log'}"
    (place.folder / "failover").mkdir()
    with ExitStack() as stack:
        nodes = [stack.enter_context(serve(place, f"failover-{each}", log)) for each in (1, 2, 3)]
        ports = [node.port for node in nodes]
        seed(ports[0])
        (port,) = free_ports(1)
        try:
            nginx = Nginx(place.folder / "failover" / "nginx", port, ports)
        except NginxMissing as error:
            raise Missing(str(error)) from error
        nginx.start()
        stack.callback(nginx.stop)
        wait(lambda: answers(port, "/users?_limit=1"), "Nginx")
        rounds = 0

        def measure() -> Samples:
            nonlocal rounds
            rounds += 1
            killed = nodes[rounds % 3]
            until = time.monotonic() + 2 * place.seconds
            with ThreadPoolExecutor(3 * CLIENTS) as pool:
                clients = {
                    kind: [pool.submit(_client, port, kind, until) for _ in range(CLIENTS)]
                    for kind in ("read", "keyed", "plain")
                }
                time.sleep(place.seconds)
                assert killed.process is not None
                os.killpg(killed.process.pid, signal.SIGKILL)
                killed.process.wait()
                seen = {kind: [each.result() for each in some] for kind, some in clients.items()}
            killed.start()
            wait(killed.ready, killed.name)
            until_equal(ports)
            _check(ports[0], seen)
            return {
                "failover": Sample(sum(map(_failed, seen["read"] + seen["keyed"]))),
                "failover-plain": Sample(sum(map(_failed, seen["plain"]))),
            }

        yield measure


def _client(port: int, kind: str, until: float) -> Seen:
    """One request after the other, on a connection that is made anew where it broke."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    seen = Seen(Counter(), [])
    while time.monotonic() < until:
        row = {"id": str(uuid4()), "name": kind, "email": f"{uuid4()}@example.com"}
        try:
            if kind == "read":
                connection.request("GET", "/users?_limit=1")
            else:
                key = {"Idempotency-Key": row["id"]} if kind == "keyed" else {}
                connection.request("POST", "/users", json.dumps(row), _JSON | key)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            connection.close()
            status = 0
        seen.statuses[status] += 1
        if status == 201:
            seen.created.append(row["id"])
    connection.close()
    return seen


def _failed(seen: Seen) -> int:
    return sum(count for status, count in seen.statuses.items() if not 200 <= status < 300)


def _check(port: int, seen: dict[str, list[Seen]]) -> None:
    """Tell what was seen, and look whether every row that was acknowledged is there."""
    for kind, clients in seen.items():
        statuses = dict(sum((each.statuses for each in clients), Counter()))
        print(f"bench: failover: {kind}: {statuses}", file=sys.stderr)
        for key in (key for each in clients for key in each.created):
            call(port, "GET", f"/users/{key}")
