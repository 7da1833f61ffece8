"""`clusterlite serve` that cannot start says what is wrong and what to do, and ends; children that
die are started again, and every way to stop it ends in order.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from clusterlite.cli.children import STARTS_MAX, start_process
from clusterlite.config import Settings
from clusterlite.http.worker import START_WAIT_S
from tests.processes import Serve, alive, wait_until

GIVES_UP_S = 20.0
"""Five starts and the pauses between them, on a busy machine."""

USER = """
from clusterlite import Entity

class User(Entity, table="users"):
    name: {type}
"""


def ended(serve: Serve, timeout_s: float = 30.0) -> int:
    """The exit code of a `serve` that ends by itself."""
    assert serve.process is not None
    process, serve.process = serve.process, None
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"still running: {serve.said()}") from None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a user stands who starts `serve`: their modules are found there."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def serving(folder: Path, *arguments: str) -> Serve:
    return Serve(folder / "node", arguments=arguments, cwd=folder)


# What cannot be served is refused.


def test_a_port_in_use_is_named_with_the_cure(folder: Path) -> None:
    serve = serving(folder)
    with socket.create_server(("127.0.0.1", serve.port)):
        assert ended(serve.start(ready=False)) == 2
    (line,) = serve.said().splitlines()
    assert f"cannot listen on 127.0.0.1:{serve.port}: Address already in use" in line
    assert "--port" in line
    assert not serve.data.exists(), "it began although it cannot serve"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (
            None,
            (
                "no module shop is in {folder}, and none is installed; start it in the folder of "
                "shop.py"
            ),
        ),
        ("import math\n1 / 0\n", "ZeroDivisionError: division by zero (shop.py, line 2)"),
        ("class User(\n", "SyntaxError: '(' was never closed (shop.py, line 1)"),
        (
            "raise SystemExit('set SHOP_KEY first')\n",
            "SystemExit: set SHOP_KEY first (shop.py, line 1)",
        ),
    ],
    ids=["absent", "raises", "syntax", "exits"],
)
def test_entities_that_do_not_import_are_named_in_one_line(
    folder: Path, source: str | None, error: str
) -> None:
    if source is not None:
        (folder / "shop.py").write_text(source)
    serve = serving(folder, "--entities", "shop")
    assert ended(serve.start(ready=False)) == 2
    error = error.format(folder=folder)
    said = f"clusterlite: the entities' module 'shop' does not import: {error}\n"
    assert serve.said() == said


def test_a_change_of_an_entity_that_rows_cannot_follow_is_refused_with_what_to_do(
    folder: Path,
) -> None:
    module = folder / "shop.py"
    module.write_text(USER.format(type="str"))
    serve = serving(folder, "--entities", "shop")
    with serve:
        assert serve.request("POST", "/users", {"name": "Ann"}).status == 201
    before = len(serve.said())

    module.write_text(USER.format(type="int"))
    assert ended(serve.start(ready=False)) == 3
    assert serve.said()[before:] == (
        "clusterlite: field name of table users: type is 'text' in the log and cannot become "
        "'integer'; declare a new field beside it and copy the values\n"
    ), "whoever is refused is told why, and nothing else"

    module.write_text(USER.format(type="str"))
    with serve:
        (row,) = serve.request("GET", "/users").json
        assert row["name"] == "Ann"


# Children that die.


@pytest.mark.parametrize("role", ["node", "worker"])
def test_a_child_that_never_comes_up_is_given_up_within_seconds(folder: Path, role: str) -> None:
    (folder / "shop.py").write_text(
        USER.format(type="str") + f"import os, sys\nif sys.argv[1:2] == [{role!r}]: os._exit(7)\n"
    )
    serve = serving(folder, "--entities", "shop")
    assert ended(serve.start(ready=False), GIVES_UP_S) == 4
    assert f"clusterlite: the {role} process cannot start: it died {STARTS_MAX} times" in (
        serve.said()
    )
    assert "with exit code 7" in serve.said()
    assert '"serving"' not in serve.said(), "it announced a page that nobody served"


def test_a_child_that_comes_up_at_a_later_try_serves(folder: Path) -> None:
    (folder / "shop.py").write_text(
        USER.format(type="str")
        + "import os, sys, pathlib\n"
        + "tries = pathlib.Path('tries')\n"
        + "if sys.argv[1:2] == ['worker']:\n"
        + "    tries.write_text(tries.read_text() + '.' if tries.exists() else '.')\n"
        + f"    if len(tries.read_text()) < {STARTS_MAX}: os._exit(7)\n"
    )
    with serving(folder, "--entities", "shop") as serve:
        assert serve.request("GET", "/users").json == []
        assert len((folder / "tries").read_text()) == STARTS_MAX


# Every way to stop it.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["children start", "ready"])
def test_it_ends_in_order_at_any_time(folder: Path, number: signal.Signals, moment: str) -> None:
    serve = serving(folder, "--log-format", "text")
    serve.start(ready=False)
    if moment == "ready":
        wait_until(lambda: "state   ready" in serve.said(), serve.said)
    wait_until(lambda: all(serve.children().values()), serve.said)
    children = [pid for pids in serve.children().values() for pid in pids]
    assert serve.process is not None
    serve.process.send_signal(number)
    assert ended(serve) == 0
    assert not any(map(alive, children))
    assert "Traceback" not in serve.said()
    last = serve.said().splitlines()[-1]
    if moment == "ready":
        assert re.fullmatch(
            r"clusterlite: stopped after \d+\.\d s at position 1; everything acknowledged is in "
            rf"file:{serve.data}/log and {serve.data} \(1 table\)",
            last,
        ), last
    else:
        assert last.startswith("clusterlite: stopped ")
        assert f"everything acknowledged is in file:{serve.data}/log" in last


@pytest.mark.parametrize("moment", ["children start", "ready"])
def test_a_terminals_ctrl_c_pressed_twice_reaches_every_process_and_makes_no_noise(
    folder: Path, moment: str
) -> None:
    serve = serving(folder, "--log-format", "text")
    with serve.output.open("wb") as output:
        serve.process = subprocess.Popen(
            serve._command, stdout=output, stderr=output, cwd=folder, process_group=0
        )
    if moment == "ready":
        serve.wait_ready()
    wait_until(lambda: all(serve.children().values()), serve.said)
    os.killpg(serve.process.pid, signal.SIGINT)
    os.killpg(serve.process.pid, signal.SIGINT)
    assert ended(serve) == 0
    assert "Traceback" not in serve.said()
    assert "child_died" not in serve.said()
    assert serve.said().splitlines()[-1].startswith("clusterlite: stopped")


def test_operations_that_http_cannot_serve_are_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    (tmp_path / "own.py").write_text(
        "from clusterlite import TableOperations\n"
        "parts = dict.fromkeys(TableOperations.__abstractmethods__, lambda *_: None)\n"
        "parts['table_name'] = 'notes'\n"
        "notes = type('Notes', (TableOperations,), parts)()\n"
    )
    node = Serve(tmp_path / "node", arguments=("--entities", "own:notes"), cwd=tmp_path)
    node.start(ready=False)
    assert node.process is not None
    assert node.process.wait(30) == 2
    assert "extends DeclaredOperations" in node.said()
    assert "Traceback" not in node.said()


def test_a_worker_that_waits_for_its_node_ends_quietly_when_it_is_asked_to(tmp_path: Path) -> None:
    life, ends_life = os.pipe()
    says_up, up = os.pipe()
    settings = Settings(data=tmp_path / "node").model_dump_json()
    with socket.create_server(("127.0.0.1", 0)) as listening, (tmp_path / "err").open("wb") as err:
        passed = (life, up, listening.fileno())
        arguments = ["-m", "clusterlite.cli.child", "worker", *map(str, passed)]
        process = start_process(arguments, settings, pass_fds=passed, stderr=err)
        wait_until(lambda: handles(process.pid, signal.SIGTERM))
        process.terminate()
        assert process.wait(START_WAIT_S) in {0, -signal.SIGTERM}
    for descriptor in (life, ends_life, says_up, up):
        os.close(descriptor)
    assert (tmp_path / "err").read_text() == ""


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process handles the signal by itself."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = re.findall(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(int(caught, 16) >> (number - 1) & 1)
