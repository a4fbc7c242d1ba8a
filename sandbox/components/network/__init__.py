"""The Docker network."""
