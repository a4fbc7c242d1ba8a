"""Our client of OCI registries, and the push engine that fills the sandbox's own from a manifest of images."""
