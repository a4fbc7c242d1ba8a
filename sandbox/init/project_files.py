"""The texts of the files that make a sandbox of a project's folder."""

import json
import math
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from sandbox.bundle.recipe import minor
from sandbox.bundle.system_images import DEFAULT
from sandbox.config.loader import CURRENT
from sandbox.config.schema.values import Domain, as_name
from sandbox.errors import UsageError
from sandbox.init.detected import (
    IGNORED,
    IMAGES,
    LOCK,
    NOT_HTTP,
    SPEC,
    App,
    Findings,
    is_called,
    last_part,
    untagged,
)
from sandbox.init.kubernetes_objects import INGRESS_FILE, ingresses, manifest
from sandbox.oci import reference as references
from sandbox.oci.reference import parse_target

DOMAIN_SUFFIX = ".sandbox.localhost"
KEYS = "# All keys: docs/spec.md, or `sandbox config show`.\n"
_PLAIN = re.compile(r"[\w./][\w./+-]*(:[\w./+-]+)*", re.ASCII)
_LOCAL = re.compile(r"localhost:([0-9]{1,5})/(.+)")


def name_of(checkout: str, findings: Findings) -> str:
    """Return the project's name: that in the manifests' hosts, the compose project's, or the checkout's."""
    matches = (re.fullmatch(rf".+\.([^.]+){re.escape(DOMAIN_SUFFIX)}", host) for host in findings.hosts)
    in_hosts = {match[1] for match in matches if match}
    names = (*(in_hosts if len(in_hosts) == 1 else ()), findings.project, checkout)
    return next(filter(None, map(as_name, names)), "app")


def files(name: str, findings: Findings, *, is_named: bool = False) -> dict[str, str]:
    """Return the texts of the files of the project `name` by their paths in the folder.

    Unless it `is_named` so, the sandbox is named after its checkout, and the spec tells the domain of the hosts.
    """
    targets, domain = _targets(name, findings), f"{name}{DOMAIN_SUFFIX}"
    idle = unnamed(name, findings)
    written: dict[str, str] = {}
    defined: set[tuple[str, str]] = set()
    for app in findings.apps if not findings.items else ():
        if image := targets.get(app.name) or app.image:
            host = None if app.port in NOT_HTTP else f"{app.name}.{domain}"
            text = manifest(app, image=image, host=host, defined=defined)
            written[f"{findings.objects}/{app.name}.yaml"] = text
    apply = [*findings.items] or ([f"{findings.objects}/"] if written else [])
    for app in findings.apps:
        if app.recipe:
            written[posixpath.normpath(posixpath.join(app.context or ".", app.build["dockerfile"]))] = app.recipe
    if targets:
        written[IMAGES] = _images(name, findings, targets, idle)
    if findings.items and findings.fronts:
        written[INGRESS_FILE] = ingresses(findings.fronts, domain)
        apply.append(INGRESS_FILE)
    spec: dict[str, Any] = {"apiVersion": CURRENT, **({"name": name} if is_named else {})}
    if own := domain_of(findings.hosts):
        spec["domain"] = own
    elif not is_named and any(domain in text for text in (*findings.hosts, *written.values())):
        spec["base_domain"] = domain
    spec["cluster"] = {"kubernetes": f"v{minor(DEFAULT)}"}  # the same on every machine, whatever its images come from
    if findings.needs_gateway_api:
        spec["ingress"] = {"gateway_api": True}
    if len(idle) < len(targets):
        spec["push"] = IMAGES
    lines = [f"{key}: {inline(value)}\n" for key, value in spec.items()]
    lines += ["apply:\n", *(f"- {inline(item)}\n" for item in apply)] if apply else []
    written[SPEC] = "".join((KEYS, *lines))
    if findings.unfiltered:
        places = {path.partition("/")[0] for path in (*written, LOCK) if not path.endswith(".Dockerfile")}
        written[IGNORED] = "".join(f"/{place}\n" for place in sorted(places))
    return written


def inline(value: Any) -> str:
    match value:
        case Mapping():
            return "{" + ", ".join(f"{inline(key)}: {inline(inner)}" for key, inner in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(inline, value)) + "]"
        case None | bool() | int() | float():
            return json.dumps(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and yaml.safe_load(f"- {text}") == [text]:
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf)
    return quoted.rstrip("\n")


# In the registry a program is named as the manifests call it, or after the project.
def _targets(name: str, findings: Findings) -> dict[str, str]:
    matches = (_LOCAL.fullmatch(image) for image in findings.images)
    local = sorted({match[2] for match in matches if match and _can_be_pushed(match[2])})
    built = [app for app in findings.apps if app.context is not None]
    targets: dict[str, str] = {}
    by_build: dict[str, str] = {}
    for app in built:
        same = [target for target in local if last_part(target) == app.name]
        if not same and len(built) == len(local) == 1:
            same = local
        own = f"{name}/{app.name}:dev"
        target = same[0] if same else own if _can_be_pushed(own) else f"{app.name}:dev"
        # Programs without manifests that are built alike have one image.
        build = target if findings.items else inline((app.context, app.build))
        targets[app.name] = by_build.setdefault(build, target)
    return targets


def _can_be_pushed(name: str) -> bool:
    try:
        parse_target(name)
    except UsageError:
        return False
    return True


def _images(name: str, findings: Findings, targets: Mapping[str, str], idle: Collection[str]) -> str:
    lines = ["images: []" if len(idle) == len(targets) else "images:"]
    written: set[str] = set()
    taken: set[str] = set()
    for app in findings.apps:
        target = targets.get(app.name, "")
        if target and target not in written:
            written.add(target)
            programs = [other for other in findings.apps if targets.get(other.name) == target]
            aliases = (alias for program in programs for alias in _names(program, target, findings, name))
            names = [alias for alias in dict.fromkeys(aliases) if alias not in taken]
            taken.update(names)
            entry = {"from": "build", "context": app.context, **app.build, "as": target}
            line = f"- {inline({**entry, 'for': names} if names else entry)}"
            lines.append(f"#{line}   # no manifest names it" if app.name in idle else line)
    for image in findings.images:
        match = _LOCAL.fullmatch(image)
        if match and match[2] not in targets.values():
            entry = {"from": "daemon", "image": match[2]}
            lines.append(f"#- {inline(entry)}   # a manifest names it: say where it comes from")
    return "\n".join(lines) + "\n"


def unnamed(name: str, findings: Findings) -> dict[str, str]:
    if not findings.items or not findings.images:  # which may not have been rendered
        return {}
    last = {last_part(image) for image in findings.images}
    targets = _targets(name, findings)
    return {
        app.name: target
        for app in findings.apps
        if (target := targets.get(app.name))
        and last.isdisjoint(map(last_part, (target, *_names(app, target, findings, name))))
    }


# Return the image names in manifests that mean this program and that `up` would not recognize by their last part.
def _names(app: App, target: str, findings: Findings, project: str) -> list[str]:
    images = sorted({image.partition("@")[0] for image in findings.images if not _LOCAL.fullmatch(image)})
    alike = [image for image in images if is_called(image, app.name)]
    if not alike and app.context == "." and "/" not in app.build.get("dockerfile", ""):
        # In manifests, the image of the project's own folder may have the project's name.
        alike = [image for image in images if last_part(image) == project]
    aliases = dict.fromkeys((*app.names, *alike))
    names = [name for name in aliases if references.of_text(name)] if findings.items else []
    if all(last_part(name) == last_part(target) for name in names):
        return []
    # Programs may share a repository, and differ by tags only.
    shared = {untagged(name) for other in findings.apps if other.name != app.name for name in other.names}
    return list(dict.fromkeys(name if untagged(name) in shared else untagged(name) for name in names))


def domain_of(hosts: tuple[str, ...]) -> str | None:
    domains = {host.partition(".")[2] for host in hosts}
    domain = domains.pop() if len(domains) == 1 else ""
    try:
        return TypeAdapter(Domain).validate_python(domain) if not domain.endswith(DOMAIN_SUFFIX) else None
    except ValidationError:
        return None


def without_port(apps: tuple[App, ...]) -> Iterator[tuple[str, str]]:
    for app in apps:
        if app.port is None and not app.more_ports and not app.once:
            if app.context is not None:
                yield app.name, "EXPOSE it in its Dockerfile"
            elif app.image:
                yield app.name, "name it below `expose` of its service"
