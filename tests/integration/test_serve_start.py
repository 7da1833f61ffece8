"""What `serve` says when it starts: where it is, what it waits for, who was there before it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterlite.testing.cluster.kafka import free_ports
from tests.processes import WAIT_S, Serve, request, wait_until

ODD = "a näme with späces #1? 100%"
TEXT = ("--log-format", "text")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A node in a folder whose name is as odd as names get, which says what it says as text."""
    folder = tmp_path_factory.mktemp(ODD)
    with Serve(folder / "dätä 1", arguments=(*TEXT, "--access-log"), cwd=folder) as serve:
        wait_until(lambda: "state   ready" in serve.said(), serve.said)
        yield serve


def run(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A `serve` that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "clusterlite", "serve", *arguments],
        cwd=folder,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_folders_with_spaces_and_other_letters_serve(running: Serve) -> None:
    created = running.request("POST", "/users", {"name": "Ann", "email": "x"})
    assert created.status == 201
    assert running.request("GET", created.headers["location"]).json == created.json
    assert (running.data / "log").is_file()


def test_the_banner_says_where_the_page_the_log_and_the_data_are(running: Serve) -> None:
    running.wait_said("Ctrl-C stops it")
    banner = running.said().partition("ClusterLite ")[2].splitlines()
    assert banner[1:8] == [
        f"  page    {running.url}/-/ui/",
        f"  tables  {running.url}/users (the sample; --entities names your own)",
        f"  log     file:{running.data}/log, applied up to position 1",
        f"  data    {running.data}",
        "  state   ready",
        "  note    not fault-tolerant: one file on one machine, as safe as its disk",
        "  Ctrl-C stops it",
    ]


def test_requests_are_lines_without_the_query_and_without_colours_in_a_file(running: Serve) -> None:
    running.request("GET", "/users/none?token=secret")
    wait_until(lambda: "/users/none" in running.said(), running.said)
    (line,) = [line for line in running.said().splitlines() if "/users/none" in line]
    time_of_day, status, method, path, _, _, size, unit = line.split()
    assert len(time_of_day) == 8
    assert (status, method, path, unit) == ("400", "GET", "/users/none", "B")
    assert int(size) > 0
    assert "secret" not in running.said()
    assert "\x1b" not in running.said()


def test_make_run_twice_names_the_first_one_in_this_folder(running: Serve) -> None:
    second = run(running.data.parent, "--port", str(running.port), "--data", str(running.data))
    assert second.returncode == 2
    assert second.stderr == (
        f"clusterlite: cannot listen on 127.0.0.1:{running.port}: a ClusterLite node already "
        f"serves there, with this data folder ({running.data}): open {running.url}/-/ui/, or stop "
        "it first; a node beside it takes --port 0 and a --data of its own\n"
    )


def test_a_node_of_another_folder_on_the_port_is_named_even_through_a_proxys_environment(
    running: Serve, tmp_path: Path
) -> None:
    proxy = {"http_proxy": "http://127.0.0.1:9"}
    second = run(tmp_path, "--port", str(running.port), environment=proxy)
    assert second.returncode == 2
    assert second.stderr == (
        f"clusterlite: cannot listen on 127.0.0.1:{running.port}: a ClusterLite node already "
        f"serves there, with another data folder (node {running.data.name}, log "
        f"file:{running.data}/log): open {running.url}/-/ui/, or take another port with --port, a "
        "free one with --port 0\n"
    )
    assert not (tmp_path / "data").exists(), "it began although it cannot serve"


def test_an_address_that_this_machine_has_not_is_told_at_once(tmp_path: Path) -> None:
    done = run(tmp_path, "--host", "192.0.2.1", "--port", "0")
    assert done.returncode == 2
    assert done.stderr == (
        "clusterlite: cannot listen on 192.0.2.1:0: Cannot assign requested address; this machine "
        "has no such address; see --host\n"
    )


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What one that listens everywhere, on a free port, says where a program reads it."""
    folder = tmp_path_factory.mktemp("lines")
    output = folder / "out"
    command = [sys.executable, "-m", "clusterlite", "serve", "--port", "0", "--host", "0.0.0.0"]
    with output.open("wb") as stream:
        process = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=stream)
    try:
        wait_until(lambda: "listens_wide" in output.read_text(), output.read_text)
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.wait()
    return [json.loads(line) for line in output.read_text().splitlines()]


def test_every_line_is_json_and_begins_with_what_an_operator_looks_for(
    lines: list[dict[str, Any]],
) -> None:
    assert [line["event"] for line in lines] == ["ready", "serving", "listens_wide", "stopped"]
    for line in lines:
        assert list(line)[:5] == ["timestamp", "level", "event", "process", "pid"], line
    assert [line["level"] for line in lines] == ["info", "info", "warning", "info"]
    assert [line["process"] for line in lines] == ["node", "serve", "serve", "serve"]


def test_a_free_port_is_told_and_names_the_node(lines: list[dict[str, Any]]) -> None:
    serving = lines[1]
    port = int(serving["url"].rpartition(":")[2])
    assert port > 0
    assert serving["url"] == f"http://127.0.0.1:{port}"
    assert serving["node"] == f"{socket.gethostname()}:{port}"
    assert (serving["state"], serving["position"], serving["reason"]) == ("ready", 1, None)
    assert lines[-1]["position"] == 1
    assert lines[-1]["tables"] == 1


def test_an_address_beyond_loopback_says_what_that_means(lines: list[dict[str, Any]]) -> None:
    port = lines[1]["url"].rpartition(":")[2]
    assert lines[2]["meaning"] == (
        "it listens on every address of this machine: whoever can reach port "
        f"{port} there can read and write everything, there is no authentication yet. Let only a "
        "proxy that authenticates reach it, or listen on 127.0.0.1, the default"
    )


def test_on_a_terminal_there_are_colours_and_request_lines_without_being_asked(
    tmp_path: Path,
) -> None:
    """And it says that its log cannot be reached, by the name that the state has everywhere."""
    terminal, side = pty.openpty()
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "clusterlite", "serve", "--port", str(port)]
    command += ["--log", "kafka://127.0.0.1:9/none"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=side, stderr=side, stdin=side)
    os.close(side)
    said = Terminal(terminal)
    try:
        wait_until(lambda: "Ctrl-C stops it" in said.text(), said.text)
        wait_until(lambda: "log_unreachable" in said.text(), said.text)
        assert request(port, "GET", "/-/cluster").json["state"] == "log_unreachable"
        assert request(port, "GET", "/nowhere/x").status == 404
        wait_until(lambda: "/nowhere/x" in said.text(), said.text)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: process.poll() is not None, said.text)
        shown = said.text()
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert process.returncode == 0
    banner = shown.partition("ClusterLite ")[2]
    assert re.search(r"  state   (opening|log_unreachable): .*127\.0\.0\.1:9\b", banner)
    assert "\x1b[33m404\x1b[0m  GET     /nowhere/x  " in shown
    assert "/-/cluster" not in shown, "what the page asks all the time hides the rest"
    assert "Traceback" not in shown
    assert "clusterlite: stopped after " in shown


class Terminal:
    """What was written to a terminal, as far as it was read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._shown = b""
        os.set_blocking(descriptor, False)

    def text(self) -> str:
        with contextlib.suppress(OSError):  # nothing more now, or nobody writes any more
            while read := os.read(self._descriptor, 65536):
                self._shown += read
        return self._shown.decode().replace("\r\n", "\n")


def test_a_cluster_id_that_the_log_does_not_have_is_told_before_the_banner(tmp_path: Path) -> None:
    with Serve(tmp_path / "node"):
        pass
    wrong = Serve(tmp_path / "node", arguments=("--cluster", "other", *TEXT))
    wrong.output = tmp_path / "wrong.out"
    wrong.start(ready=False)
    try:
        wait_until(lambda: "Ctrl-C stops it" in wrong.said(), wrong.said)
        halted, _, banner = wrong.said().partition("ClusterLite ")
        assert "halted" in halted
        assert "wrong_log" in halted
        assert "  state   halted, wrong_log: the log belongs to the cluster " in banner
        assert wrong.request("GET", "/-/cluster").json["state"] == "halted"
    finally:
        wrong.stop()


def test_a_table_that_no_class_declares_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from clusterlite import Entity\nclass Thing(Entity, table='things'):\n    name: str\n"
    )
    own = Serve(tmp_path / "node", arguments=("--entities", "shop"), cwd=tmp_path)
    with own:
        assert own.request("POST", "/things", {"name": "mug"}).status == 201
    with Serve(tmp_path / "node", cwd=tmp_path) as sample:
        hint = "The log has that table: name the module of its class with --entities"
        assert hint in sample.request("GET", "/things").json["detail"]
        for absent in ("/thongs", "/USERS"):
            assert hint not in sample.request("GET", absent).json["detail"]
