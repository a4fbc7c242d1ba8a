"""What a sandbox.yaml may say of what is put into the cluster: the user's own objects, charts and addons."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from sandbox.config.model import Checked, Kinds, Model, alone, key, matching
from sandbox.config.schema.values import AddonSource, Label, LocalPath

OCI = "oci://"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


# helm splits what it is given at commas, = and braces (helm, pkg/strvals): a key with one could name a file or a URL.
ValuePath = Annotated[
    str,
    matching(
        r"[A-Za-z0-9_/-](?:[A-Za-z0-9_/.-]|\\\.|\[[0-9]+\])*",
        r"must be the path of a value, such as image.tag, list[0] or annotations.example\.com/name, not '{}'",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Kustomization(Model):
    """A folder that `kubectl kustomize` renders, with what only some of them need."""

    kustomize: LocalPath = key(description="The folder with the kustomization.yaml.")
    remote: bool = key(default=False, description="Allow it to fetch bases and files from URLs and git repositories.")


@dataclass(frozen=True, kw_only=True)
class Release(Model):
    """What a Helm release is called, where it is, and its values."""

    release: Label | None = key(default=None, description="The release's name; by default the chart's.")
    namespace: Label = key(default="default", description="The release's namespace, created if missing.")
    values: tuple[LocalPath, ...] = key(default=(), description="Files of values; later ones override earlier ones.")
    set: dict[ValuePath, str | int | float | bool] = key(
        default={}, description="Single values by path (`image.tag`); they override the files."
    )

    def __hash__(self) -> int:  # a dict has none
        return hash(self.model_dump_json())


@dataclass(frozen=True, kw_only=True)
class Chart(Release):
    """A Helm chart, installed and upgraded by `helm`."""

    chart: LocalPath = key(description="The chart's folder, or an archive that `helm package` made.")

    @property
    def name(self) -> str:
        """Return the release's name."""
        return self.release or self.chart.name

    __hash__ = Release.__hash__


_VERSION = matching(r"v?[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?", "must be one version, such as 6.9.0, not '{}'")
_REFERENCE = matching(
    r"(oci://[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*/)?[A-Za-z0-9][A-Za-z0-9._-]*",
    "must be a chart's name, or oci://REGISTRY/PATH/NAME without a tag; that is `version:`",
)


def _source(value: str) -> str:
    """Return a URL without a password in it, by TLS unless it is this machine's."""
    parts = urlsplit(value)
    if parts.username or parts.password or "@" in parts.netloc:
        raise ValueError("must have no account in it: helm registry login and helm repo add keep those")
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise ValueError("must be a URL, such as https://charts.example.com")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("must begin with https://; http:// is for this machine's own addresses")
    return value.rstrip("/")


@dataclass(frozen=True, kw_only=True)
class RemoteChart(Release):
    """A Helm chart of a registry or a repository, pulled by `helm` and locked by the digest of its archive."""

    chart: Annotated[str, _REFERENCE] = key(
        description="`oci://REGISTRY/PATH/NAME`, or the chart's name in the repository `repo`."
    )
    repo: Annotated[str, Checked(_source)] | None = key(
        default=None, description="The URL of the chart's repository; without one, `chart` begins with oci://."
    )
    version: Annotated[str, _VERSION] = key(description="The chart's version, such as 6.9.0.")
    lock: LocalPath = key(
        default=Path("charts.lock.yaml"), description="The file that keeps the digests of such archives."
    )

    def __post_init__(self) -> None:
        if self.chart.startswith(OCI) == (self.repo is not None):
            raise ValueError("needs either `repo:` or a chart that begins with oci://")

    @property
    def title(self) -> str:
        """Return the chart's own name."""
        return self.chart.rpartition("/")[2]

    @property
    def name(self) -> str:
        """Return the release's name."""
        return self.release or self.title

    @property
    def source(self) -> str:
        """Return where it comes from, in full but for the version."""
        return f"{self.repo}/{self.chart}" if self.repo else self.chart

    @property
    def is_on_this_machine(self) -> bool:
        """Tell whether it comes from this machine's own address, where no TLS is asked for."""
        return urlsplit(self.source).hostname in LOOPBACK

    __hash__ = Release.__hash__


AnyChart = Chart | RemoteChart
Item = Path | Kustomization | AnyChart


def below(folder: Path, item: Item) -> Item:
    """Return the item with absolute paths, its relative ones taken from `folder`."""
    match item:
        case Kustomization():
            return item.model_copy(update={"kustomize": folder / item.kustomize})
        case Chart():
            values = tuple(folder / one for one in item.values)
            return item.model_copy(update={"chart": folder / item.chart, "values": values})
        case RemoteChart():
            values = tuple(folder / one for one in item.values)
            return item.model_copy(update={"lock": folder / item.lock, "values": values})
        case _:
            return folder / item


def paths(items: tuple[Item, ...]) -> tuple[Path, ...]:
    """Return the files and folders that the items name."""
    found: list[Path] = []
    for item in items:
        match item:
            case Kustomization():
                found.append(item.kustomize)
            case Chart():
                found += [item.chart, *item.values]
            case RemoteChart():
                found += item.values
            case _:
                found.append(item)
    return tuple(found)


def _kind(value: Any) -> str:
    # The names of the classes: in the places of errors, names of keys would be taken for these keys.
    if isinstance(value, dict):
        remote = not {"repo", "version"}.isdisjoint(value) or str(value.get("chart")).startswith(OCI)
        return "Kustomization" if "chart" not in value else "RemoteChart" if remote else "Chart"
    return type(value).__name__ if isinstance(value, Kustomization | Chart | RemoteChart) else "path"


Applied = tuple[
    Annotated[
        LocalPath | Kustomization | Chart | RemoteChart,
        Kinds(_kind, path=LocalPath, Kustomization=Kustomization, Chart=Chart, RemoteChart=RemoteChart),
    ],
    ...,
]


@dataclass(frozen=True, kw_only=True)
class Addon(Model):
    """Something for the cluster that the sandbox installs and keeps ready."""

    addon: AddonSource = key(
        description="One of those that `sandbox addons list` names, or the folder of one of your own, with an "
        "addon.yaml, relative to this file's folder."
    )
    values: dict[ValuePath, str] = key(
        default={}, description="Values for placeholders of the addon's manifests, or for its chart by their paths."
    )

    @property
    def name(self) -> str:
        """Return its name, which is its folder's."""
        return Path(self.addon).name

    def below(self, folder: Path) -> Addon:
        """Return the addon with its own folder, if it has one, as an absolute path."""
        if "/" not in self.addon:
            return self
        return self.model_copy(update={"addon": os.path.normpath(folder / self.addon)})


Addons = tuple[Annotated[Addon, alone("addon")], ...]
