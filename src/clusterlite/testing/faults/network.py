"""Faults of the network between nodes and brokers: by links of TCP, and by packets that are lost.

A link (`cluster.links`) breaks what passes through it. Packets are lost by nftables in a network
namespace of the run's own, which takes root: nothing of the machine's own network is touched, and
the rules go with the run. There everything still listens on loopback only.
"""

from __future__ import annotations

import ctypes
import os
import random
import subprocess
import time
from typing import Final

from clusterlite.testing.cluster.jars import fetch_jars
from clusterlite.testing.faults.operator import Kind, Operator

LINK_S: Final = 6.0
PACKETS_S: Final = 12.0
"""Longer than a write waits for its outcome."""

_TABLE: Final = "clusterlite_faults"
_CLONE_NEWNET: Final = 0x40000000


class NetworkMissing(Exception):
    """No network namespace can be had here; says why."""


def enter_own_network() -> None:
    """Go into a network namespace that has a loopback and nothing else, for good.

    Processes and threads that are started later are in it too.

    Raises:
        NetworkMissing: it cannot be made, or has no packet filter.
    """
    fetch_jars()  # from here on there is no network to fetch them from
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise NetworkMissing(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    _run("ip", "link", "set", "lo", "up")
    _run("nft", "add", "table", "inet", _TABLE)


class Network:
    """Faults of links and packets.

    Args:
        operator: acts on the nodes.
        chance: picks what is cut.
        filtered: whether `enter_own_network` was done.
    """

    def __init__(self, operator: Operator, chance: random.Random, *, filtered: bool) -> None:
        self._operator = operator
        self._chance = chance
        self._filtered = filtered

    def kinds(self) -> dict[str, Kind]:
        """What can be made here."""
        every = self._operator.every
        cluster = self._operator.cluster
        found: dict[str, Kind] = {}
        if cluster.links:
            found |= {
                "link cut": Kind(lambda node: self._break(node, "cut"), every),
                "link deaf": Kind(lambda node: self._break(node, "deaf"), every),
                "link mute": Kind(lambda node: self._break(node, "mute"), every),
                "link half-open": Kind(lambda node: self._break(node, "half-open"), every),
                "link slow": Kind(lambda node: self._break(node, "slow"), every),
                "link refused": Kind(lambda node: self._break(node, "refused"), every),
            }
        if cluster.links and self._filtered:
            found |= {
                "packets lost": Kind(lambda node: self._lose(node, "sport", "dport"), every),
                "packets to brokers lost": Kind(lambda node: self._lose(node, "dport"), every),
                "packets from brokers lost": Kind(lambda node: self._lose(node, "sport"), every),
                "packets refused": Kind(self._refuse, every),
                "all cut off from brokers": Kind(lambda _: self._lose_all()),
            }
        if self._filtered and len(cluster.kafka.brokers) > 1:
            found["broker cut off from brokers"] = Kind(lambda _: self._lose_between_brokers())
        return found

    def _break(self, node: int, mode: str) -> None:
        self._operator.cluster.links[node].set(mode)
        time.sleep(LINK_S)
        self._operator.cluster.links[node].set("open")

    def _lose(self, node: int, *sides: str) -> None:
        """Drop what goes to the doors of its link (dport), or what comes from there (sport)."""
        ports = self._operator.cluster.links[node].ports
        self._filter([f"tcp {side} {_set(ports)} drop" for side in sides])

    def _refuse(self, node: int) -> None:
        ports = self._operator.cluster.links[node].ports
        self._filter([f"tcp dport {_set(ports)} reject with tcp reset"])

    def _lose_all(self) -> None:
        ports = [port for links in self._operator.cluster.links for port in links.ports]
        self._filter([f"tcp dport {_set(ports)} drop", f"tcp sport {_set(ports)} drop"])

    def _lose_between_brokers(self) -> None:
        """The others cannot reach one, its followers neither; it reaches them, as do clients."""
        broker = self._chance.choice(self._operator.cluster.kafka.brokers)
        self._filter([f"tcp dport {broker.port} drop"])

    def _filter(self, rules: list[str]) -> None:
        chain = f"inet {_TABLE} broken"
        hook = "{ type filter hook input priority 0; }"
        _nft(f"add chain {chain} {hook}", *(f"add rule {chain} {rule}" for rule in rules))
        try:
            time.sleep(PACKETS_S)
        finally:
            self.heal()

    def heal(self) -> None:
        """Take every rule away, and open every link."""
        if self._filtered:
            _nft(f"flush table inet {_TABLE}")
        for link in self._operator.cluster.links:
            link.set("open")


def _set(ports: list[int]) -> str:
    return "{ " + ", ".join(map(str, ports)) + " }"


def _nft(*lines: str) -> None:
    _run("nft", *"; ".join(lines).split(" "))


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NetworkMissing(f"no {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise NetworkMissing(done.stderr.strip() or f"{command[0]} failed")
