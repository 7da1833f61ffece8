"""The content hash of a replica, and whether its file is sound.

One read snapshot: rows by key with their version, schemas, settings, and outcomes above the
floor. SQLite's own tables and what belongs to one node alone are left out, so that equal
replicas have equal hashes after a restore, a VACUUM, or on another SQLite build.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import msgspec

from clusterlite.core.fields import canonical_json
from clusterlite.replica.database import open_reader, scalar
from clusterlite.replica.tables import load_tables, quote

_pack = msgspec.msgpack.Encoder().encode


class Verified(NamedTuple):
    """What `verify` found.

    Args:
        cluster: cluster id.
        position: of the snapshot.
        running: running hash at the position, hex.
        content: content hash, hex.
        rows: per table.
        damage: what SQLite's own check says; empty where the file is sound.
    """

    cluster: str
    position: int
    running: str
    content: str
    rows: dict[str, int]
    damage: list[str]


def verify(path: Path) -> Verified:
    """Read a replica's file whole.

    Raises:
        apsw.Error: it cannot be read.
    """
    connection = open_reader(path)
    try:
        connection.execute("BEGIN")
        damage = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        damage += [
            f"row {rowid} of {table} refers to no row of {parent}"
            for table, rowid, parent, _ in connection.execute("PRAGMA foreign_key_check")
        ]
        state = connection.execute(
            "SELECT cluster, position, hash, level, window_positions, window_ms, floor"
            " FROM _cl_state"
        ).fetchone()
        cluster, position, running, *settings = state or ("", -1, bytes(32), 1, 0, 0, -1)
        digest = blake2b(_pack(["settings", cluster, *settings]), digest_size=32)
        rows: dict[str, int] = {}
        for name, table in sorted(load_tables(connection).items()):
            schema = table.schema
            digest.update(_pack(["table", name, schema.declared, canonical_json(schema.to_json())]))
            columns = "".join(f", {quote(column)}" for column, _ in schema.sorted_names)
            count = 0
            for row in connection.execute(
                f"SELECT id, _version{columns} FROM {table.name} ORDER BY id"
            ):
                digest.update(_pack(row))
                count += 1
            rows[schema.name] = count
        floor = scalar(connection, "SELECT floor FROM _cl_state")
        for row in connection.execute(
            "SELECT position, event_id, verdict, code, detail, fp FROM _cl_outcome"
            " WHERE position >= ? ORDER BY position",
            (-1 if floor is None else floor,),
        ):
            digest.update(_pack(row))
        return Verified(cluster, position, running.hex(), digest.hexdigest(), rows, damage)
    finally:
        connection.close()
