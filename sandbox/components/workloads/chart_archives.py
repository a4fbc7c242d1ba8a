"""Helm charts of registries and repositories: pulled once, kept by digest, and locked to the first version seen.

The digest is that of the archive, which for a registry is also the digest of the chart's layer (helm.sh/docs/topics/
registries). A chart that is locked and kept needs no network.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sandbox.components.workloads import chart_dependencies
from sandbox.components.workloads.helm import Helm
from sandbox.config.loader import CURRENT, Format
from sandbox.config.loader import load as load_document
from sandbox.config.schema.apply_schema import AnyChart, Chart, RemoteChart
from sandbox.errors import SandboxError
from sandbox.kube.api import Say
from sandbox.oci import digest as digests
from sandbox.system import files

HEADER = """\
# Written by `sandbox up`; not to be edited. It belongs in git, next to sandbox.yaml.
# `digest` is that of the chart's archive: another one under the same version is refused.
"""


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
        """Return the chart as a local one, None if it or one of its dependencies has to be pulled first.

        Raises UsageError.
        """
        if isinstance(chart, Chart):
            return None if chart_dependencies.lacking(chart.chart) else chart
        digest = locked(chart)
        path = self._path(digest) if digest else None
        if path is None or not path.is_file() or _digest(path) != digest:
            return None
        return Chart(
            chart=path, release=chart.name, namespace=chart.namespace, values=chart.values, set=dict(chart.set)
        )

    def missing(self, charts: Iterable[AnyChart]) -> list[AnyChart]:
        return [chart for chart in charts if self.find(chart) is None]

    def pull_all(self, charts: Sequence[AnyChart], helm: Helm, say: Say) -> None:
        """Pull the charts and dependencies that are missing, and lock all charts. Raises SandboxError."""
        remote = [chart for chart in charts if isinstance(chart, RemoteChart)]
        pulled: dict[RemoteChart, str] = {}
        try:
            for chart in self.missing(charts):
                say(f"pulling {described(chart)}")
                if isinstance(chart, RemoteChart):
                    pulled[chart] = self._pull(chart, helm)
                else:
                    _build_dependencies(chart.chart, helm)
        finally:
            lock(remote, pulled)

    def _pull(self, chart: RemoteChart, helm: Helm) -> str:
        """Pull the chart and keep its archive; returns the digest. Raises ChartChanged, and SandboxError by helm."""
        files.make_private_dir(self.folder)
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            archive = helm.pull(chart, Path(place))
            digest, expected = _digest(archive), locked(chart)
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


def described(chart: AnyChart) -> str:
    """Return what has to be pulled of a chart, for people."""
    return f"{chart.source} {chart.version}" if isinstance(chart, RemoteChart) else f"dependencies of {chart.name}"


def is_pulled(chart: AnyChart) -> bool:
    """Return whether the chart, or a dependency of it, comes from a registry or repository. Raises BadFile."""
    return isinstance(chart, RemoteChart) or bool(chart_dependencies.locked(chart.chart))


def locked(chart: RemoteChart) -> str | None:
    """Return the digest in the chart's lock file. Raises UsageError with file, line and key."""
    entries = _read(chart.lock).charts
    return next((entry.digest for entry in entries if (entry.chart, entry.version) == _key(chart)), None)


def lock(charts: Sequence[RemoteChart], digests: Mapping[RemoteChart, str]) -> None:
    """Write the digests to the lock files, and remove charts from them that are not among `charts` any more.

    Raises UsageError.
    """
    for path in dict.fromkeys(chart.lock for chart in charts):
        old = _read(path)
        locked_digests = {(entry.chart, entry.version): entry.digest for entry in old.charts}
        locked_digests |= {_key(chart): digest for chart, digest in digests.items()}
        named = {_key(chart) for chart in charts if chart.lock == path}
        entries = [
            {"chart": chart, "version": version, "digest": digest}
            for (chart, version), digest in sorted(locked_digests.items())
            if (chart, version) in named
        ]
        new = ChartLock.model_validate({"charts": entries})
        if new != old:
            text = yaml.safe_dump(
                new.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True, width=1 << 16
            )
            files.write_atomic(path, (HEADER + text).encode(), mode=0o644)


def _build_dependencies(chart: Path, helm: Helm) -> None:
    """Pull a chart's dependencies by helm, but not its local charts: a copy of them would hide later changes."""
    copied = [name for name in chart_dependencies.local(chart) if not any(chart_dependencies.archives(chart, name))]
    helm.build_dependencies(chart)
    for name in copied:
        for archive in chart_dependencies.archives(chart, name):
            archive.unlink()


def _key(chart: RemoteChart) -> tuple[str, str]:
    return chart.source, chart.version


def _read(path: Path) -> ChartLock:
    return load_document(path, ChartLock, create="run sandbox up") if path.exists() else ChartLock.model_validate({})


def _digest(path: Path) -> str:
    return f"sha256:{files.sha256(path)}"
