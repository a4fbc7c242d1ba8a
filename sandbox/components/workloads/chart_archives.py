"""Helm charts of registries and repositories: pulled once, kept by digest, and locked to the first version seen.

The digest is that of the archive, which for a registry is also the digest of the chart's layer (helm.sh/docs/topics/
registries). A chart that is locked and kept needs no network. The dependencies of a chart's folder are in its folder
`charts`, where `helm dependency build` puts them.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sandbox.bundle.store import Store
from sandbox.components.workloads.helm import Helm
from sandbox.config import text_file, untyped, yaml_text
from sandbox.config.loader import CURRENT, Format
from sandbox.config.loader import load as load_document
from sandbox.config.schema.apply_schema import OCI, AnyChart, Chart, RemoteChart
from sandbox.errors import BadFile, SandboxError
from sandbox.kube.api import Say
from sandbox.names import Home
from sandbox.oci import digest as digests
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import files

HEADER = """\
# Written by `sandbox up`; not to be edited. It belongs in git, next to sandbox.yaml.
# `digest` is that of the chart's archive: another one under the same version is refused.
"""
FILE = "file://"  # of a dependency that is a folder, from the chart's


class ChartChanged(SandboxError):
    """A chart's registry or repository now has other bytes under the locked version."""

    id = "chart-changed"


class LockedChart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    chart: str
    version: str
    digest: Annotated[str, AfterValidator(digests.checked)]


class ChartLock(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    version: Format = Field(CURRENT, alias="apiVersion")
    charts: tuple[LockedChart, ...] = ()


@dataclass(frozen=True)
class ChartArchives:
    """The archives in a folder of the user's cache, named by their digests."""

    folder: Path

    def find(self, chart: AnyChart) -> Chart | None:
        """Return the chart as a local one, None if it or one of its dependencies has to be pulled first."""
        if isinstance(chart, Chart):
            return chart if all(_is_there(chart.chart, entry) for entry in _dependencies(chart.chart)) else None
        digest = _locked(chart)
        if digest is None:
            return None
        path = self._path(digest)
        if not path.is_file() or f"sha256:{files.sha256(path)}" != digest:
            return None
        return Chart(
            chart=path, release=chart.name, namespace=chart.namespace, values=chart.values, set=dict(chart.set)
        )

    def pulled(self, chart: AnyChart) -> Chart:
        local = self.find(chart)
        if local is None:
            raise SandboxError(f"the archive of the chart {chart.name} is gone", fix="sandbox up")
        return local

    def missing(self, charts: Iterable[AnyChart]) -> list[AnyChart]:
        return [chart for chart in charts if self.find(chart) is None]

    def pull_all(self, charts: Sequence[AnyChart], helm: Helm, say: Say) -> None:
        pulled: dict[RemoteChart, str] = {}
        try:
            for chart in self.missing(charts):
                say(f"pulling {described(chart)}")
                if isinstance(chart, RemoteChart):
                    pulled[chart] = self._pull(chart, helm)
                else:
                    helm.build_dependencies(chart.chart)
        finally:
            lock([chart for chart in charts if isinstance(chart, RemoteChart)], pulled)

    def _pull(self, chart: RemoteChart, helm: Helm) -> str:
        files.make_private_dir(self.folder)
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            archive = helm.pull(chart, Path(place))
            digest, expected = f"sha256:{files.sha256(archive)}", _locked(chart)
            if expected and digest != expected:
                raise ChartChanged(
                    f"the chart {chart.source} {chart.version} is not the one that is locked",
                    details=f"locked {expected}\nfound  {digest}",
                    fix=f"if that is meant, take the chart out of {chart.lock}, then sandbox up",
                )
            shutil.move(archive, self._path(digest))
        return digest

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest.partition(':')[2]}.tgz"


@dataclass(frozen=True)
class ChartPullStep(NothingToUndo):
    charts: tuple[AnyChart, ...]
    home: Home
    requires: tuple[str, ...] = ()
    name: str = "chart-archives"

    @property
    def title(self) -> str:
        return f"Charts: {', '.join(map(described, self.charts))}"

    def check(self) -> Status:
        missing = ChartArchives(self.home.charts).missing(self.charts)
        if missing:
            return Status(State.ABSENT, f"not pulled: {', '.join(map(described, missing))}")
        return Status(State.READY, "locked")

    def apply(self, work: Work) -> None:
        ChartArchives(self.home.charts).pull_all(self.charts, Helm.find(Store(self.home.bundle)), work.say)


def described(chart: AnyChart) -> str:
    return f"{chart.source} {chart.version}" if isinstance(chart, RemoteChart) else f"dependencies of {chart.name}"


def is_pulled(chart: AnyChart) -> bool:
    return isinstance(chart, RemoteChart) or bool(_dependencies(chart.chart))


def local_dependencies(chart: Path) -> tuple[Path, ...]:
    """Return the folders of dependencies that are charts of the same project. Raises BadFile."""
    places = (str(entry.get("repository")) for entry in _entries(chart, "Chart.yaml", "requirements.yaml"))
    return tuple(chart / place.removeprefix(FILE) for place in places if place.startswith(FILE))


def _dependencies(chart: Path) -> list[dict[str, Any]]:
    """Return what `helm dependency build` brings: the locked dependencies, else those of the same project."""
    locked = [*_entries(chart, "Chart.lock", "requirements.lock")]
    wanted = locked or _entries(chart, "Chart.yaml", "requirements.yaml")
    places = (FILE, OCI, "https://", "http://") if locked else (FILE,)
    return [entry for entry in wanted if str(entry.get("repository", "")).startswith(places)]


def _is_there(chart: Path, dependency: Mapping[str, Any]) -> bool:
    inside, name = chart / "charts", str(dependency.get("name"))
    archive, place = inside / f"{name}-{dependency.get('version')}.tgz", str(dependency.get("repository"))
    if (inside / name).is_dir() or not archive.is_file():
        return (inside / name).is_dir()
    packed = archive.stat().st_mtime
    sources = (chart / place.removeprefix(FILE)).rglob("*") if place.startswith(FILE) else ()
    return all(source.lstat().st_mtime <= packed for source in sources)


def _entries(chart: Path, *names: str) -> Iterator[dict[str, Any]]:
    for path in (chart / name for name in names):
        if path.is_file():
            try:
                content = yaml_text.document(text_file.read(path))
            except yaml.YAMLError as error:
                raise BadFile(f"{path} is not valid YAML", details=str(error)) from error
            yield from untyped.mappings(content, "dependencies")


def lock(charts: Sequence[RemoteChart], digests: Mapping[RemoteChart, str]) -> None:
    """Write the digests to the lock files, and remove charts from them that are not among `charts` any more."""
    for path in dict.fromkeys(chart.lock for chart in charts):
        old = _read(path)
        known = {(entry.chart, entry.version): entry.digest for entry in old.charts}
        known |= {(chart.source, chart.version): digest for chart, digest in digests.items()}
        named = {(chart.source, chart.version) for chart in charts if chart.lock == path}
        entries = [
            {"chart": chart, "version": version, "digest": known[chart, version]}
            for chart, version in sorted(named & known.keys())
        ]
        new = ChartLock.model_validate({"charts": entries})
        if new != old:
            content = new.model_dump(mode="json", by_alias=True)
            text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1 << 16)
            files.write_atomic(path, (HEADER + text).encode(), mode=0o644)


def _locked(chart: RemoteChart) -> str | None:
    named = (
        entry for entry in _read(chart.lock).charts if (entry.chart, entry.version) == (chart.source, chart.version)
    )
    return next((entry.digest for entry in named), None)


def _read(path: Path) -> ChartLock:
    return load_document(path, ChartLock, create="run sandbox up") if path.exists() else ChartLock.model_validate({})
