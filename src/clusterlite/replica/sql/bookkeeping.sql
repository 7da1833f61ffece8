-- Bookkeeping of a replica. Everything that begins with _cl_ is ours; all else is the user's.

-- What apply depends on besides rows. One row.
CREATE TABLE _cl_state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    position INTEGER NOT NULL,          -- of the last record applied, -1 before any
    hash BLOB NOT NULL,                 -- running hash after it
    record_hash BLOB NOT NULL,          -- of its bytes, to recognise the log
    time_ms INTEGER NOT NULL,           -- the largest log time so far
    cluster TEXT NOT NULL,              -- empty before GENESIS
    level INTEGER NOT NULL,             -- apply level in force
    window_positions INTEGER NOT NULL,  -- event ids are remembered at least this long
    window_ms INTEGER NOT NULL,         -- and this long
    floor INTEGER NOT NULL              -- outcomes below it are forgotten
) STRICT;

-- Node-local: who writes this file, and which log it follows. No part of the content hash.
CREATE TABLE _cl_node (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    node TEXT NOT NULL,
    incarnation TEXT NOT NULL,          -- random per start; a batch of another one is refused
    log_kind TEXT NOT NULL,
    log_id TEXT NOT NULL,
    log_home TEXT NOT NULL,
    confirmed INTEGER NOT NULL          -- last position at which the log's identity was checked
) STRICT;

-- Verdicts, kept while their position is at or above the floor.
CREATE TABLE _cl_outcome (
    position INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    verdict TEXT NOT NULL,
    code TEXT,
    detail TEXT,                        -- JSON: what each change did, or what failed
    fp TEXT NOT NULL
) STRICT;

-- The running hash and log time at multiples of 1,024.
CREATE TABLE _cl_mark (
    position INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    time_ms INTEGER NOT NULL
) STRICT;

-- Declarations as the log made them.
CREATE TABLE _cl_schema (
    table_name TEXT PRIMARY KEY,        -- folded
    position INTEGER NOT NULL,
    declared INTEGER NOT NULL,
    declaration TEXT NOT NULL,          -- JSON
    since TEXT NOT NULL,                -- JSON: per column the position that added it
    written INTEGER NOT NULL DEFAULT -1 -- position of the last event that wrote a row
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 1;
