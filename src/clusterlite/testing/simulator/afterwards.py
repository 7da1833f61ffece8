"""What is looked at once all is quiet: the replicas' rows, and what the log holds twice."""

from __future__ import annotations

from collections import Counter

from clusterlite.testing.simulator.check import Replay
from clusterlite.testing.simulator.client import KINDS, ROWS_MAX
from clusterlite.testing.simulator.node import SimulatedNode


def other_rows(nodes: list[SimulatedNode], replay: Replay) -> list[str]:
    """I5: every replica that is open has the rows that the log gives, with their versions."""
    found = []
    for node in nodes:
        if not node.alive:
            continue
        for kind in KINDS:
            if node.runtime.table(kind.table) is None:
                continue
            page = node.reader.page(kind.selection, "", ROWS_MAX)
            names = ("id", *kind.names)
            rows = {row[0]: dict(zip(names, row, strict=True)) for row in page.rows}
            table = replay.model.tables[kind.table]
            wanted = {key: cell.row for key, cell in table.cells.items()}
            differ = [k for k in rows.keys() | wanted.keys() if rows.get(k) != wanted.get(k)]
            differ += [
                key
                for key in rows.keys() & wanted.keys()
                if node.reader.get(kind.selection, key).version != table.cells[key].version
            ]
            if differ:
                found.append(
                    f"I5: {node.name} has other rows in {kind.table} than the log gives: "
                    f"{sorted(differ)[:5]}"
                )
    return found


def duplicates(replay: Replay) -> Counter[str]:
    """Events that the log holds again, by who wrote them again."""
    first: dict[str, bytes] = {}
    found: Counter[str] = Counter()
    for record in replay.records:
        event, outcome = replay.model.records[record.position]
        if event is None:
            continue
        if outcome.verdict == "duplicate" and event.operation != "FENCE":
            again = first.get(event.id) == record.value
            found["duplicate by producer judged" if again else "duplicate by client judged"] += 1
        elif outcome.code == "expired":
            found["duplicate that came after the window"] += 1
        first.setdefault(event.id, record.value)
    return found
