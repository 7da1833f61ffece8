"""What is counted once all is quiet: what the log holds twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from clusterlite.log.base import Record
from clusterlite.testing.history.model import Model


def duplicates(records: Sequence[Record]) -> Counter[str]:
    """Events that the log holds again, by who wrote them again."""
    first: dict[str, bytes] = {}
    found: Counter[str] = Counter()
    model = Model(records)
    for record in records:
        event, outcome = model.records[record.position]
        if event is None:
            continue
        if outcome.verdict == "duplicate" and event.operation != "FENCE":
            again = first.get(event.id) == record.value
            found["duplicate by producer judged" if again else "duplicate by client judged"] += 1
        elif outcome.code == "expired":
            found["duplicate that came after the window"] += 1
        first.setdefault(event.id, record.value)
    return found
