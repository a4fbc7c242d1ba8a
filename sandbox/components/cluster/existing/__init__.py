"""A namespace of a cluster that exists already."""
