"""The ingress controller inside the cluster and the page for unknown hosts."""
