"""The sandbox for programs: tests, notebooks, and the command line, which stands on it."""
