"""`python -m clusterlite` is the command line."""

from clusterlite.cli import main

main()
