"""Snapshots: save everything that a sandbox holds in one folder, and restore it."""
