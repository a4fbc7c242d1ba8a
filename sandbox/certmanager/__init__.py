"""cert-manager in the cluster, as the issuer of the sandbox's certificates."""
