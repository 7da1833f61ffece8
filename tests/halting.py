"""What halts a node, each with the cure that `docs/reference/halts.md` gives, done as it says.

A case is a generator: it breaks what a running node stands on, yields while the node is to be
halted, and then does what the page says.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import apsw

from clusterlite import DeclaredOperations, Entity
from clusterlite.core import codec
from clusterlite.core.event import Change
from clusterlite.core.operations import TableRows
from clusterlite.log.file import FileLog
from clusterlite.replica.applier import Applier
from clusterlite.replica.database import open_writer
from clusterlite.replica.folder import DataFolder
from clusterlite.replica.state import take_over
from tests.cli import cli
from tests.nodes import User, follows, stamp
from tests.spot import Spot

MARK: Final = 1024
_PAGE_BYTES: Final = 4096


class Note(Entity, table="notes"):
    text: str


class Newer(DeclaredOperations):
    """A newer build's way to apply a table."""

    apply_version = 1

    def handle_delete(self, rows: TableRows, change: Change) -> None:
        rows.upsert({"id": change.key, "text": ""})


Case = Callable[[Spot], Iterator[None]]


def another_log(spot: Spot) -> Iterator[None]:
    own, spot.log = spot.log, spot.folder / "other"
    data, spot.data = spot.data, spot.folder / "other-node"
    spot.start()
    for name in ("x", "y", "z"):
        spot.create(name)
    spot.data = data
    spot.start(ready=False)
    yield
    spot.log = own
    spot.start()


def another_log_to_join(spot: Spot) -> Iterator[None]:
    breaking = another_log(spot)
    next(breaking)
    yield
    spot.reset()
    spot.start()
    spot.written = ["x", "y", "z"]


def another_cluster(spot: Spot) -> Iterator[None]:
    cluster = spot.served.node.cluster
    spot.start(cluster="another", ready=False)
    yield
    spot.start(cluster=cluster)


def an_older_copy(spot: Spot) -> Iterator[None]:
    spot.stop()
    older = spot.log.read_bytes()
    spot.start()
    spot.create("ben")
    spot.written.append("ben")
    spot.keep_copy()
    spot.log.write_bytes(older)
    spot.start(ready=False)
    yield
    spot.restore_copy()
    spot.start()


def a_trimmed_log(spot: Spot) -> Iterator[None]:
    spot.stop()
    late, spot.data = spot.data, spot.folder / "other-node"
    spot.start()
    for name in ("ben", "cleo"):
        spot.create(name)
        spot.written.append(name)
    log = FileLog(spot.log)
    log.open()
    log.trim(spot.served.node.position)
    log.close()
    other, spot.data = spot.data, late
    spot.start(ready=False)
    yield
    spot.reset()
    shutil.copy(other / "replica-1.db", spot.data)
    spot.start()


def a_copied_log(spot: Spot) -> Iterator[None]:
    spot.keep_copy()
    spot.log = spot.folder / "copy" / "log"
    spot.start(ready=False)
    yield
    spot.stop()
    assert cli("adopt", "--moved", spot.log).code == 0
    spot.start()


def a_vanished_log(spot: Spot) -> Iterator[None]:
    spot.log.rename(spot.folder / "elsewhere")
    yield
    (spot.folder / "elsewhere").rename(spot.log)
    spot.start()


def a_damaged_log(spot: Spot) -> Iterator[None]:
    spot.keep_copy()
    _damage(spot.log, "SELECT rootpage FROM sqlite_schema WHERE name = 'record'")
    spot.start(ready=False)
    yield
    spot.restore_copy()
    spot.start()


def a_failed_fsync_of_the_log(spot: Spot) -> Iterator[None]:
    spot.disk.ending = "/log-wal"
    with spot.disk.failing(apsw.IOError, "sync"):
        assert spot.create("unknown") == 504
    yield
    spot.start()
    assert not (spot.folder / "log.doubt").exists()
    settled = [row["id"] for row in spot.served.request("GET", "/users").json]
    spot.written = sorted({*spot.written, *settled} & {"ann", "unknown"})


def a_vanished_folder(spot: Spot) -> Iterator[None]:
    (spot.data / "replica-1.db").unlink()
    yield
    spot.start()


def a_damaged_replica(spot: Spot) -> Iterator[None]:
    for number in range(50):
        spot.create(f"u{number}")
        spot.written.append(f"u{number}")
    sql = "SELECT rootpage FROM sqlite_schema WHERE type = 'index' AND sql LIKE '%email%'"
    _damage(DataFolder(spot.data).replica, sql)
    spot.insert("ben")
    yield
    spot.repair()
    spot.start()
    spot.written.append("ben")


def a_failed_write_of_the_replica(spot: Spot) -> Iterator[None]:
    spot.disk.ending = "replica-1.db-wal"
    with spot.disk.failing(apsw.IOError, "write"):
        spot.insert("ben")
        yield
    spot.start()
    assert not DataFolder(spot.data).doubted
    spot.written.append("ben")


def another_writer(spot: Spot) -> Iterator[None]:
    other = open_writer(DataFolder(spot.data).replica)
    take_over(other, "n", "a later start")
    other.close()
    spot.insert("ben")
    yield
    spot.start()
    spot.written.append("ben")


def a_flipped_row(spot: Spot) -> Iterator[None]:
    spot.patch.setattr("clusterlite.core.checkpoint.EVERY_S", 0.0)
    spot.patch.setattr("clusterlite.core.checkpoint.RANK_S", 0.0)
    node = spot.served.node
    spot.create("ben")
    with contextlib.closing(apsw.Connection(str(DataFolder(spot.data).replica))) as stranger:
        stranger.set_busy_timeout(5_000)
        stranger.execute("DELETE FROM users WHERE id = 'ben'")
    deleted = codec.encode(stamp(node, "e-1"), "DELETE", "users", {"id": "ben"})
    last = spot.append(deleted)
    forged = {"position": MARK, "hash": "ab" * 32, "node": "nobody", "incarnation": "none"}
    spot.append(*[b"{}"] * (MARK - last))
    follows(node, MARK)
    spot.append(codec.encode(stamp(node, "e-2"), "CHECKPOINT", "", forged))
    yield
    spot.repair()
    spot.start()


def a_defect(spot: Spot) -> Iterator[None]:
    def fails(*_: object) -> None:
        raise RuntimeError("a defect")

    with spot.patch.context() as patched:
        patched.setattr(Applier, "apply", fails)
        spot.insert("ben")
        yield
    spot.start()
    spot.written.append("ben")


def a_newer_build(spot: Spot) -> Iterator[None]:
    newer = Newer(Note).create_table()
    spot.append(codec.encode(stamp(spot.served.node, "e-1"), "SCHEMA", "notes", newer.to_json()))
    yield
    spot.start(entities=(User, Newer(Note)))


CASES: Final[dict[str, tuple[str, Case]]] = {
    "another log": ("wrong_log", another_log),
    "another log that is to be joined": ("wrong_log", another_log_to_join),
    "another cluster": ("wrong_log", another_cluster),
    "an older copy of the log": ("log_rewound", an_older_copy),
    "a trimmed log": ("log_gap", a_trimmed_log),
    "a copied log": ("log_moved", a_copied_log),
    "a log that vanished": ("log_gone", a_vanished_log),
    "a damaged log": ("log_corrupt", a_damaged_log),
    "a failed fsync of the log": ("log_io", a_failed_fsync_of_the_log),
    "a replica that vanished": ("folder_gone", a_vanished_folder),
    "a damaged replica": ("replica_corrupt", a_damaged_replica),
    "a failed write of the replica": ("replica_io", a_failed_write_of_the_replica),
    "another writer of the replica": ("replica_taken", another_writer),
    "a flipped row": ("diverged", a_flipped_row),
    "a defect": ("internal", a_defect),
    "a newer build's table": ("too_new", a_newer_build),
}
"""By what happened: the reason to halt."""


def _damage(file: Path, root: str) -> None:
    """Overwrite the page of a table or an index, whose number `root` asks for."""
    with contextlib.closing(apsw.Connection(str(file))) as connection:
        connection.set_busy_timeout(5_000)
        page = connection.execute(root).get
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    with file.open("r+b") as damaged:
        damaged.seek((page - 1) * _PAGE_BYTES)
        damaged.write(b"\xa5" * _PAGE_BYTES)
