"""Load for clusters: clients over HTTP, and workloads whose end says whether it went well.

    python -m clusterlite serve --entities clusterlite.testing.load.entities …

    load = Load([8082, 8083], WORKLOADS, clients=16, seed=7)
    await load.run(); await load.settle()
    history.check(load.recorder.history(), …), load.judge(rows)

What a client asks and is told goes into `clusterlite.testing.history`. But for the entities,
nothing in here imports the rest of the package: what is tried is only spoken to over HTTP.
"""
