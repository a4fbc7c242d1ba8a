"""The progress of the engine's pulls, from the events of `POST /images/create` (Docker Engine API)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(kw_only=True)
class Pull:
    """A running pull: `now` and `started` in seconds of any one clock."""

    started: float
    totals: dict[str, int] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    layers: dict[str, bool] = field(default_factory=dict)
    trouble: str = ""

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in one event; only those about a layer's progress count."""
        layer, status = str(event.get("id") or ""), str(event.get("status") or "")
        if not layer or status.startswith("Pulling from"):
            return
        self.trouble = status.lower() if status.startswith("Retrying") else ""
        self.layers.setdefault(layer, False)
        detail = event.get("progressDetail") or {}
        if status == "Downloading" and detail.get("current"):  # "Extracting" counts the bytes of a layer again
            self.received[layer] = detail["current"]
            self.totals[layer] = detail.get("total") or 0
        elif status in ("Pull complete", "Already exists", "Download complete"):
            self.layers[layer] = self.layers[layer] or status != "Download complete"
            self.received[layer] = self.totals.get(layer, 0)

    def line(self, now: float) -> str:
        received, total = sum(self.received.values()), sum(self.totals.values())
        parts = [f"{received / 1e6:.0f} of {total / 1e6:.0f} MB"] if total else []
        if self.layers:
            parts.append(f"{sum(self.layers.values())} of {len(self.layers)} layers")
        seconds = now - self.started
        if received and seconds > 1 and received < total:
            rate = received / seconds
            parts += [f"{rate / 1e6:.1f} MB/s", f"{(total - received) / rate:.0f} s left"]
        return ", ".join([*parts, self.trouble] if self.trouble else parts)


def advice(message: str, build: str = "") -> str:
    """Return the fix for the engine's message about a failed pull; empty where there is no special one.

    `build` is the command that builds the image, if the bundle can.
    """
    text = message.lower()
    fix = next((fix for words, fix in _FIXES if any(word in text for word in words)), "")
    return fix.replace("{build}", f", or build from package registries: {build}" if build else "")
