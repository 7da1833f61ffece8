"""The log: one ordered, durable sequence of records. Read `base` first; it is the contract."""
