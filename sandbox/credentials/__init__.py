"""Accounts at other registries: read from people's files, traded for what pods pull with, kept fresh in the cluster."""
