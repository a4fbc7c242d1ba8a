"""Follows the way out of the cluster from inside a pod: names, the gateway, a connection, TLS."""
