"""The sandbox that a server is for: which files its spec may name, and what an agent gets to read."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sandbox.app import chosen_spec
from sandbox.app.core import Sandbox
from sandbox.app.running import project_workloads
from sandbox.components.workloads import user_manifests
from sandbox.components.workloads.chart_archives import local_dependencies
from sandbox.config.schema import Chart, Spec
from sandbox.errors import UsageError
from sandbox.images import images_yaml
from sandbox.images.images_yaml import FromBuild
from sandbox.kube.api import Cluster
from sandbox.sanitize import fit

LONGEST = 20_000  # characters
SHORTEST = 4  # characters of a secret; shorter ones are in every text
HIDDEN = "[hidden: value of a Secret]"
# A token of Kubernetes (RFC 7519), and a private key (RFC 7468), wherever they come from.
TOKENS = re.compile(
    r"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Project:
    """The spec `file` of one sandbox, as it is now; `name` is given where it is not the spec's own."""

    file: Path
    name: str | None = None

    @property
    def root(self) -> Path:
        """Return the repository of the spec, or its folder if it is in none, or if that is the user's whole home."""
        folder = self.file.parent
        root = next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)
        return folder if root == Path.home().resolve() else root

    @property
    def options(self) -> tuple[str, ...]:
        return ("-f", str(self.file), *(("-n", self.name) if self.name else ()))

    def sandbox(self) -> Sandbox:
        """Read the spec. Raises SandboxError, also where its name is that of another project's sandbox."""
        sandbox = Sandbox(chosen_spec.choose(self.file, self.name))
        sandbox.agree_on_origin("agent")
        return sandbox

    def cluster(self) -> tuple[Cluster, str | None]:
        """Return its cluster, awake, and its only namespace there, or None for all. Raises SandboxError."""
        return project_workloads.cluster_of(self.sandbox().names)

    def require_own_files(self) -> None:
        """Raise UsageError if the spec, its images or a link lead out of the project: they would get into pods."""
        named = set(_named(self.sandbox().spec))
        outside = [path for path in named if not (self.root / path).resolve().is_relative_to(self.root)]
        if outside:
            raise UsageError(
                "the spec names files outside of the project",
                details=f"{', '.join(sorted(map(str, outside)))}; the project is {self.root}",
                fix="remove them from the spec; or ask the user to start this server with --allow outside-files",
            )


def _named(spec: Spec) -> Iterator[Path]:
    yield from _paths(spec)
    # Links in what is built or mounted are not followed, those among manifests, charts and addons are.
    followed = [Path(use.addon) for use in spec.addons if "/" in use.addon]
    for item in spec.apply:
        if source := user_manifests.rendered(item):
            followed += user_manifests.reads(source.kustomize).local
        elif isinstance(item, Chart):
            followed += _with_dependencies(item.chart)
        followed += _paths(item)
    for path in followed:
        yield from (path, *path.rglob("*"))
    for entry in images_yaml.load(spec.push) if spec.push else ():
        yield from _paths(entry)
        if isinstance(entry, FromBuild):
            yield entry.context / (entry.dockerfile or "Dockerfile")
            options = (*entry.secrets, *entry.ssh, *entry.cache_from, *entry.cache_to)  # such as id=npm,src=FILE
            yield from (entry.folder / value for option in options for value in re.split("[,=]", option))


def _with_dependencies(chart: Path) -> list[Path]:
    charts = [chart.resolve()]
    for each in charts:  # it grows
        places = dict.fromkeys(place.resolve() for place in local_dependencies(each))
        charts += [place for place in places if place not in charts]
    return [chart, *charts]


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, BaseModel) or is_dataclass(value):
        value = vars(value)
    if isinstance(value, Path):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _paths(each)


def secret_values(cluster: Cluster, namespace: str | None) -> frozenset[str]:
    """Return the values of all Secrets, as text and in base64, and each long line of them. Raises ClusterError."""
    secrets = cluster.list("v1", "Secret", namespace)
    return frozenset(
        form for secret in secrets for encoded in (secret.get("data") or {}).values() for form in _forms(encoded)
    )


def _forms(encoded: str) -> Iterator[str]:
    value = base64.b64decode(encoded)
    text = value.decode(errors="replace").strip()
    forms = (text, encoded, base64.b64encode(text.encode()).decode(), value.hex(), *text.splitlines())
    yield from (form for form in forms if len(form) >= SHORTEST)


def hide(text: str, secrets: frozenset[str]) -> str:
    """Return the text without values of Secrets, tokens and private keys."""
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return TOKENS.sub(HIDDEN, text)


def short(text: str) -> str:
    """Return the text without control characters; of a long one the beginning and the end."""
    text = fit(text).strip()
    if len(text) <= LONGEST:
        return text
    left_out = f"\n[{len(text) - LONGEST} characters left out: ask for less, such as fewer lines]\n"
    return f"{text[: LONGEST // 2]}{left_out}{text[-LONGEST // 2 :]}"
