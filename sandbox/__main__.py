"""`python -m sandbox`."""

from sandbox.cli.app import main

main()
