"""The ingress controller, its default backend, and the final check that hosts answer."""
