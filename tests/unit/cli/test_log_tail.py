"""`clusterlite log tail`: what a log holds, without touching it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from clusterlite import Node
from clusterlite.cli import logs
from clusterlite.errors import LogUnavailable
from clusterlite.log.file import FileLog
from clusterlite.log.look import FileLook
from clusterlite.testing.cluster.kafka import free_ports
from tests.cli import cli
from tests.nodes import put


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A log of 30 records that nobody but other programs wrote."""
    path = tmp_path / "log"
    log = FileLog(path)
    log.open()
    put(log, *(json.dumps(foreign(number)).encode() for number in range(28)))
    put(log, b"\xff\x1b[2J", b"")
    log.close()
    return path


def foreign(number: int) -> dict[str, Any]:
    return {"operation": "INSERT", "table_name": "x", "data": {"id": f"k{number}"}}


def positions(output: str) -> list[int]:
    return [int(line.split()[0]) for line in output.splitlines()[1:]]


def test_it_shows_what_a_running_node_wrote(running: Node) -> None:
    done = cli("log", "tail", "--data", running.data)
    assert (done.code, done.err) == (0, "")
    heading, *lines = done.out.splitlines()
    assert heading.split() == ["position", "time", "by", "operation", "row", "and", "data"]
    assert [line.split()[3] for line in lines] == ["GENESIS", "SCHEMA", "SCHEMA", *["INSERT"] * 3]
    assert lines[-1].split()[2] == running.node_id
    assert 'users/c  {"name": "c", "email": "c@example.com"}' in lines[-1]


def test_as_json_every_event_has_its_parts(running: Node) -> None:
    done = cli("log", "tail", "--data", running.data, "-n", "1", "--json")
    shown = json.loads(done.out)
    assert shown["position"] == running.position
    assert (shown["kind"], shown["operation"], shown["table"]) == ("event", "INSERT", "users")
    assert (shown["key"], shown["data"]["name"]) == ("c", "c")
    assert (shown["node"], shown["cluster"]) == (running.node_id, running.cluster)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], range(10, 30)),
        (["-n", "2"], range(28, 30)),
        (["-n", "99"], range(30)),
        (["--from", "25"], range(25, 30)),
        (["--from", "3", "-n", "2"], range(3, 5)),
        (["--from", "30"], []),
        (["-n", "0"], []),
    ],
)
def test_how_many_and_from_where(options: list[str], expected: range, mixed: Path) -> None:
    done = cli("log", "tail", "--log", f"file:{mixed}", *options)
    assert (done.code, done.err) == (0, "")
    assert positions(done.out) == list(expected)


def test_records_of_others_and_unreadable_ones_are_shown_as_such(mixed: Path) -> None:
    lines = cli("log", "tail", "--log", f"file:{mixed}").out.splitlines()
    assert "x/k27  [foreign: no format, so another program wrote it]" in lines[-3]
    assert r"unreadable   JSON is malformed: invalid character (byte 0): \xff\x1b[2J" in lines[-2]
    assert "(no bytes)" in lines[-1]


def test_an_event_of_another_cluster_is_shown_as_foreign(running: Node, tmp_path: Path) -> None:
    """The log's own id is that of its first GENESIS."""
    path = tmp_path / "log"
    log = FileLog(path)
    log.open()
    source = FileLook(running.data / "log")
    genesis, *rest = (record.value for record in source.read(0, 10, 0).records)
    source.close()
    strange = rest[-1].replace(running.cluster.encode(), b"other")
    put(log, genesis, *rest, strange)
    log.close()
    done = cli("log", "tail", "--log", f"file:{path}", "--json")
    *own, last = [json.loads(line) for line in done.out.splitlines()]
    assert {shown["kind"] for shown in own} == {"event"}
    assert (last["kind"], last["problem"]) == ("foreign", "of the cluster other")


def test_it_follows_until_ctrl_c(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that cannot be read for a while is asked again; it is told once."""
    log = FileLog(mixed)
    log.open()
    reads = iter([*[LogUnavailable("busy")] * 3, b"{}", None, b"[]", KeyboardInterrupt()])
    original = FileLook.read

    def read(look: FileLook, position: int, max_records: int, timeout_s: float) -> Any:
        if position < 30:
            return original(look, position, max_records, 0)
        step = next(reads)
        if isinstance(step, BaseException):
            raise step
        if step is not None:
            put(log, step)
        return original(look, position, max_records, 0)

    monkeypatch.setattr(FileLook, "read", read)
    monkeypatch.setattr(logs, "_WAIT_S", 0.0)
    done = cli("log", "tail", "--log", f"file:{mixed}", "-n", "1", "-f")
    log.close()
    assert done.code == 0
    assert positions(done.out) == [29, 30, 31]
    assert done.err == "clusterlite: busy; it is asked again until Ctrl-C\n"


def test_an_empty_log_says_so(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "log")
    log.open()
    log.close()
    done = cli("log", "tail", "--data", tmp_path)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"clusterlite: the log file:{tmp_path}/log is empty\n"


def test_the_log_is_the_configured_one(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERLITE_LOG", f"file:{mixed}")
    assert positions(cli("log", "tail", "-n", "1").out) == [29]


def test_nothing_is_written_to_the_log(mixed: Path) -> None:
    before = mixed.read_bytes()
    assert cli("log", "tail", "--log", f"file:{mixed}").code == 0
    assert mixed.read_bytes() == before
    look = FileLook(mixed)
    assert look._connection.readonly("main")
    with pytest.raises(apsw.ReadOnlyError):
        look._connection.execute("CREATE TEMP TABLE t (a)")
    look.close()


def test_a_copy_of_a_log_may_be_looked_at(mixed: Path) -> None:
    """A node would refuse it: it is not where it was."""
    copy = mixed.with_name("copy")
    copy.write_bytes(mixed.read_bytes())
    assert positions(cli("log", "tail", "--log", f"file:{copy}", "-n", "1").out) == [29]


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("file:{}/none", "there is no log at {}/none; name it with --log, or its node's folder"),
        ("file:{}", "there is no log at {}"),
        ("file:{}/text", "{}/text is no log of ClusterLite"),
        ("file:{}/other.db", "{}/other.db is no log of ClusterLite; name one with --log"),
        ("memory:", "a log in memory is seen by its own process alone"),
        ("kafka://[/x", "names no log; use memory:, file:PATH or kafka://"),
        ("nonsense", "'nonsense' names no log"),
    ],
)
def test_what_is_no_log_is_refused(log: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x" * 5_000)
    with apsw.Connection(str(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE t (a)")
    other.close()
    done = cli("log", "tail", "--log", log.format(tmp_path))
    assert done.code == 2
    assert told.format(tmp_path) in done.err
    assert {file.name for file in tmp_path.iterdir()} == {"text", "other.db"}


def test_a_position_beyond_the_end_is_told(mixed: Path) -> None:
    done = cli("log", "tail", "--log", f"file:{mixed}", "--from", "31")
    assert done.code == 2
    assert f"nothing stands at 31: file:{mixed} ends before 30" in done.err


def test_a_damaged_log_ends_in_a_line(mixed: Path) -> None:
    raw = bytearray(mixed.read_bytes())
    raw[4096:] = b"\xaa" * (len(raw) - 4096)
    mixed.write_bytes(raw)
    done = cli("log", "tail", "--log", f"file:{mixed}")
    assert done.code == 2
    assert f"the log {mixed} cannot be read: database disk image is malformed" in done.err
    assert "restore it from a copy and delete nothing" in done.err


def test_a_kafka_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from clusterlite.log import kafka_look

    monkeypatch.setattr(kafka_look, "ANSWER_TIMEOUT_S", 0.3)
    url = f"kafka://127.0.0.1:{free_ports(1)[0]}/events"
    done = cli("log", "tail", "--log", f"{url}?client.id=secret")
    assert done.code == 2
    assert f"{url} does not answer" in done.err
    assert "is a broker running there?" in done.err
    assert "secret" not in done.err
