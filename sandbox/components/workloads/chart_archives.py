"""Helm charts of registries and repositories: pulled once, kept by digest, and locked to the first version seen.

The digest is that of the archive, which for a registry is also the digest of the chart's layer (helm.sh/docs/topics/
registries). What is locked and kept needs no network.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sandbox.components.workloads.chart_dependencies import dependencies, place, remote
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
    """A chart, its full source, and the digest of its archive."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    chart: str
    version: str
    digest: Annotated[str, AfterValidator(digests.checked)]


class ChartLock(BaseModel):
    """The content of the lock file."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    version: Format = Field(CURRENT, alias="apiVersion")
    charts: tuple[LockedChart, ...] = ()


@dataclass(frozen=True)
class ChartArchives:
    """The archives in a folder of the user's cache, named by their digests."""

    folder: Path

    def find(self, chart: AnyChart) -> Chart | None:
        """Return the chart as a local one, None if it has to be pulled first. Raises UsageError.

        Dependencies that its folder lacks are put there, once all of them were pulled.
        """
        if isinstance(chart, Chart):
            found = [(one, self.find(one)) for one in dependencies(chart)]
            there = [(one, archive.chart) for one, archive in found if archive]
            if len(there) < len(found):
                return None
            place(chart, there)
            return chart
        digest = locked(chart)
        path = self._path(digest) if digest else None
        if path is None or not path.is_file() or _of(path) != digest:
            return None
        return Chart(
            chart=path, release=chart.name, namespace=chart.namespace, values=chart.values, set=dict(chart.set)
        )

    def missing(self, charts: Iterable[AnyChart]) -> list[RemoteChart]:
        """Return the charts that have to be pulled. Raises UsageError."""
        return [one for one in remote(charts) if self.find(one) is None]

    def pull(self, chart: RemoteChart, helm: Helm) -> str:
        """Pull the chart and keep its archive; returns the digest. Raises ChartChanged, and SandboxError by helm."""
        files.make_private_dir(self.folder)
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            archive = helm.pull(chart, Path(place))
            found, wanted = _of(archive), locked(chart)
            if wanted and found != wanted:
                raise ChartChanged(
                    f"the chart {chart.source} {chart.version} is not the one that is locked",
                    details=f"locked {wanted}\nfound  {found}",
                    fix=f"if that is meant, take the chart out of {chart.lock}, then sandbox up",
                )
            shutil.move(archive, self._path(found))
        return found

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest.partition(':')[2]}.tgz"


def locked(chart: RemoteChart) -> str | None:
    """Return the digest in the chart's lock file. Raises UsageError with file, line and key."""
    for one in _read(chart.lock).charts:
        if (one.chart, one.version) == (chart.source, chart.version):
            return one.digest
    return None


def lock(charts: Sequence[RemoteChart], found: dict[RemoteChart, str]) -> None:
    """Write what was `found` to the lock files, without charts that are not among `charts` any more.

    Raises UsageError.
    """
    for path in dict.fromkeys(one.lock for one in charts):
        old = _read(path)
        known = {(one.chart, one.version): one.digest for one in old.charts}
        known |= {(one.source, one.version): digest for one, digest in found.items()}
        wanted = {(one.source, one.version) for one in charts if one.lock == path}
        kept = [
            {"chart": chart, "version": version, "digest": digest}
            for (chart, version), digest in sorted(known.items())
            if (chart, version) in wanted
        ]
        new = ChartLock.model_validate({"charts": kept})
        if new != old:
            text = yaml.safe_dump(
                new.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True, width=1 << 16
            )
            files.write_atomic(path, (HEADER + text).encode(), mode=0o644)


def _read(path: Path) -> ChartLock:
    return load_document(path, ChartLock, create="run sandbox up") if path.exists() else ChartLock.model_validate({})


def _of(path: Path) -> str:
    return f"sha256:{files.sha256(path)}"


def pull_all(charts: Sequence[RemoteChart], archives: ChartArchives, helm: Helm, say: Say) -> None:
    """Pull the charts that are not kept yet, and lock them all. Raises SandboxError."""
    found: dict[RemoteChart, str] = {}
    try:
        for chart in archives.missing(charts):
            say(f"pulling {chart.source} {chart.version}")
            found[chart] = archives.pull(chart, helm)
    finally:
        lock(charts, found)
