"""`python -m clusterlite.testing.cluster`: see `nodes`."""

from clusterlite.testing.cluster.nodes import main

main()
