"""The fixes for failed pulls, by the engine's messages."""

from __future__ import annotations

_FIXES = (
    (
        ("proxyconnect", "407"),
        'correct the engine\'s proxy: "proxies" in /etc/docker/daemon.json, then restart the engine',
    ),
    (
        ("toomanyrequests", "too many requests", "rate limit"),
        "log in, which raises the limit (docker login), name your company's mirror (`images: {mirror: …}` in "
        "sandbox.yaml), or try again later",
    ),
    (
        ("unauthorized", "denied", "authentication required", "no basic auth"),
        "log in to the registry: docker login HOST",
    ),
    (("x509", "certificate"), "let the engine trust the registry's CA: /etc/docker/certs.d/HOST/ca.crt"),
    (("no space left", "disk quota"), "free space on the engine's disk: docker system df, docker image prune"),
    (
        ("verification failed", "unexpected eof", "digest", "checksum"),
        "run the same command again; if it stays so, a proxy on the way changes what it passes",
    ),
    (
        ("manifest unknown", "not found"),
        "the registry or mirror does not have it; correct `images: {mirror: …}`{build}",
    ),
    (
        ("no such host", "lookup", "timeout", "timed out", "connection refused", "unreachable", "reset by peer"),
        "check the engine's network and proxy, name a mirror (`images: {mirror: …}` in sandbox.yaml){build}",
    ),
)


def advice(message: str, build: str = "") -> str:
    """Return the fix for the engine's message about a failed pull; empty where there is no special one.

    `build` is the command that builds the image, if the bundle can.
    """
    text = message.lower()
    fix = next((fix for words, fix in _FIXES if any(word in text for word in words)), "")
    return fix.replace("{build}", f", or build from package registries: {build}" if build else "")
