"""Addons: what a cluster gets besides the sandbox's own parts."""
