"""Traces one request from a host's name to the application's answer, to find the step that fails."""
