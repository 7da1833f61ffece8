"""Log output: a library is silent below warnings; `serve` writes one JSON object a line."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import logging, threading
from clusterlite.telemetry import configure_logging, get_logger
log = get_logger("clusterlite.x")
{configure}
log.info("ready", position=3)
thread = threading.Thread(target=lambda: log.warning("halted", reason="log_gap"))
thread.start()
thread.join()
logging.getLogger("other").warning("a %s line", "foreign")
"""


def said(configure: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(configure=configure)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_a_library_says_warnings_only_and_in_words() -> None:
    assert said("") == ["event='halted' reason='log_gap'", "a foreign line"]


def test_serve_writes_an_object_a_line_with_its_process_from_every_thread() -> None:
    ready, halted, foreign = [json.loads(line) for line in said('configure_logging("node")')]
    assert (ready["event"], ready["position"], ready["level"]) == ("ready", 3, "info")
    assert (halted["event"], halted["reason"], halted["level"]) == ("halted", "log_gap", "warning")
    assert foreign["event"] == "a foreign line"
    assert {line["process"] for line in (ready, halted, foreign)} == {"node"}
    assert all("timestamp" in line for line in (ready, halted, foreign))
