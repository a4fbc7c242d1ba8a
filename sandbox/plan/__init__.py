"""The components of a sandbox as an ordered list of steps, and the walk over it."""
