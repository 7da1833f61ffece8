-- Node-local: the checkpoints of the log that this replica was compared with, the newest of them.
-- No part of the content hash. Made at every start, since older files lack it.
CREATE TABLE IF NOT EXISTS _cl_checkpoint (
    position INTEGER PRIMARY KEY,       -- of the record
    mark INTEGER NOT NULL,              -- that it names
    hash BLOB NOT NULL,                 -- that it says the running hash is there
    node TEXT NOT NULL,                 -- who says so
    incarnation TEXT NOT NULL,
    verdict TEXT NOT NULL               -- agreed, refuted, disputed
) STRICT;
