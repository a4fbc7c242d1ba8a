"""The sandbox's own certificate authority; no other package imports `cryptography`."""
