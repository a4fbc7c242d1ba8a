"""Tests of sandbox.certs, with the helpers they share."""
