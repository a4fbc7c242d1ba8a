"""The sandbox's authority, its certificates, and the TLS Secrets in the cluster."""
