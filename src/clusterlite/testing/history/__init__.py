"""Histories: what clients asked and were told, recorded and checked against the log.

Nothing in here imports the rest of the package, so that a bug of the product is not shared by
what judges it: the rules are written again, from the documents.
"""

from __future__ import annotations

from clusterlite.testing.history.operation import KINDS, LEVELS, STATUSES, WRITES, Operation
from clusterlite.testing.history.recorder import Call, Recorder, load, save

__all__ = ["KINDS", "LEVELS", "STATUSES", "WRITES", "Call", "Operation", "Recorder", "load", "save"]
