"""The tables that the workloads use; the nodes serve them by `--entities`."""

from __future__ import annotations

from clusterlite import Entity, Field


class User(Entity, table="users"):
    """Of `mixed`; like the sample, so that it runs on any cluster of the sample."""

    name: str = Field(min_length=1, max_length=200)
    email: str = Field(min_length=1, max_length=200)


class Register(Entity, table="registers"):
    """Of `register`: a value that is compared and set."""

    value: str


class Account(Entity, table="accounts"):
    """Of `bank`."""

    balance: int


class Item(Entity, table="items"):
    """Of `set`: a thing that is added once."""

    value: str


class Burst(Entity, table="bursts"):
    """Of `overload`: the same."""

    value: str


class Counter(Entity, table="counters"):
    """Of `counter`."""

    n: int


class Log(Entity, table="lists"):
    """Of `append`: values in the order in which they were added."""

    values: list[str]


class Half(Entity, table="halves"):
    """Of `fork`: rows with one writer each, which counts up."""

    n: int


class Note(Entity, table="notes"):
    """Of `session`: one row a client, which counts up."""

    n: int


class Order(Entity, table="orders"):
    """Of `retry`: a row for each key."""

    mark: str
