"""Sandboxes kept for later: everything they hold in one folder, and brought back from it."""
