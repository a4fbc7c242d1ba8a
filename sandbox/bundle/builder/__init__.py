"""Builds the bundle's components from package registries."""
