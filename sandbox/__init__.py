"""A local development sandbox: a real cluster with its own registry, certificates and HTTPS edge."""

__version__ = "0.1.0"
