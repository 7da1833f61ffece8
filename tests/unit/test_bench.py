"""What the benchmarks read of wrk, and what they show of their samples."""

from __future__ import annotations

import json

import pytest

from benchmarks.experiments import EXPERIMENTS
from benchmarks.load import SCRIPTS, Load, LoadFailed, key, parse
from benchmarks.report import Figure, Sample, table
from benchmarks.rows import ROWS, Row

OUTPUT = """\
Running 3s test @ http://127.0.0.1:25555
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.07ms    1.60ms  27.50ms   95.90%
    Req/Sec    16.67k     2.62k   19.20k    83.33%
  Latency Distribution
     50%    1.75ms
     75%    2.04ms
     90%    2.59ms
     99%    9.26ms
  49757 requests in 3.00s, 10.44MB read
Requests/sec:  16578.59
Transfer/sec:      3.48MB
"""

FASTER = Row("fast", "ours", "/s", "theirs", at_least=0.85)
QUICKER = Row("quick", "ours", "ms", "theirs", at_most=2.5)
LIMIT = Row("small", "memory", "MB", at_most=150)
PLAIN = Row("plain", "ours", "/s", "theirs")


def test_rate_and_median_are_read() -> None:
    assert parse(OUTPUT) == Load(16578.59, 1.75)


@pytest.mark.parametrize(
    ("shown", "p50_ms"),
    [("159.00us", 0.159), ("1.75ms", 1.75), ("1.20s", 1_200), ("2.00m", 120_000)],
)
def test_every_unit_of_wrk_becomes_milliseconds(shown: str, p50_ms: float) -> None:
    assert parse(OUTPUT.replace("1.75ms", shown)).p50_ms == pytest.approx(p50_ms)


@pytest.mark.parametrize(
    "line",
    [
        "  Non-2xx or 3xx responses: 12",
        "  Socket errors: connect 0, read 3, write 0, timeout 0",
    ],
)
def test_a_run_with_failed_requests_is_no_measurement(line: str) -> None:
    with pytest.raises(LoadFailed, match=line.strip()):
        parse(OUTPUT.replace("Requests/sec", f"{line}\nRequests/sec"))


@pytest.mark.parametrize("output", ["", "unable to connect", OUTPUT.replace("16578.59", "0.00")])
def test_a_run_without_figures_is_no_measurement(output: str) -> None:
    with pytest.raises(LoadFailed):
        parse(output)


def test_the_script_spells_keys_as_the_seeded_rows_do() -> None:
    assert key(42) == "row000000000042"
    assert '"row%012d"' in (SCRIPTS / "reads.lua").read_text()


def test_the_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_medians() -> None:
    """A round that was slow on both sides counts like any other."""
    samples = [Sample(90, 100), Sample(8, 10), Sample(95, 100), Sample(2, 20), Sample(70, 50)]
    figure = Figure(FASTER, samples)
    assert figure.value == pytest.approx(0.9)
    assert figure.met


@pytest.mark.parametrize(
    ("row", "sample", "met"),
    [
        (FASTER, Sample(85, 100), True),
        (FASTER, Sample(84, 100), False),
        (QUICKER, Sample(2.5, 1), True),
        (QUICKER, Sample(2.6, 1), False),
        (LIMIT, Sample(150), True),
        (LIMIT, Sample(151), False),
        (PLAIN, Sample(1, 100), None),
    ],
)
def test_targets_hold_at_their_bound(row: Row, sample: Sample, met: bool | None) -> None:
    assert Figure(row, [sample]).met is met


def test_noise_is_the_spread_of_the_other_side() -> None:
    assert Figure(FASTER, [Sample(1, 90), Sample(1, 100), Sample(1, 120)]).noise == 0.3
    assert Figure(LIMIT, [Sample(1), Sample(2)]).noise is None


def test_the_table_shows_figures_ratio_target_verdict_and_noise() -> None:
    shown = table(
        [
            Figure(FASTER, [Sample(9_000, 10_000), Sample(8_000, 10_000), Sample(9_500, 12_000)]),
            Figure(QUICKER, [Sample(1.234, 0.4)]),
            Figure(LIMIT, [Sample(140.2)]),
            Figure(PLAIN, missing="there is none here"),
        ]
    )
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[:5] == [
        "row ours (min-max) against (min-max) ratio target noise",
        "fast 9,000 /s (8,000-9,500) 10,000 /s (10,000-12,000) 0.80 >= 0.85 NOT met 20%",
        "quick 1.23 ms (1.23-1.23) 0.4 ms (0.4-0.4) 3.08 <= 2.5 NOT met 0%",
        "small 140 MB (140-140) <= 150 met",
        "plain left out -",
    ]
    assert "plain: ours / theirs; left out: there is none here" in lines


def test_the_json_holds_every_sample() -> None:
    found = json.loads(json.dumps(Figure(FASTER, [Sample(9, 10), Sample(7, 10)]).to_json()))
    assert found["ours"] == [9, 7]
    assert found["against"] == [10, 10]
    assert found["value"] == pytest.approx(0.8)
    assert found["met"] is False


def test_every_row_is_measured_by_one_experiment() -> None:
    measured = [name for experiment in EXPERIMENTS for name in experiment.rows]
    assert sorted(measured) == sorted(row.name for row in ROWS)
