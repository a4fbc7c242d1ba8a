"""Accounts at registries, as pull Secrets in the cluster."""
