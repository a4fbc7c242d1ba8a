"""The files where systems keep their trusted certificates, and the password of Java's truststores."""

from __future__ import annotations

# Go, crypto/x509/root_linux.go and root_darwin.go.
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora
    "/etc/pki/tls/certs/ca-bundle.crt",  # its older releases
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS
)
# Not a secret: the content of a truststore is public, and Java requires a password all the same.
JAVA_PASSWORD = "changeit"  # noqa: S105
