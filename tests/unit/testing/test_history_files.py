"""What a check was given is kept in files, and checked again by a command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from clusterlite.testing.history import Operation, Record, Replica, save
from clusterlite.testing.history.__main__ import main
from clusterlite.testing.history.files import (
    load_log,
    load_replicas,
    save_log,
    save_replicas,
)

LOG = [
    Record(
        at,
        1,
        json.dumps(
            {
                "format": 1, "id": event, "cluster": "c", "operation": operation,
                "table_name": table, "data": data, "after": 0, "fp": "",
                "timestamp": "2026-01-01T00:00:00Z",
            }
        ).encode(),
    )
    for at, (event, operation, table, data) in enumerate(
        [
            ("g", "GENESIS", "", {}),
            ("s", "SCHEMA", "t", {"table": "t", "columns": [{"name": "n", "type": "integer"}]}),
            ("e", "INSERT", "t", {"id": "a", "n": 1}),
        ]
    )
]  # fmt: skip
BROKEN = Record(3, 1, b"\xff\x00")
REPLICA = Replica(
    "node-1", 2, {"running": "ab"}, {"t": {"a": {"id": "a", "n": 1}}}, {"t": {"a": 2}}
)
ASKED = {"table": "t", "row": {"id": "a", "n": 1}}
HISTORY = [Operation("c", "create", ASKED, 1.0, 2.0, "done", event="e", position=2, version=2)]


def test_logs_and_replicas_are_read_as_they_were_written(tmp_path: Path) -> None:
    save_log(tmp_path / "log", [*LOG, BROKEN])
    save_replicas(tmp_path / "replicas", [REPLICA])
    assert load_log(tmp_path / "log") == [*LOG, BROKEN]
    assert load_replicas(tmp_path / "replicas") == [REPLICA]


@pytest.mark.parametrize(
    ("log", "code", "says"), [(LOG, 0, "0 violations\n"), (LOG[:2], 1, "lost: told done")]
)
def test_the_command_checks_a_folder_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    log: list[Record],
    code: int,
    says: str,
) -> None:
    save(tmp_path / "history.jsonl", HISTORY)
    save_log(tmp_path / "log.jsonl", log)
    if code == 0:
        save_replicas(tmp_path / "replicas.jsonl", [REPLICA])
    monkeypatch.setattr(sys, "argv", ["history", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert says in capsys.readouterr().out
