"""Checks everything that a sandbox needs, and tells what is wrong and how to fix it; changes nothing."""
