"""The proof that a node's containerd pulls from the registry, and the search for the hop that is broken."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from sandbox.system import files

_ANSWERS = ("200", "401")


@dataclass(frozen=True)
class Pulled:
    """The canary came, in so many milliseconds."""

    milliseconds: int


@dataclass(frozen=True)
class Broken:
    """The canary did not come: `hop` is the first that fails (name, route, http, manifest, pull), `reason` says how."""

    hop: str
    reason: str


def command(registry: str, image: str, endpoint: str) -> list[str]:
    """Return the command for a node to pull `image` (`REPOSITORY@DIGEST`) by `registry`, the name of `endpoint`."""
    where = urlsplit(endpoint)
    repository, _, digest = image.partition("@")
    port = str(where.port or (443 if where.scheme == "https" else 80))
    path = f"/v2/{repository}/manifests/{digest}"
    return [
        "bash",
        "-c",
        files.packaged(__package__, "scripts/canary.sh"),
        "canary",
        f"{registry}/{image}",
        where.hostname or "",
        port,
        path,
    ]


def read(output: str, endpoint: str) -> Pulled | Broken:
    """Return what the command's output says."""
    said = {word: rest for word, _, rest in (line.partition(" ") for line in output.splitlines())}
    if said.get("pulled", "").isdigit():
        return Pulled(int(said["pulled"]))
    where = urlsplit(endpoint)
    if not said.get("name"):
        return Broken("name", f"{where.hostname} has no address there")
    if not said.get("route"):
        return Broken("route", f"{said['name']}:{where.port} refuses or does not answer")
    if where.scheme == "http" and said.get("http") not in _ANSWERS:
        return Broken("http", f"GET {endpoint}/v2/ answers {said.get('http') or 'nothing'}")
    if where.scheme == "http" and said.get("manifest") not in _ANSWERS:
        return Broken("manifest", f"the registry there answers {said.get('manifest') or 'nothing'} to the canary")
    return Broken("pull", said.get("pull", output.strip()))
