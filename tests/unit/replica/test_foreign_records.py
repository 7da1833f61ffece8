"""Every record of the table of others' records: its outcome, and equal replicas however it came."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlite.core.outcome import APPLIED, REJECTIONS, Outcome
from clusterlite.errors import Halt
from clusterlite.log.base import Record
from tests.foreign_records import (
    AFTER,
    BEFORE,
    CASES,
    HALT_KIND,
    HALTS,
    LIMIT_KIND,
    VALUES,
    Case,
    people,
)
from tests.support import Replica, replay

LOG = [Record(position, 1_000, value) for position, value in enumerate(VALUES)]
EVENTS = Path(__file__).parents[3] / "docs" / "reference" / "events.md"


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """A replica that applied all of them, one by one."""
    replica = replay(tmp_path_factory.mktemp("all"), LOG, range(len(LOG)))
    yield replica
    replica.close()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What whoever waits is told of each."""
    replica = Replica(tmp_path_factory.mktemp("told"))
    found = replica.apply(*VALUES)
    replica.close()
    return found


@pytest.mark.parametrize("position", range(len(CASES)), ids=[case.name for case in CASES])
def test_the_outcome_of(position: int, outcomes: list[Outcome]) -> None:
    case, found = CASES[position], outcomes[position]
    assert found.event_id == case.event_id(position)
    if case.code == "duplicate":
        assert found == outcomes[found.position]
        assert found.position < position
        return
    assert found.position == position
    assert (found.code or found.verdict, found.field) == (case.code, case.field)


def test_the_names_of_the_cases_differ() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_only_what_was_applied_left_rows(replica: Replica) -> None:
    assert {row["id"]: row for row in replica.rows("people")} == people()
    assert replica.rows("tasks") == [
        {"id": "t1", "owner": "p1", "parent": "t2"},
        {"id": "t2", "owner": None, "parent": "t1"},
        {"id": "t3", "owner": None, "parent": "t3"},
    ]
    assert [row["id"] for row in replica.rows("stubborn")] == ["s1", "s2", "s3"]
    known = {"people", "tasks", "stubborn", "twins", "orphans", "wild", "odd", "order", "broad"}
    assert set(replica.applier.tables) == known | {"hollow", "late", "scaled"}
    assert replica.verified().damage == []


def test_a_refused_adoption_counts_the_rows_and_names_them(outcomes: list[Outcome]) -> None:
    told = {outcome.event_id: outcome.detail for outcome in outcomes}
    refused = "rows do not fit the declaration"
    assert told["a value that does not convert"] == f"1 {refused}: s1"
    assert told["references to no row"] == f"2 {refused}: o1, o2"
    assert str(told["two rows of one value"]).endswith("unique: 1, 2")


def test_in_batches_and_in_one_every_replica_ends_equal(replica: Replica, tmp_path: Path) -> None:
    for name, cuts in {"whole": (), "sevens": range(0, len(LOG), 7)}.items():
        other = replay(tmp_path / name, LOG, cuts)
        assert other.verified() == replica.verified(), name
        other.close()


def test_stopped_after_each_record_and_opened_again_it_ends_equal(
    replica: Replica, tmp_path: Path
) -> None:
    for record in LOG:
        other = Replica(tmp_path)
        assert other.applier.state.position == record.position - 1
        other.applier.apply([record])
        other.close()
    last = Replica(tmp_path)
    assert last.verified() == replica.verified()
    last.close()


@pytest.mark.parametrize("case", HALTS, ids=[case.name for case in HALTS])
def test_what_this_build_does_not_know_halts_it_at_each_start(
    case: Case, replica: Replica, tmp_path: Path
) -> None:
    assert case.value is not None
    log = [*LOG, Record(len(LOG), 1_000, case.value), LOG[0]._replace(position=len(LOG) + 1)]
    for cut in (len(LOG) - 3, len(LOG)):
        folder = tmp_path / str(cut)
        replay(folder, log[:cut]).close()
        for _ in range(2):
            started = Replica(folder)
            with pytest.raises(Halt) as halt:
                started.applier.apply(log[started.applier.state.position + 1 :])
            assert (halt.value.reason, f"at {len(LOG)} " in str(halt.value)) == ("too_new", True)
            assert started.verified() == replica.verified(), "it was passed over"
            started.close()


# The page.


def listed() -> dict[str, str]:
    """The rows of the page's table: the record, and what becomes of it."""
    section = EVENTS.read_text().partition("## Records written by others")[2]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return {row[0].strip(): row[1].strip() for row in rows[2:]}


def test_the_page_lists_every_kind_of_record_with_every_outcome() -> None:
    codes: dict[str, set[str]] = {HALT_KIND: {"too_new"}, LIMIT_KIND: set()}
    for groups in (BEFORE, AFTER):
        for kind, cases in groups.items():
            found = {case.code for case in cases} - {"duplicate"}
            codes[kind] = codes.get(kind, set()) | found
    del codes[""]
    known = {APPLIED, "too_new", *REJECTIONS}
    page = {kind: known & set(re.findall(r"`(\w+)`", text)) for kind, text in listed().items()}
    assert page == codes
