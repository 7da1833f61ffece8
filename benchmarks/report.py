"""Samples of a run, their table for people and their JSON for programs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.rows import Row


class Sample(NamedTuple):
    """One measurement.

    Args:
        ours: the figure.
        against: what it is compared with in the same round, None for a row without it.
    """

    ours: float
    against: float | None = None


Samples = Mapping[str, Sample]
"""By the name of the row."""


@dataclass
class Figure:
    """What a run found for one row.

    Args:
        row: which.
        samples: one a round.
        missing: why there are none, if so.
    """

    row: Row
    samples: list[Sample] = field(default_factory=list)
    missing: str = ""

    @property
    def ours(self) -> list[float]:
        """Of each round."""
        return [sample.ours for sample in self.samples]

    @property
    def against(self) -> list[float]:
        """Of each round."""
        return [sample.against for sample in self.samples if sample.against is not None]

    @property
    def value(self) -> float | None:
        """What is judged: the median of the rounds' ratios, or of the figures."""
        if not self.samples:
            return None
        if not self.row.against:
            return statistics.median(self.ours)
        ratios = [our / other for our, other in zip(self.ours, self.against, strict=True)]
        return statistics.median(ratios)

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none, or nothing was measured."""
        return None if self.value is None else self.row.met(self.value)

    @property
    def noise(self) -> float | None:
        """How far the other side's figures lie apart, as a part of their median."""
        against = self.against
        return (max(against) - min(against)) / statistics.median(against) if against else None

    def to_json(self) -> dict[str, Any]:
        """Everything of it."""
        return {
            "row": self.row.name,
            "what": self.row.what,
            "against_what": self.row.against,
            "unit": self.row.unit,
            "target": self.row.target,
            "ours": self.ours,
            "against": self.against,
            "value": self.value,
            "met": self.met,
            "noise": self.noise,
            "missing": self.missing,
        }


def table(figures: Sequence[Figure]) -> str:
    """The table, then what each row is."""
    heading = ("row", "ours (min-max)", "against (min-max)", "ratio", "target", "", "noise")
    lines = [heading, *(_cells(figure) for figure in figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    shown.append("")
    shown += [_legend(figure) for figure in figures]
    return "\n".join(shown)


def _cells(figure: Figure) -> tuple[str, ...]:
    row, value = figure.row, figure.value
    if value is None:
        return (row.name, "left out", "", "", row.target, "", "")
    verdict = {True: "met", False: "NOT met", None: ""}[figure.met]
    noise = "" if figure.noise is None else f"{figure.noise:.0%}"
    ratio = f"{value:.2f}" if row.against else ""
    against = _span(figure.against, row.unit)
    return (row.name, _span(figure.ours, row.unit), against, ratio, row.target, verdict, noise)


def _legend(figure: Figure) -> str:
    row = figure.row
    against = f" / {row.against}" if row.against else ""
    missing = f"; left out: {figure.missing}" if figure.missing else ""
    return f"{row.name}: {row.what}{against}{missing}"


def _span(figures: Sequence[float], unit: str) -> str:
    """Median, least and most, with as many digits as mean something."""
    if not figures:
        return ""
    median = _number(statistics.median(figures))
    return f"{median} {unit} ({_number(min(figures))}-{_number(max(figures))})"


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
