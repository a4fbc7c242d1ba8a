"""The ingress controller, its default backend, and the proof that hosts answer."""
