"""The user's own manifests and charts, applied and waited for."""
