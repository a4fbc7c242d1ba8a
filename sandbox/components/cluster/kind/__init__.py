"""Clusters made by kind."""
