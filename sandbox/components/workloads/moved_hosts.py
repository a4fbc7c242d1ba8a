"""Moves hosts below the domain that a project's manifests are written for to the sandbox's own domain.

Another checkout of the project has another domain: its Ingresses and routes are served there, as its images come from
its own registry. Other objects, such as ConfigMaps, may name such hosts too; they change only if the spec says so.
"""

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.components.workloads.image_names import Slot
from sandbox.kube.api import Manifest, title
from sandbox.names import moved_host

# Kinds whose hosts are those that the sandbox serves.
ROUTES = ("Ingress", "Certificate", "Gateway", "HTTPRoute", "GRPCRoute", "TLSRoute", "IngressRoute", "IngressRouteTCP")
# Keys of names, labels and images, which may look like hosts; in the data of ConfigMaps they are keys of settings.
NAMES = (
    *("apiVersion", "group", "name", "namespace", "secretName", "sectionName", "image"),
    *("labels", "matchLabels", "matchExpressions", "selector"),
)
DATA = ("data", "stringData")
SETTING = "rewrite_settings: true"


@dataclass(frozen=True)
class HostNames:
    """The domain `base` of the hosts in manifests, and the sandbox's `domain`; with `settings`, those change too."""

    base: str = ""
    domain: str = ""
    settings: bool = False

    @property
    def differ(self) -> bool:
        return self.base != self.domain

    def written(self, manifest: Manifest) -> dict[str, Any]:
        if not self._changes(manifest):
            return dict(manifest)
        made = copy.deepcopy(dict(manifest))
        for holder, key in _texts(made):
            holder[key] = self._pattern.sub(lambda match: self._moved(match[0]), holder[key])
        return made

    def notes(self, objects: Iterable[Manifest]) -> Iterator[str]:
        """Yield each host of the objects that changes, with its new name, and each that stays."""
        for manifest in objects if self.differ else ():
            named = (host for holder, key in _texts(manifest) for host in self._pattern.findall(holder[key]))
            for host in dict.fromkeys(named):
                stays = f"stays; `{SETTING}` in sandbox.yaml changes it"
                effect = f"becomes {self._moved(host)}" if self._changes(manifest) else stays
                if self._moved(host) != host:
                    yield f"{title(manifest)}: {host} {effect}"

    def _changes(self, manifest: Manifest) -> bool:
        return self.differ and (self.settings or manifest["kind"] in ROUTES)

    def _moved(self, host: str) -> str:
        return moved_host(host, self.base, self.domain)

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![\w*-])(?:[\w*-]+\.)*{re.escape(self.base)}(?![\w-]|\.\w)")


def _texts(manifest: Manifest) -> Iterator[Slot]:
    for key, value in manifest.items():
        yield from _within(value, () if key in DATA else NAMES)


def _within(content: Any, skipped: tuple[str, ...]) -> Iterator[Slot]:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list):
        items = enumerate(content)
    for key, value in items:
        if key in skipped:
            continue
        if isinstance(value, str):
            yield content, key
        else:
            yield from _within(value, skipped)
