"""A real node for tests: `clusterlite serve` with its processes, its port and its folder."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Self

import pytest

from clusterlite.testing.cluster.kafka import free_ports

WAIT_S = 30.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Serve:
    """One `clusterlite serve`.

    Args:
        data: the node's folder; its log is inside by default.
        log: as `--log`.
        arguments: further ones.
        cwd: where it runs.
        program: the command; the clone's by default.
    """

    def __init__(
        self,
        data: Path,
        log: str = "",
        arguments: tuple[str, ...] = (),
        cwd: Path | None = None,
        program: tuple[str, ...] = (sys.executable, "-m", "clusterlite"),
    ) -> None:
        self.data = data
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = data.with_name(data.name + ".out")
        self._cwd = cwd
        self._command = [
            *(*program, "serve"),
            *("--port", str(self.port), "--data", str(data), "--node-id", data.name),
            *(("--log", log) if log else ()),
            *arguments,
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, ready: bool = True) -> Self:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self._command, stdout=output, stderr=output, cwd=self._cwd
            )
        if ready:
            self.wait_ready()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        return process.wait(WAIT_S)

    def kill(self) -> None:
        """kill -9 of the parent."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(WAIT_S)
        self.process = None

    def wait_ready(self) -> None:
        wait_until(lambda: self.request("GET", "/-/health/ready").status == 200, self.said)

    def said(self) -> str:
        return self.output.read_text()

    def wait_said(self, words: str) -> None:
        """Wait until its output has them: a process that runs writes it a moment later."""
        wait_until(lambda: words in self.said(), self.said)

    def children(self) -> dict[str, list[int]]:
        """Process ids by role."""
        assert self.process is not None
        found: dict[str, list[int]] = {"node": [], "worker": []}
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for line in listed.splitlines():
            pid, _, command = line.strip().partition(" ")
            for role, pids in found.items():
                if f"clusterlite.cli.child {role}" in command:
                    pids.append(int(pid))
        return found

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 20.0,
    ) -> Answer:
        """One request on a connection of its own; status 0 where there is no answer."""
        return request(self.port, method, path, body, headers, timeout_s)


def request(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    timeout_s: float = 20.0,
) -> Answer:
    sent = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, names, answer.read())
    except (OSError, http.client.HTTPException):
        return Answer(0, {}, b"")
    finally:
        connection.close()


def leave_out(reason: str) -> NoReturn:
    """Leave a test out for a part that this machine lacks; with CI=true that fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def wait_until(
    condition: Callable[[], bool], describe: Callable[[], str] = str, timeout_s: float = WAIT_S
) -> None:
    """Wait for a condition, with a deadline; looks every 20 ms."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {timeout_s:g} s: {describe()}")
        pause.wait(0.02)


def kill(pid: int) -> None:
    """kill -9, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid))


def freeze(pid: int) -> None:
    """SIGSTOP, and wait until each of its threads stands: the signal takes a moment."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _stands(Path(f"/proc/{pid}/task")))


def alive(pid: int) -> bool:
    try:
        state = _state(Path(f"/proc/{pid}/stat"))
    except (FileNotFoundError, ProcessLookupError):  # gone before the open, or before the read
        return False
    return state != "Z"


def _stands(threads: Path) -> bool:
    try:
        return {_state(thread / "stat") for thread in threads.iterdir()} == {"T"}
    except (FileNotFoundError, ProcessLookupError):  # one ended meanwhile
        return False


def _state(stat: Path) -> str:
    return stat.read_text().rpartition(")")[2].split()[0]
