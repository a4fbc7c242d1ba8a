"""The proof that a node's containerd pulls from the registry, and the search for the hop that is broken."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

# Removed first, so that it is really pulled, and last, so that nobody meets it in a list of images. When the pull
# fails, the way is gone hop by hop as containerd goes it; a hop that does not answer ends the search.
_SCRIPT = r"""
image=$1 host=$2 port=$3 manifest=$4
crictl rmi "$image" >/dev/null 2>&1
begun=$(date +%s%N)
if said=$(timeout 20 crictl pull "$image" 2>&1); then
  echo "pulled $(( ($(date +%s%N) - begun) / 1000000 ))"
  crictl rmi "$image" >/dev/null 2>&1
  exit 0
fi
address=$(getent ahostsv4 "$host" | awk 'NR == 1 {print $1}')
echo "name $address"
[ -n "$address" ] || exit 0
timeout 3 bash -c 'exec 3<>/dev/tcp/$0/$1' "$address" "$port" 2>/dev/null || { echo "route"; exit 0; }
echo "route open"
kind=application/vnd.oci.image.manifest.v1+json
ask() {
  timeout 5 bash -c 'exec 3<>/dev/tcp/$0/$1
    printf "GET %s HTTP/1.0\r\nHost: %s\r\nAccept: %s\r\n\r\n" "$2" "$3" "$4" >&3
    read -r _ status _ <&3; echo "$status"' "$address" "$port" "$1" "$host:$port" "$kind" 2>/dev/null
}
echo "http $(ask /v2/)"
echo "manifest $(ask "$manifest")"
echo "pull $(echo "$said" | tail -n 1)"
"""

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
    """What a node is to execute to pull `image` (`REPOSITORY@DIGEST`) by the name `registry` of what `endpoint` is."""
    where = urlsplit(endpoint)
    repository, _, digest = image.partition("@")
    port = str(where.port or (443 if where.scheme == "https" else 80))
    path = f"/v2/{repository}/manifests/{digest}"
    return ["bash", "-c", _SCRIPT, "canary", f"{registry}/{image}", where.hostname or "", port, path]


def read(output: str, endpoint: str) -> Pulled | Broken:
    """What the command's output says."""
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
