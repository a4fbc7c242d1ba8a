"""The addons that come with the sandbox, users' own, their addon.yaml, and the choice of those that a sandbox has."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from sandbox.config import loader
from sandbox.config.schema import RemoteChart, Spec
from sandbox.config.schema.values import LABEL, Label
from sandbox.errors import UsageError
from sandbox.kube import manifests
from sandbox.kube.manifests import namespace
from sandbox.oci import digest as digests

FILE = "addon.yaml"
ASKED = ("spec", "command")  # who may want an addon for itself; others are addons that need it
INCLUDED = Path(__file__).parent / "included"
CLASS = "nginx"
OTHER = "yours"  # the topic of an addon that names none


Objects = tuple[dict[str, Any], ...]
_PLACEHOLDER = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Condition(_Model):
    """A condition that the status of an object has to have, such as Available of an APIService."""

    apiVersion: str
    kind: str
    name: str
    namespace: str | None = None
    condition: str


Digest = Annotated[str, AfterValidator(digests.checked)]


class AddonChart(_Model):
    """A Helm chart of a registry or a repository, with values for a laptop.

    What has no digest here is locked to what the first `enable` finds.
    """

    chart: str = Field(
        description="As below `apply`: `oci://REGISTRY/PATH/NAME`, or the name in the repository `repo`."
    )
    repo: str | None = Field(default=None, description="The URL of the chart's repository.")
    version: str = Field(description="The chart's version.")
    digest: Digest | None = Field(default=None, description="That of the chart's archive.")
    namespace: str | None = Field(default=None, description="Where it is installed; by default the addon's name.")
    values: dict[str, JsonValue] = Field(default={}, description="The chart's values, with placeholders.")
    images: dict[str, Digest] = Field(default={}, description="Digests of images, by their names in the chart.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            source = {"chart": self.chart, "repo": self.repo, "version": self.version}
            RemoteChart.model_validate({**source, "namespace": self.namespace or "default"})
        except ValidationError as error:
            lines = (f"{'.'.join(map(str, line['loc']))} {line['msg']}".strip() for line in error.errors())
            raise ValueError("; ".join(lines).replace("Value error, ", "")) from None
        return self


class Page(_Model):
    service: str
    port: int


class Login(_Model):
    user: str
    secret: str
    key: str


class Description(_Model):
    """The content of an addon.yaml; in any case, every workload in the manifests has to become ready."""

    title: str = Field(description="What it is, in a few words.")
    topic: str = Field(default=OTHER, description="What it is listed under.")
    chart: AddonChart | None = Field(default=None, description="A chart that it installs besides its manifests.")
    page: Page | None = Field(default=None, description="What is served at https://ADDON.DOMAIN.")
    login: Login | None = Field(default=None, description="How to sign in there.")
    hint: str | None = Field(default=None, description="How to reach or use it, in one line, with placeholders.")
    needs: tuple[Label, ...] = Field(default=(), description="The sandbox's own addons that have to be there first.")
    images: dict[str, str] = Field(default={}, description="Placeholder -> component of the bundle whose image it is.")
    values: dict[str, str] = Field(default={}, description="Placeholder -> its value where the spec says no other.")
    ready: tuple[Condition, ...] = Field(default=(), description="Conditions that make it ready.")
    untested: bool = Field(default=False, description="It never ran with its real images.")
    instead: str | None = Field(default=None, description="The setting that brings it, when it is no addon.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.page and not self.chart:
            raise ValueError("`page` is for an addon with a `chart`; write an Ingress among the manifests")
        return self


@dataclass(frozen=True)
class Addon:
    folder: Path
    about: Description

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def files(self) -> tuple[Path, ...]:
        paths = manifests.files(self.folder)
        return tuple(path for path in paths if path != self.folder / FILE and path.is_file())

    def objects(self, host: str) -> Objects:
        """Return the manifests, and what a chart needs: its namespace, and the Ingress of its page at `host`."""
        about, objects = self.about, manifests.load(self.files)
        for manifest in objects:
            if manifest["kind"] != "Namespace":  # the API ignores it for other kinds that have none
                manifest["metadata"].setdefault("namespace", "default")
        if about.chart is None:
            return objects
        place = about.chart.namespace or self.name
        if about.page is None:
            return (namespace(place), *objects)
        backend = {"service": {"name": about.page.service, "port": {"number": about.page.port}}}
        rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
        ingress = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": f"addon-{self.name}", "namespace": place},
            "spec": {"ingressClassName": CLASS, "tls": [{"hosts": [host]}], "rules": [rule]},
        }
        return (namespace(place), ingress, *objects)


def read_addon(folder: Path) -> Addon:
    if not re.fullmatch(LABEL, folder.name):
        raise UsageError(
            f"the folder {folder} cannot be an addon",
            details="its name must be lower-case letters, digits and hyphens, with no hyphen first or last",
            fix="rename it",
        )
    about = loader.load(folder / FILE, Description, create="write it: `title: WHAT IT IS` is enough")
    addon = Addon(folder, about)
    if about.instead is None and about.chart is None and not addon.files:
        raise UsageError(
            f"the addon {folder} has no manifests", fix="put *.yaml next to its addon.yaml, or name a `chart:` in it"
        )
    return addon


def names() -> tuple[str, ...]:
    return tuple(path.parent.name for path in sorted(INCLUDED.glob(f"*/{FILE}")))


def included() -> tuple[Addon, ...]:
    return tuple(read_addon(INCLUDED / name) for name in names())


def is_minikubes(spec: Spec, source: str) -> bool:
    """Return whether it is an addon of minikube's own: on its clusters all names are, and no folder is."""
    return spec.cluster.supports.own_addons and "/" not in source


def find_addon(source: str) -> Addon:
    """Return the addon of that name, or the user's own in that folder (an absolute path). Raises UsageError."""
    if "/" in source:
        return read_addon(Path(source))
    if source not in names():
        near = difflib.get_close_matches(source, names(), n=3, cutoff=0.5)
        suggestions = ", ".join(near or [addon.name for addon in included() if addon.about.instead is None])
        meant = f"did you mean {suggestions}?" if near else f"it is one of: {suggestions};"
        raise UsageError(f"there is no addon '{source}'", fix=f"{meant} for your own folder write ./{source}")
    addon = read_addon(INCLUDED / source)
    if addon.about.instead is not None:
        raise UsageError(
            f"'{source}' is a part of the sandbox, not an addon", fix=f"in sandbox.yaml, write {addon.about.instead}"
        )
    return addon


def without_minikubes(spec: Spec) -> list[Addon]:
    return [find_addon(use.addon) for use in spec.addons if not is_minikubes(spec, use.addon)]


@dataclass(frozen=True)
class WantedAddon:
    """An addon that is wanted: its name or the absolute path of its folder, and values for its placeholders."""

    source: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ChosenAddon:
    """An addon to install; `by` says who wants it: `spec`, `command`, or the addon that needs it."""

    addon: Addon
    source: str
    values: Mapping[str, str]
    by: str

    @property
    def name(self) -> str:
        return self.addon.name


def choose(spec: Iterable[WantedAddon], commanded: Iterable[str]) -> tuple[ChosenAddon, ...]:
    """Return the addons to install, each after those it needs; of two with one name, that of the spec."""
    chosen: dict[str, ChosenAddon] = {}
    for use in spec:
        _add(chosen, use, "spec")
    for source in commanded:
        _add(chosen, WantedAddon(source), "command")
    return tuple(chosen.values())


def _add(chosen: dict[str, ChosenAddon], use: WantedAddon, by: str) -> None:
    addon = find_addon(use.source)
    unknown = sorted(use.values.keys() - addon.about.values.keys())
    if unknown and addon.about.chart is None:  # the others are values of the chart, by path
        values = ", ".join(addon.about.values) or "none"
        raise UsageError(f"the addon '{addon.name}' has no value '{unknown[0]}'", fix=f"it has: {values}")
    for need in addon.about.needs:
        _add(chosen, WantedAddon(need), addon.name)
    before = chosen.get(addon.name)
    # One that an earlier addon needed, and that is now wanted itself, keeps its place, with other values and reason.
    if before is None or (before.by not in ASKED and by in ASKED):
        chosen[addon.name] = ChosenAddon(
            addon=addon, source=use.source, values={**addon.about.values, **use.values}, by=by
        )


def fill(content: Any, values: Mapping[str, str]) -> Any:
    """Replace each placeholder in `values`; others stay, since shells have them too."""
    match content:
        case str():
            return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), content)
        case Mapping():
            return {key: fill(value, values) for key, value in content.items()}
        case list() | tuple():
            return [fill(value, values) for value in content]
    return content


def used(content: Any) -> frozenset[str]:
    return frozenset(_PLACEHOLDER.findall(json.dumps(content, default=str)))
