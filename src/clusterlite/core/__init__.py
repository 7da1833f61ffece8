"""The pure core: what an event means, decided without I/O, clock, randomness, threads or async.

Reading order: `codec` (bytes to events), `event`, `fields` and `schema` (what a table is),
`entity` (how a Python class declares one), `operations` and `registry`, `outcome`, `hashing`.
"""
