"""The progress of the engine's pulls, from the events of `POST /images/create` (Docker Engine API)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DONE = ("Pull complete", "Already exists", "Download complete")
# The status for which Docker's client draws a bar; "Extracting" counts the bytes of a layer again.
DOWNLOADING = "Downloading"
RETRYING = "Retrying"
MEGABYTE = 1e6


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
        self.trouble = status if status.startswith(RETRYING) else ""
        self.layers.setdefault(layer, False)
        detail = event.get("progressDetail") or {}
        if status == DOWNLOADING and isinstance(detail.get("current"), int):
            self.received[layer] = detail["current"]
            if isinstance(detail.get("total"), int) and detail["total"] > 0:
                self.totals[layer] = detail["total"]
        elif status in DONE:
            self.layers[layer] = self.layers[layer] or status != "Download complete"
            if layer in self.totals:
                self.received[layer] = self.totals[layer]

    def line(self, now: float) -> str:
        """Return the progress: bytes, layers, rate and the time that is left, as far as they are known."""
        received, total = sum(self.received.values()), sum(self.totals.values())
        parts = [f"{received / MEGABYTE:.0f} of {total / MEGABYTE:.0f} MB"] if total else []
        if self.layers:
            parts.append(f"{sum(self.layers.values())} of {len(self.layers)} layers")
        seconds = now - self.started
        if received and seconds > 1 and received < total:
            rate = received / seconds
            parts += [f"{rate / MEGABYTE:.1f} MB/s", f"{(total - received) / rate:.0f} s left"]
        if self.trouble:
            parts.append(self.trouble[0].lower() + self.trouble[1:])
        return ", ".join(parts)


def advice(message: str, build: str = "") -> str:
    """Return the fix for the engine's message about a failed pull; empty where there is no special one.

    `build` is the command that builds the image, if the bundle can.
    """
    text = message.lower()
    fix = next((fix for words, fix in _FIXES if any(word in text for word in words)), "")
    return fix.replace(_BUILD, f", or build from package registries: {build}" if build else "")


_BUILD = "{build}"


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
        f"the registry or mirror does not have it; correct `images: {{mirror: …}}`{_BUILD}",
    ),
    (
        ("no such host", "lookup", "timeout", "timed out", "connection refused", "unreachable", "reset by peer"),
        f"check the engine's network and proxy, name a mirror (`images: {{mirror: …}}` in sandbox.yaml){_BUILD}",
    ),
)
