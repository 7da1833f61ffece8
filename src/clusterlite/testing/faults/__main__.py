"""`python -m clusterlite.testing.faults`: see `run`."""

from clusterlite.testing.faults.run import main

main()
