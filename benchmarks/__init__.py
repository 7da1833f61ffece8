"""Measurements of ClusterLite against raw limits of the same machine, in the same run.

    python -m benchmarks [--rounds 5] [--seconds 3] [--large] [ROW...]

Only ratios mean anything: a machine may be twice as slow an hour later. So every figure stands
beside that of the bare thing, both measured in turn, round after round. Read in this order:

    rows          what is measured, and what it must reach
    experiments   how: servers, then one measurement a round
    bare, raw     what it is compared with
    load, nodes   the load generator, and the servers under load
    events        records for logs that are filled beforehand
    apply_cost, catch_up, failover, idle, many_rows, pocketbase   the larger experiments
    report        samples, their table and their JSON
"""
