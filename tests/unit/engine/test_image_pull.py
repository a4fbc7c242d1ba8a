"""The fix for each way in which a pull fails."""

from __future__ import annotations

import pytest

from sandbox.engine.image_pull import advice


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("toomanyrequests: You have reached your unauthenticated pull rate limit", "docker login"),
        ("pull access denied for x, repository does not exist or may require 'docker login'", "docker login HOST"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "certs.d"),
        ("write /var/lib/docker/tmp/GetImageBlob1: no space left on device", "docker system df"),
        ("filesystem layer verification failed for digest sha256:0", "a proxy on the way changes"),
        ("manifest for registry:3 not found: manifest unknown", "mirror does not have it"),
        ("proxyconnect tcp: dial tcp: lookup proxy: no such host", "daemon.json"),
        ("dial tcp: lookup registry-1.docker.io on 127.0.0.53:53: no such host", "mirror: …"),
        ("net/http: TLS handshake timeout", "mirror: …"),
    ],
)
def test_failed_pull_has_the_fix_that_fits_its_cause(said: str, fix: str) -> None:
    assert fix in advice(said)
