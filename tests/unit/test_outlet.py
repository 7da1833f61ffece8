"""Output into a pipe that nobody reads: who writes never waits, and little is held."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator
from typing import TextIO

import pytest

from clusterlite import outlet
from clusterlite.http.access import AccessLog
from clusterlite.outlet import Outlet
from tests.processes import wait_until

MAX = 100_000


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "HELD_CHARS_MAX", MAX)


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    """Its ends to read from and to write to."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as read, os.fdopen(writing, "w") as written:
        yield read, written


def test_what_is_written_comes_out_in_order_and_soon(pipe: tuple[TextIO, TextIO]) -> None:
    read, written = pipe
    out = Outlet(written)
    for number in range(100):
        out.write(f"line {number}\n")
    assert [read.readline() for _ in range(100)] == [f"line {number}\n" for number in range(100)]
    assert out.drain(30)
    assert not out.isatty()
    assert out.fileno() == written.fileno()


def test_a_reader_that_stops_makes_nobody_wait_and_is_told_later_what_it_missed(
    pipe: tuple[TextIO, TextIO],
) -> None:
    read, written = pipe
    out = Outlet(written)
    log = AccessLog(out, "text")  # type: ignore[arg-type]
    longest_s = 0.0
    for _ in range(20_000):
        began = time.monotonic()
        log("GET", b"/users", 200, 0.001, 10)
        longest_s = max(longest_s, time.monotonic() - began)
    assert longest_s < 5
    assert out._size <= MAX
    assert not out.drain(0.01)
    shown = missed = 0
    while shown + missed < 20_000:
        line = read.readline()
        if "dropped" in line:
            missed += int(line.split()[1])
        else:
            assert line.endswith("GET     /users  1.0 ms  10 B\n"), "no line is cut"
            shown += 1
    assert missed > 0
    wait_until(lambda: out._size == 0)


def test_a_reader_that_has_gone_costs_nothing_any_more(pipe: tuple[TextIO, TextIO]) -> None:
    read, written = pipe
    out = Outlet(written)
    read.close()
    out.write("to nobody\n")
    wait_until(lambda: out._gone)
    out.write("x" * 2 * MAX)
    assert out.drain(0)


def test_a_full_pipe_that_does_not_block_is_waited_for(pipe: tuple[TextIO, TextIO]) -> None:
    read, written = pipe
    os.set_blocking(written.fileno(), False)
    out = Outlet(written)
    lines = [f"line {number:05}\n" for number in range(7_000)]
    for line in lines:
        out.write(line)
    wait_until(lambda: not select.select([], [written], [], 0)[1])
    assert [read.readline() for _ in lines] == lines
    out.write("later\n")
    assert read.readline() == "later\n"


def test_a_thread_that_cannot_start_now_is_no_error_and_loses_no_line(
    pipe: tuple[TextIO, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, written = pipe
    out = Outlet(written)

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", none_left)
        out.write("first\n")
    out.write("second\n")
    assert [read.readline(), read.readline()] == ["first\n", "second\n"]
