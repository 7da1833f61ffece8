"""Ends a run with how many tests of each kind ran, and what was left out and why.

What always holds:

- A test's kind is the folder under `tests/` that it stands in.
- With CI=true nothing is left out silently: a skipped test or module fails, unless its reason
  begins with one of `IMPOSSIBLE`, the list that CONTRIBUTING.md explains.
- The counts come before pytest's own closing line.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
KINDS = ("unit", "contract", "property", "simulation", "integration", "browser")
"""The order of the closing table; other folders follow by name."""

FATES = ("passed", "failed", "left out")

IMPOSSIBLE = ("building images", "Redpanda", "Kubernetes")
"""What no machine of ours can try: the only beginnings of a reason that CI accepts."""

counts_key = pytest.StashKey["Counts"]()


class Counts:
    """What became of the tests, by kind, and the reasons of those left out."""

    def __init__(self) -> None:
        self.fates: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.left_out: Counter[tuple[str, str]] = Counter()
        """Tests or modules by (kind, reason)."""

    def add(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Count a report that settles a test or, where it was left out whole, a module."""
        kind = kind_of(report.nodeid)
        settles = isinstance(report, pytest.CollectReport) or report.when == "call"
        if report.skipped and not hasattr(report, "wasxfail"):
            self.fates[kind]["left out"] += 1
            self.left_out[kind, reason_of(report)] += 1
        elif report.failed:
            self.fates[kind]["failed"] += 1
        elif settles and isinstance(report, pytest.TestReport):
            self.fates[kind]["passed"] += 1


def kind_of(nodeid: str) -> str:
    """The folder under `tests/` that a test stands in."""
    parts = nodeid.partition("::")[0].split("/")
    return parts[1] if len(parts) > 2 and parts[0] == TESTS.name else "other"


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test was skipped, in the words that it gave."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With CI=true, turn a skip whose reason is not on the list into a failure."""
    if os.environ.get("CI") != "true" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = reason_of(report)
    if not reason.startswith(IMPOSSIBLE):
        report.outcome = "failed"
        report.longrepr = f"left out, and with CI=true nothing may be: {reason}"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[counts_key] = Counts()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_skip(report)
    item.config.stash[counts_key].add(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_skip(report)
    if not report.passed:
        collector.config.stash[counts_key].add(report)
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    counts = config.stash[counts_key]
    if not counts.fates:
        return
    terminalreporter.section("tests by kind")
    known = [kind for kind in KINDS if kind in counts.fates]
    for kind in [*known, *sorted(counts.fates.keys() - set(KINDS))]:
        fates = counts.fates[kind]
        shown = ", ".join(f"{fates[fate]} {fate}" for fate in FATES if fates[fate])
        terminalreporter.write_line(f"{kind:<12} {shown}")
    for (kind, reason), number in sorted(counts.left_out.items()):
        terminalreporter.write_line(f"left out: {number} {kind}: {reason}")
