"""Request lines: what they show, what they leave out, and what a closed output does."""

from __future__ import annotations

import io
import json
import os
import re

import pytest

from clusterlite.http.access import PATH_MAX, AccessLog


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_program_gets_an_object_a_line_that_begins_as_all_log_lines_do() -> None:
    stream = io.StringIO()
    AccessLog(stream)("POST", b"/users", 201, 0.00312, 103)
    line = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "event": "request",
        "process": "worker",
        "pid": os.getpid(),
        "method": "POST",
        "path": "/users",
        "status": 201,
        "ms": 3.1,
        "bytes": 103,
    }


@pytest.mark.parametrize(("status", "colour"), [(201, 32), (304, 36), (404, 33), (503, 31)])
def test_a_terminal_gets_a_readable_line_with_the_status_in_colour(
    status: int, colour: int
) -> None:
    screen = Screen()
    AccessLog(screen)("GET", b"/users", status, 0.0005, 0)
    time_of_day, _, rest = screen.getvalue().partition("  ")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", time_of_day)
    assert rest == f"\x1b[{colour}m{status}\x1b[0m  GET     /users  0.5 ms  0 B\n"


@pytest.mark.parametrize("stream", [io.StringIO(), Screen()], ids=["file", "NO_COLOR"])
def test_text_has_no_colours_where_nobody_sees_or_wants_them(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    AccessLog(stream, "text")("GET", b"/users", 200, 0.0005, 2)
    assert stream.getvalue().endswith("  200  GET     /users  0.5 ms  2 B\n")


def test_json_can_be_asked_for_on_a_terminal() -> None:
    screen = Screen()
    AccessLog(screen, "json")("GET", b"/users", 500, 0.0005, 2)
    assert json.loads(screen.getvalue())["level"] == "error"


@pytest.mark.parametrize("path", [b"/-/cluster", b"/-/health/ready", b"/-/ui/app.js"])
def test_what_is_asked_all_the_time_shows_only_where_it_fails(path: bytes) -> None:
    stream = io.StringIO()
    log = AccessLog(stream)
    log("GET", path, 200, 0.001, 10)
    log("GET", path, 304, 0.001, 0)
    assert stream.getvalue() == ""
    log("GET", path, 503, 0.001, 10)
    assert json.loads(stream.getvalue())["status"] == 503


def test_a_path_can_neither_steer_the_terminal_nor_fill_it() -> None:
    stream = io.StringIO()
    log = AccessLog(stream, "text")
    log("GET", b"/users/\x1b[2J\r\n\x07\xff", 404, 0.001, 10)
    log("GET", b"/" + b"x" * 10_000, 404, 0.001, 10)
    steering, filling = stream.getvalue().splitlines()
    assert "/users/\\x1b[2J\\x0d\\x0a\\x07\\xff" in steering
    assert len(filling) < PATH_MAX + 60


class Closed(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [Closed(), io.StringIO()], ids=["broken", "closed"])
def test_an_output_that_is_gone_costs_no_answer(stream: io.StringIO) -> None:
    log = AccessLog(stream)
    if not isinstance(stream, Closed):
        stream.close()
    log("GET", b"/users", 200, 0.001, 10)
    log("GET", b"/users", 200, 0.001, 10)
