"""What other programs write into the log: records that no node may stumble over.

Nothing here stops a cluster. Some of it changes rows, since the topic is an open interface.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

from clusterlite.testing.history.records import DEPTH_MAX

_BROKEN: Final = (
    b"",
    b"\xff\xfe{",
    b'{"id":"x","data":{"id":NaN}}',
    b'{"id":"x","id":"y"}',
    b'["INSERT"]',
    b'{"operation":"\\ud800"}',
    b'{"x":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1),
)


def poison(random: Random, cluster: str, keys: int, known: list[str]) -> tuple[str, bytes]:
    """A record of somebody else.

    Args:
        random: every choice.
        cluster: whose log it is.
        keys: of rows that clients use, from `k0` on.
        known: ids of events that the log has.

    Returns:
        Which kind, and its bytes.
    """
    kind = random.choice(tuple(_KINDS))
    if kind == "broken bytes":
        return kind, random.choice(_BROKEN)
    envelope: dict[str, Any] = {
        "id": f"poison-{random.getrandbits(40):010x}",
        "operation": "UPDATE",
        "table_name": "accounts",
        "data": {"id": f"k{random.randrange(keys)}", "balance": random.randrange(1000)},
        "timestamp": "2026-11-22T20:00:00.123456Z",
        **_KINDS[kind],
    }
    if kind == "an id that is taken" and known:
        envelope |= {"id": random.choice(known), "cluster": "another"}
    elif kind == "a shape that nobody knows":
        envelope["cluster"] = cluster
    elif kind == "a wrong type":
        envelope["data"]["balance"] = random.choice(("much", True, [1], 2**70, 1.5))
    elif kind == "a program without a format":
        envelope["operation"] = random.choice(("INSERT", "UPDATE", "DELETE"))
    return kind, json.dumps(envelope).encode()


_OURS: Final = {"format": 1, "node": "elsewhere", "after": -1}

_KINDS: Final[dict[str, dict[str, Any]]] = {
    "broken bytes": {},
    "another cluster": {**_OURS, "cluster": "another"},
    "another cluster's format": {**_OURS, "cluster": "another", "format": 99},
    "an id that is taken": {**_OURS, "cluster": "another"},
    "a shape that nobody knows": {**_OURS, "operation": "EXPLODE"},
    "a wrong type": {},
    "a program without a format": {},
}
