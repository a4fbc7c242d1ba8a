"""Registries by the OCI distribution specification: references, manifests, transfers, accounts."""
