"""The Kubernetes cluster and the way to it."""
