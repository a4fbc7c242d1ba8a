"""The user's own manifests, applied and waited for."""
