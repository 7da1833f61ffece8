"""Histories: what clients asked and were told, recorded and checked against the log.

Nothing in here imports the rest of the package, so that a bug of the product is not shared by
what judges it: the rules are written again, from the documents.
"""

from __future__ import annotations

from clusterlite.testing.history.check import Replica, Violation, check
from clusterlite.testing.history.model import Model, Outcome
from clusterlite.testing.history.operation import KINDS, LEVELS, STATUSES, WRITES, Operation
from clusterlite.testing.history.recorder import Call, Recorder, load, save
from clusterlite.testing.history.records import Record
from clusterlite.testing.history.tables import Cell, Unmodelled

__all__ = [
    "KINDS",
    "LEVELS",
    "STATUSES",
    "WRITES",
    "Call",
    "Cell",
    "Model",
    "Operation",
    "Outcome",
    "Record",
    "Recorder",
    "Replica",
    "Unmodelled",
    "Violation",
    "check",
    "load",
    "save",
]
