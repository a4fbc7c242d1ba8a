"""Follows one request from a host's name to the application's answer, to find where it goes astray."""
