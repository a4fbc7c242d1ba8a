"""What tells a cluster of the registry: containerd's hosts.toml, the ConfigMap of KEP-1755 and a Service for pods."""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

SERVICE = "registry"
FOLDER = PurePosixPath("/etc/containerd/certs.d")
# The first line of the files that we may change and remove; other programs and users have files next to them.
MARK = b"# sandbox: the registry and its mirrors; `up` writes this file anew\n"


def host_file(name: str, endpoint: str, *, server: str = "", ca: str = "") -> tuple[PurePosixPath, bytes]:
    """Return the file for pulls of `NAME/…` from `endpoint`, else from `server` (containerd docs, hosts.md).

    containerd reads it at every pull, so it may change while containerd runs. `ca` is an absolute path on the node.
    """
    text = f'server = "{server or endpoint}"\n\n[host."{endpoint}"]\n  capabilities = ["pull", "resolve"]\n'
    if ca:
        text += f'  ca = "{ca}"\n'
    return FOLDER / name / "hosts.toml", MARK + text.encode()


def host_files(names: Iterable[str], endpoint: str) -> dict[PurePosixPath, bytes]:
    return dict(host_file(name, endpoint) for name in names)


def read_listing(output: str) -> dict[PurePosixPath, bytes]:
    """Return the files in the output of `grep -r -Z ""`: lines that begin with the file's path and a NUL."""
    files: dict[PurePosixPath, bytes] = {}
    for line in output.splitlines():
        path, nul, rest = line.partition("\0")
        if nul:
            place = PurePosixPath(path)
            files[place] = files.get(place, b"") + rest.encode() + b"\n"
    return files


def stale(files: Mapping[PurePosixPath, bytes], current: Iterable[PurePosixPath]) -> tuple[PurePosixPath, ...]:
    kept = frozenset(current)
    return tuple(path for path, content in files.items() if content.startswith(MARK) and path not in kept)


def hosting(*, host: str, container_runtime: str, cluster_network: str) -> dict[str, Any]:
    """Return the ConfigMap that tells tools where to push and how to name images (KEP-1755, every field)."""
    lines = {
        "host": host,
        "hostFromContainerRuntime": container_runtime,
        "hostFromClusterNetwork": cluster_network,
        "help": "https://kind.sigs.k8s.io/docs/user/local-registry/",
    }
    text = "".join(f'{key}: "{value}"\n' for key, value in lines.items())
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "local-registry-hosting", "namespace": "kube-public"},
        "data": {"localRegistryHosting.v1": text},
    }


def service(namespace: str, *, address: str, port: int) -> tuple[dict[str, Any], ...]:
    """Return a Service without pods that gives the registry's container a name that pods can resolve."""
    metadata = {"name": SERVICE, "namespace": namespace}
    ports = [{"name": "http", "port": port}]
    slice_metadata = {**metadata, "labels": {"kubernetes.io/service-name": SERVICE}}
    return (
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": slice_metadata,
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": [address]}],
        },
    )
