"""The parts that a sandbox is made of, one folder each with everything about it."""
