"""What is said of a pull while it goes on, and the fix for each way in which it fails."""

from __future__ import annotations

import pytest

from sandbox.engine.image_pull import Pull, advice

MB = 1_000_000


def downloading(layer: str, current: int, total: int) -> dict[str, object]:
    return {"id": layer, "status": "Downloading", "progressDetail": {"current": current, "total": total}}


def test_line_has_bytes_layers_rate_and_the_time_left() -> None:
    pull = Pull(started=100.0)
    for event in (
        {"status": "Pulling from library/registry", "id": "3.1"},
        {"id": "a", "status": "Pulling fs layer", "progressDetail": {}},
        {"id": "b", "status": "Already exists"},
        downloading("a", 20 * MB, 100 * MB),
    ):
        pull.add(event)
    assert pull.line(102.0) == "20 of 100 MB, 1 of 2 layers, 10.0 MB/s, 8 s left"


def test_extraction_does_not_count_bytes_again() -> None:
    pull = Pull(started=0.0)
    pull.add(downloading("a", 50 * MB, 100 * MB))
    pull.add({"id": "a", "status": "Download complete", "progressDetail": {}})
    pull.add({"id": "a", "status": "Extracting", "progressDetail": {"current": 1, "total": 100 * MB}})
    assert pull.line(10.0) == "100 of 100 MB, 0 of 1 layers"
    pull.add({"id": "a", "status": "Pull complete", "progressDetail": {}})
    assert pull.line(11.0) == "100 of 100 MB, 1 of 1 layers"


def test_engine_that_tries_again_is_reported_until_it_continues() -> None:
    pull = Pull(started=0.0)
    pull.add(downloading("a", MB, 2 * MB))
    pull.add({"id": "a", "status": "Retrying in 5 seconds", "progressDetail": {}})
    assert pull.line(1.0).endswith("retrying in 5 seconds")
    pull.add(downloading("a", MB, 2 * MB))
    assert "retrying" not in pull.line(1.0)


@pytest.mark.parametrize("event", [{}, {"status": "Digest: sha256:0"}, {"id": "a", "status": "Downloading"}])
def test_events_of_other_kinds_are_passed_over(event: dict[str, object]) -> None:
    pull = Pull(started=0.0)
    pull.add(event)
    assert "MB" not in pull.line(5.0)


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
