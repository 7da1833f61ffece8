"""The replica: a SQLite database and the code that applies events to it.

Reading order: `folder` (whose it is), `database` (how it is opened), `state` (the bookkeeping),
`tables` (DDL), `changes` (one row operation), `applier` (a batch), `reader`, `verify`.
"""
