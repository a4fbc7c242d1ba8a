"""What `--output json` prints for each command, and `--progress json` for each event, as types for JSON Schemas.

A field with a default may be missing. Programs have to pass over keys that they do not know: later releases add some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from sandbox.app.addon_changes import Row as Addon
from sandbox.app.edge_ports import PortStatus
from sandbox.app.known_sandboxes import Known
from sandbox.app.service_places import Balanced, Reached
from sandbox.cli.json_image_results import Bytes, Collected, PrunedImages, Push, PushForecast, RegistryContent, Seconds
from sandbox.components.edge.haproxy_admin import Server
from sandbox.components.edge.route import AddedRoute

DIALECT = "https://json-schema.org/draft/2020-12/schema"

StepState = Literal["ready", "absent", "drifted", "stale", "unseen"]


@dataclass(frozen=True)
class Step:
    """A component and its state; `detail` is for people."""

    step: str
    title: str
    state: StepState
    detail: str


@dataclass(frozen=True)
class Network:
    """Who else than this machine reaches the sandbox; `neighbours` is a sentence, empty if none do."""

    open: bool
    urls: tuple[str, ...]
    without_certificate: tuple[str, ...]
    neighbours: str


@dataclass(frozen=True)
class SandboxStatus:
    """`sandbox status`."""

    name: str
    steps: tuple[Step, ...]
    network: Network
    services: tuple[Reached, ...] = ()


@dataclass(frozen=True)
class Up:
    """`sandbox up` and `sandbox start`; `context` is null if the user's kubeconfig does not have it."""

    name: str
    urls: tuple[str, ...]
    network_urls: tuple[str, ...]
    neighbours: str
    registry: str
    context: str | None
    kubeconfig: str
    root_certificate: str


@dataclass(frozen=True)
class Change:
    """What `up` would do with a component, and what would be lost."""

    step: str
    title: str
    action: Literal["make", "repair", "rebuild", "look at"]
    detail: str
    loses: str


@dataclass(frozen=True)
class Plan:
    """`sandbox up --plan`."""

    name: str
    changes: bool
    steps: tuple[Change, ...]


@dataclass(frozen=True)
class Finding:
    """A row of a doctor; only warnings and errors have a fix."""

    id: str
    status: Literal["ok", "warn", "error", "skipped"]
    evidence: str
    fix: str


@dataclass(frozen=True)
class ErrorAdvice:
    """An id of errors, as `sandbox explain` tells it."""

    id: str
    title: str
    meaning: str
    advice: str


@dataclass(frozen=True)
class ValidConfig:
    """`sandbox config validate`: how much a valid spec has of each; `notes` are sentences on what may not work."""

    name: str
    domain: str
    addons: int
    images: int
    objects: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ConfigValue:
    """A key of the spec, its value, and where it is from: FILE:LINE, or `default` and other words."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True)
class Certificate:
    """A certificate; `secrets` and `stores` are null where they are not known or do not apply."""

    name: str
    role: Literal["root", "issuing", "leaf"]
    state: Literal["absent", "good", "due", "broken"]
    reason: str
    file: str
    secrets: tuple[str, ...] | None
    stores: tuple[str, ...] | None
    subject: str = ""
    issuer: str = ""
    hosts: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    not_before: str = ""
    not_after: str = ""
    days_left: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Certificates:
    """`sandbox certs show`."""

    name: str
    cluster_reachable: bool
    certificates: tuple[Certificate, ...]


@dataclass(frozen=True)
class ListeningPort:
    """A port of this machine, and whether a spec asks for it."""

    address: str
    port: int
    asked_for: bool


@dataclass(frozen=True)
class EdgeRoute:
    """A host and its servers; days of the certificate where TLS ends at the edge."""

    host: str
    sandbox: str
    mode: str
    upstreams: tuple[str, ...]
    servers: tuple[Server, ...]
    certificate_days_left: int | None = None


@dataclass(frozen=True)
class EdgeStatus:
    """`sandbox edge status`."""

    running: bool
    ports: tuple[ListeningPort, ...]
    routes: tuple[EdgeRoute, ...]
    tcp: tuple[PortStatus, ...]
    load_balancers: tuple[Balanced, ...]
    tls: tuple[PortStatus, ...] = ()


@dataclass(frozen=True)
class Urls:
    """`sandbox edge url`."""

    urls: tuple[str, ...]


@dataclass(frozen=True)
class Account:
    """Accounts at other registries in a Secret; `from` is the command or file that asked for them."""

    secret: str
    kind: Literal["docker", "gcr", "ecr", "acr"]
    registries: tuple[str, ...]
    namespaces: Literal["all"] | tuple[str, ...]
    file: str | None
    from_: Annotated[str, Field(alias="from")]
    expires: str | None


@dataclass(frozen=True)
class Accounts:
    """`sandbox credentials list`; `ignored` are Secrets that no command of this user made.

    `registry_creds` are the kinds of accounts that minikube's addon of that name has.
    """

    name: str
    credentials: tuple[Account, ...]
    ignored: tuple[str, ...]
    registry_creds: tuple[str, ...]


@dataclass(frozen=True)
class BundleComponent:
    """A component of the bundle; `bytes` are null while it is not built."""

    name: str
    version: str
    digest: str
    bytes: Bytes | None


@dataclass(frozen=True)
class SnapshotPart:
    """A file of a snapshot."""

    file: str
    bytes: Bytes
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """A row of `sandbox snapshot list`; `damage` is empty for none, a null of a manifest that cannot be read."""

    snapshot: str
    sandbox: str
    made: str | None
    release: str | None
    kubernetes: str | None
    parts: tuple[SnapshotPart, ...]
    bytes: Bytes | None
    damage: str


@dataclass(frozen=True)
class Error:
    """What went wrong: `brief`, the evidence, and what to type next."""

    id: str
    brief: str
    details: str
    fix: str
    exit_code: int


@dataclass(frozen=True)
class Failure:
    """The result of any command that fails."""

    error: Error


@dataclass(frozen=True)
class Event:
    """A line of `--progress json`; which fields it has depends on `event`."""

    time: Seconds
    event: str
    step: str = ""
    detail: str = ""
    seconds: Seconds = 0
    image: str = ""
    images: int = 0
    blobs: int = 0
    bytes: Bytes = 0
    action: str = ""
    digest: str = ""
    id: str = ""
    error: str = ""
    brief: str = ""
    details: str = ""
    fix: str = ""
    exit_code: int = 0
    phase: str = ""
    what: str = ""
    paths: tuple[str, ...] = ()
    namespace: str = ""
    pod: str = ""
    container: str = ""
    line: str = ""
    lines: str = ""
    status: int = 0
    reason: str = ""


Findings = tuple[Finding, ...]
# By the words of the command, or what else is printed.
RESULTS: Mapping[str, Any] = {
    "addons list": tuple[Addon, ...],
    "bundle list": tuple[BundleComponent, ...],
    "certs show": Certificates,
    "config show": tuple[ConfigValue, ...],
    "config validate": ValidConfig,
    "credentials list": Accounts,
    "doctor": Findings,
    "doctor machine": Findings,
    "doctor network": Findings,
    "doctor pod": Findings,
    "doctor service": Findings,
    "doctor tls": Findings,
    "edge port list": tuple[PortStatus, ...],
    "edge route list": tuple[AddedRoute, ...],
    "edge status": EdgeStatus,
    "edge url": Urls,
    "explain": tuple[ErrorAdvice, ...],
    "images prune": PrunedImages,
    "list": tuple[Known, ...],
    "push-images": Push | PushForecast,
    "registry gc": Collected,
    "registry list": RegistryContent,
    "snapshot list": tuple[Snapshot, ...],
    "start": Up,
    "status": SandboxStatus,
    "up": Up | Plan,
}
OTHERS: Mapping[str, Any] = {"error": Failure, "event": Event}
NAMES = (*RESULTS, *OTHERS)


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of what the command `name` prints, of an `error`, or of an `event`. Raises KeyError."""
    found = {**RESULTS, **OTHERS}[name]
    title = f"sandbox {name} -o json" if name in RESULTS else f"sandbox: an {name}"
    return {"$schema": DIALECT, "title": title, **_plain(TypeAdapter(found).json_schema())}


def _plain(node: Any) -> Any:
    """Return the schema without titles, which repeat names, and defaults, which stand for keys that are left out."""
    if isinstance(node, Mapping):
        return {
            key: _plain(value)
            for key, value in node.items()
            if key != "default" and not (key == "title" and isinstance(value, str))
        }
    return [_plain(one) for one in node] if isinstance(node, list) else node
