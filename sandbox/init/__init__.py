"""Detects what a project's folder contains, and writes a sandbox.yaml and images.yaml for it."""
