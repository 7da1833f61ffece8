"""Shipped tests: what an adapter or a table's own operations must do to be used.

`log_contract.LogContract` is for log adapters, `operations_contract` for table operations.
`history` records what clients were told, and checks it against the log.
"""
