"""The Kubernetes API: the one door to clusters."""
