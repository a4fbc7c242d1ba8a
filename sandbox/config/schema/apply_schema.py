"""What a sandbox.yaml may say of what is put into the cluster: the user's own objects, charts and addons."""

from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from sandbox.config.model import Document, matching, short_form
from sandbox.config.schema.values import AddonSource, Label, LocalPath

OCI = "oci://"
LOOPBACK = ("localhost", "127.0.0.1", "::1")

# helm splits what it is given at commas, = and braces (helm, pkg/strvals): a key with one could name a file or a URL.
ValuePath = Annotated[
    str,
    *matching(
        r"[A-Za-z0-9_/-](?:[A-Za-z0-9_/.-]|\\\.|\[[0-9]+\])*",
        r"must be the path of a value, such as image.tag, list[0] or annotations.example\.com/name, not '{}'",
    ),
]


class Kustomization(Document):
    """A folder that `kubectl kustomize` renders, with what only some of them need."""

    kustomize: LocalPath = Field(description="The folder with the kustomization.yaml.")
    remote: bool = Field(default=False, description="Allow it to fetch bases and files from URLs and git repositories.")


class Release(Document):
    """What a Helm release is called, where it is, and its values."""

    release: Label | None = Field(default=None, description="The release's name; by default the chart's.")
    namespace: Label = Field(default="default", description="The release's namespace, created if missing.")
    values: tuple[LocalPath, ...] = Field(default=(), description="Files of values; later ones override earlier ones.")
    set: dict[ValuePath, str | int | float | bool] = Field(
        default={}, description="Single values by path (`image.tag`); they override the files."
    )


class Chart(Release):
    """A Helm chart, installed and upgraded by `helm`."""

    chart: LocalPath = Field(description="The chart's folder, or an archive that `helm package` made.")

    @property
    def name(self) -> str:
        return self.release or self.chart.name


_VERSION = matching(r"v?[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?", "must be one version, such as 6.9.0, not '{}'")
_REFERENCE = matching(
    r"(oci://[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*/)?[A-Za-z0-9][A-Za-z0-9._-]*",
    "must be a chart's name, or oci://REGISTRY/PATH/NAME without a tag; that is `version:`",
)


def _source(value: str) -> str:
    parts = urlsplit(value)
    if parts.username or parts.password or "@" in parts.netloc:
        raise ValueError("must have no account in it: helm registry login and helm repo add keep those")
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise ValueError("must be a URL, such as https://charts.example.com")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("must begin with https://; http:// is for this machine's own addresses")
    return value.rstrip("/")


class RemoteChart(Release):
    """A Helm chart of a registry or a repository, pulled by `helm` and locked by the digest of its archive."""

    chart: Annotated[str, *_REFERENCE] = Field(
        description="`oci://REGISTRY/PATH/NAME`, or the chart's name in the repository `repo`."
    )
    repo: Annotated[str, AfterValidator(_source)] | None = Field(
        default=None, description="The URL of the chart's repository; without one, `chart` begins with oci://."
    )
    version: Annotated[str, *_VERSION] = Field(description="The chart's version, such as 6.9.0.")
    lock: LocalPath = Field(
        default=Path("charts.lock.yaml"),
        validate_default=True,
        description="The file that keeps the digests of such archives.",
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if self.chart.startswith(OCI) == (self.repo is not None):
            raise ValueError("needs either `repo:` or a chart that begins with oci://")
        return self

    @property
    def title(self) -> str:
        return self.chart.rpartition("/")[2]

    @property
    def name(self) -> str:
        return self.release or self.title

    @property
    def source(self) -> str:
        return f"{self.repo}/{self.chart}" if self.repo else self.chart

    @property
    def is_on_this_machine(self) -> bool:
        return urlsplit(self.source).hostname in LOOPBACK


AnyChart = Chart | RemoteChart
Item = Path | Kustomization | AnyChart


def paths(items: tuple[Item, ...]) -> tuple[Path, ...]:
    result: list[Path] = []
    for item in items:
        match item:
            case Path():
                result.append(item)
            case Kustomization():
                result.append(item.kustomize)
            case Chart():
                result += (item.chart, *item.values)
            case RemoteChart():
                result += item.values
    return tuple(result)


def _kind(value: Any) -> str:
    # The names of the classes: in the places of errors, names of keys would be taken for these keys.
    if isinstance(value, dict):
        remote = not {"repo", "version"}.isdisjoint(value) or str(value.get("chart")).startswith(OCI)
        return "Kustomization" if "chart" not in value else "RemoteChart" if remote else "Chart"
    return type(value).__name__ if isinstance(value, Kustomization | Chart | RemoteChart) else "path"


Applied = tuple[
    Annotated[
        Annotated[LocalPath, Tag("path")]
        | Annotated[Kustomization, Tag("Kustomization")]
        | Annotated[Chart, Tag("Chart")]
        | Annotated[RemoteChart, Tag("RemoteChart")],
        Discriminator(_kind),
    ],
    ...,
]


class Addon(Document):
    """Something for the cluster that the sandbox installs and keeps ready."""

    addon: AddonSource = Field(
        description="One of those that `sandbox addons list` names, or the folder of one of your own, with an "
        "addon.yaml, relative to this file's folder."
    )
    values: dict[ValuePath, str] = Field(
        default={}, description="Values for placeholders of the addon's manifests, or for its chart by their paths."
    )

    @property
    def name(self) -> str:
        return Path(self.addon).name


Addons = tuple[Annotated[Addon, short_form("addon")], ...]
