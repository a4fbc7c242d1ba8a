"""The texts of the files that make a sandbox of a project's folder."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sandbox.bundle.recipe import minor
from sandbox.bundle.system_images import DEFAULT
from sandbox.config.loader import CURRENT
from sandbox.config.schema import Spec
from sandbox.config.schema.values import Domain, as_name
from sandbox.errors import UsageError
from sandbox.init import web_services
from sandbox.init.compose import service_ports
from sandbox.init.detected import IGNORED, IMAGES, LOCK, SPEC, App, Found, is_called, last_part, spelled, untagged
from sandbox.init.kubernetes_objects import manifest
from sandbox.init.sample_config import inline, outline
from sandbox.oci import reference as references
from sandbox.oci.reference import parse_target
from sandbox.sanitize import fit

OWN = "sandbox-app.yaml"  # objects for the project's own program, where its manifests run only others
REGISTRY_PORT = 5001
DOMAIN_SUFFIX = ".sandbox.localhost"
# Names of folders that tell what is in them, and not the project's name.
KINDS = {"chart", "charts", "deploy", "deployment", "helm", "k8s", "kube", "kubernetes", "kustomize", "manifests"}

_LOCAL = re.compile(r"localhost:([0-9]{1,5})/(.+)")


def called(folder: Path) -> str:
    """Return the project's name: that of its folder, or of the one above if the folder's only tells its kind."""
    return folder.parent.name if folder.name.lower() in KINDS and folder.parent.name else folder.name


def name_of(folder: str, found: Found) -> str:
    """Return the sandbox's name: that in the manifests' hosts, the compose project's, or the folder's."""
    said = {
        match[1] for host in found.hosts if (match := re.fullmatch(rf".+\.([^.]+){re.escape(DOMAIN_SUFFIX)}", host))
    }
    names = (*(said if len(said) == 1 else ()), found.project, folder)
    return next(filter(None, map(as_name, map(spelled, names))), "app")


def registry_port(found: Found) -> int:
    """Return the registry's port that the manifests' images name, or the usual one."""
    said = {match[1] for image in found.images if (match := _LOCAL.fullmatch(image))}
    port = int(said.pop()) if len(said) == 1 else REGISTRY_PORT
    return port if 0 < port < 65536 else REGISTRY_PORT


def files(name: str, found: Found, *, registry: int, https: tuple[int | str, ...] | None) -> Mapping[str, str]:
    """Return the files by their paths in the folder; `https` are the edge's ports if they are not the usual ones."""
    called = dict(_targets(name, found))
    made = {} if found.manifests else dict(_objects(name, found, called, registry))
    own = own_program(name, found)
    if own is not None:
        # Nothing is written for the programs that it shares volumes and files with.
        alone = replace(own, volumes=tuple(dict.fromkeys(own.claims.values())), elsewhere=())
        made[OWN] = _object(name, alone, called, registry)
    recipes = {
        posixpath.normpath(posixpath.join(one.context or ".", one.build["dockerfile"])): one.recipe
        for one in found.apps
        if one.recipe
    }
    written = {**made, **recipes, **({IMAGES: _images(found, called, name)} if called else {})}
    given: dict[str, Any] = {"apiVersion": CURRENT, "name": name}
    given["cluster"] = {"kubernetes": f"v{minor(DEFAULT)}"}  # the same on every machine, whatever its images come from
    if domain := domain_of(found.hosts):
        given["domain"] = domain
    if registry != REGISTRY_PORT:
        given["registry"] = {"port": registry}
    if found.needs_gateway_api:
        given["ingress"] = {"gateway_api": True}
    if pushes(name, found):
        given["push"] = IMAGES
    if https:
        given["edge"] = {"ports": https}
    if found.manifests or made:
        given["apply"] = (*found.manifests, OWN) if own else found.manifests or (f"{found.objects}/",)
    if found.manifests and found.fronts:
        written[web_services.FILE] = web_services.ingresses(found.fronts, f"{name}{DOMAIN_SUFFIX}")
        given["apply"] = (*given["apply"], web_services.FILE)
    written[SPEC] = _head(found) + outline(Spec, given)
    if found.unfiltered:
        written[IGNORED] = _ignored(one for one in written if one not in recipes)
    return written


def _ignored(written: Iterable[str]) -> str:
    """Return the patterns of the files and folders that are written, which are no part of any image."""
    places = dict.fromkeys(path.partition("/")[0] for path in (*written, LOCK))
    return "# A change of these, which `sandbox init` wrote, builds no image again.\n" + "".join(
        f"/{place}\n" for place in sorted(places)
    )


def _head(found: Found) -> str:
    lines = ["What `sandbox up` makes of this folder. Keys that are commented out show their defaults."]
    lines += found.notes
    return "".join(f"# {' '.join(fit(line).split())}\n" for line in lines)


def _targets(name: str, found: Found) -> Iterator[tuple[str, str]]:
    """Yield the name of each built program in the registry: as the manifests call it, or Dockerfiles made from it, do.

    Without the project's name where that would be a registry's, as `localhost/app` is. Programs without manifests that
    are built alike have one image; with manifests, those that have the same name of an image too.
    """
    alike: dict[str, str] = {}
    named = {match[2] for image in found.images if (match := _LOCAL.fullmatch(image))}
    wanted = {one for one in named if _can_be_pushed(one)}
    built = [app for app in found.apps if app.context is not None]
    bases = {untagged(name): name if untagged(name) != name else f"{name}:latest" for name in _made_from(found)}
    for app in built:
        base = next((bases[one] for one in map(untagged, app.names) if one in bases), "")
        same = [one for one in sorted(wanted) if last_part(one) == app.name]
        if not same and len(built) == len(wanted) == 1:
            same = list(wanted)
        own = f"{name}/{app.name}:dev"
        target = same[0] if same else next(filter(_can_be_pushed, (base, own)), f"{app.name}:dev")
        names = app.names if found.manifests else ()
        build = target if found.manifests and not names else inline([app.context, app.build, names])
        yield app.name, alike.setdefault(build, target)


def _made_from(found: Found) -> Iterator[str]:
    return (name for app in found.apps for name in app.made_from)


def _can_be_pushed(name: str) -> bool:
    try:
        parse_target(name)
    except UsageError:
        return False
    return True


def _images(found: Found, called: Mapping[str, str], project: str) -> str:
    """Return the manifest of images.

    Images that the manifests name and that nothing builds are mentioned, and so are those that no manifest names.
    """
    idle = _idle(found, called, project)
    lines = ["# What `sandbox push-images` and `sandbox up` put into the registry, as localhost:PORT/NAME."]
    lines.append("images: []" if len(idle) == len(called) else "images:")
    written: set[str] = set()
    taken: set[str] = set()
    for app in found.apps:
        if app.name in called and called[app.name] not in written:
            written.add(called[app.name])
            alike = [one for one in found.apps if called.get(one.name) == called[app.name]]
            bases = {argument: called[base.name] for argument, base in _bases(app, found) if base.name in called}
            build = {key: one for key, one in app.build.items() if key not in _of_compose(app, found, project)}
            if bases:
                build["args"] = {**build.get("args", {}), **bases}
            entry: dict[str, Any] = {"from": "build", "context": app.context, **build, "as": called[app.name]}
            listed = (name for one in alike for name in _names(one, called[app.name], found, project))
            names = [name for name in dict.fromkeys(listed) if name not in taken]
            taken.update(names)
            line = f"- {inline({**entry, 'for': names} if names else entry)}"
            lines.append(f"#{line}   # no manifest names it" if app.name in idle else line)
    for image in found.images:
        match = _LOCAL.fullmatch(image)
        if match and match[2] not in called.values():
            there = inline({"from": "daemon", "image": match[2]})
            lines.append(f"#- {there}   # named in your manifests; say where it comes from")
    return "\n".join(lines) + "\n"


def only_built(name: str, found: Found) -> dict[str, tuple[str, ...]]:
    """Return the programs that the project's own manifests run, with the keys of their builds that are left out."""
    idle = unnamed(name, found)
    left_out = {app.name: _of_compose(app, found, name) for app in found.apps if app.name not in idle}
    return {app: keys for app, keys in left_out.items() if keys}


def _of_compose(app: App, found: Found, project: str) -> tuple[str, ...]:
    """Return the keys of a build that fit the container of the compose file, and not that of other manifests.

    Its mounts bring the source into a stage that lacks it, and its command may reload what is copied.
    """
    if not (found.manifests and found.is_composed) or app == own_program(project, found):
        return ()
    return tuple(key for key in ("target", "sync") if key in app.build)


def unnamed(name: str, found: Found) -> dict[str, str]:
    """Return the programs that could be built, and whose images are in none of the manifests, with those images."""
    called = dict(_targets(name, found))
    return {one: called[one] for one in _idle(found, called, name)}


def pushes(name: str, found: Found) -> bool:
    """Tell whether sandbox.yaml pushes images: some that could be built are in manifests."""
    return len(unnamed(name, found)) < len(dict(_targets(name, found)))


def own_program(name: str, found: Found) -> App | None:
    """Return the program of the project's own folder if objects have to be written for it, as no manifest runs it."""
    unnamed = _unnamed(found, dict(_targets(name, found)), name)
    own = [one for one in found.apps if one.name in unnamed and one.is_whole and one.port]
    return own[0] if own and own[0].name not in found.names else None


def _idle(found: Found, called: Mapping[str, str], project: str) -> tuple[str, ...]:
    own = own_program(project, found)
    return tuple(one for one in _unnamed(found, called, project) if own is None or one != own.name)


def _unnamed(found: Found, called: Mapping[str, str], project: str) -> tuple[str, ...]:
    if not found.manifests or not found.images:  # which may not have been rendered
        return ()
    last = {last_part(one) for one in found.images}
    named = {
        app.name
        for app in found.apps
        if app.name in called
        and not last.isdisjoint(map(last_part, (called[app.name], *_names(app, called[app.name], found, project))))
    }
    while more := {part.name for app in found.apps if app.name in named for part in _parts(app, found)} - named:
        named |= more
    return tuple(app.name for app in found.apps if app.name in called and app.name not in named)


def _parts(app: App, found: Found) -> Iterator[App]:
    """Yield the programs whose images the program's is made from."""
    names = {*map(untagged, app.made_from), *app.bases.values()}
    return (one for one in found.apps if names.intersection(map(untagged, one.names)))


def _bases(app: App, found: Found) -> Iterator[tuple[str, App]]:
    """Yield the programs whose images the program's is made from, by the arguments of its build that name them."""
    for argument, image in app.bases.items():
        yield from ((argument, one) for one in found.apps if image in one.names)


def _names(app: App, target: str, found: Found, project: str) -> list[str]:
    """Return the names of the program's image in manifests, if `up` would not know it by the last part of the name."""
    own = last_part(target)
    alike = _alike(app, found, project) or list(filter(None, [guessed(found, project)]))
    names = [one for one in dict.fromkeys((*app.names, *alike)) if references.of_text(one)]
    if all(last_part(one) == own for one in names):
        return []
    # Programs may share a repository, and differ by tags only.
    shared = {untagged(one) for other in found.apps if other.name != app.name for one in other.names}
    return list(dict.fromkeys(one if untagged(one) in shared else untagged(one) for one in names))


def _alike(app: App, found: Found, project: str) -> list[str]:
    """Return the images of the manifests that are called like the program; the project's own may be called after it."""
    called = sorted({one.partition("@")[0] for one in found.images if not _LOCAL.fullmatch(one)})
    alike = [one for one in called if is_called(one, app.name)]
    return alike or [one for one in called if app.is_whole and last_part(one) == project]


def guessed(found: Found, project: str) -> str | None:
    """Return the image that the only program that is built may be, although it is not called like it.

    It is the only one in the manifests that is neither an official one nor a well-known program's.
    """
    built = [one for one in found.apps if one.context is not None]
    if len(built) != 1 or built[0].names or _alike(built[0], found, project):
        return None
    # One with a digest is made elsewhere.
    named = [one.familiar for text in found.images if "@" not in text and (one := references.of_text(text))]
    others = {untagged(one) for one in named if "/" in one and last_part(one) not in service_ports.PORTS}
    return others.pop() if len(others) == 1 and not any(map(_LOCAL.fullmatch, found.images)) else None


def _objects(name: str, found: Found, called: Mapping[str, str], registry: int) -> Iterator[tuple[str, str]]:
    for app in found.apps:
        if not app.is_base and (app.name in called or app.image):
            yield f"{found.objects}/{app.name}.yaml", _object(name, app, called, registry)


def _object(name: str, app: App, called: Mapping[str, str], registry: int) -> str:
    image = f"localhost:{registry}/{called[app.name]}" if app.name in called else app.image or ""
    host = None if app.port in web_services.NOT_HTTP else f"{app.name}.{name}{DOMAIN_SUFFIX}"
    return manifest(app, image=image, host=host)


def domain_of(hosts: tuple[str, ...]) -> str | None:
    """Return the domain directly above all hosts, unless it is the default one or there is none."""
    above = {host.partition(".")[2] for host in hosts}
    domain = above.pop() if len(above) == 1 else ""
    try:
        return TypeAdapter(Domain).validate_python(domain) if not domain.endswith(DOMAIN_SUFFIX) else None
    except ValidationError:
        return None


def without_port(apps: tuple[App, ...]) -> Iterator[tuple[str, str]]:
    """Yield programs that no host leads to, because it is not known which port they listen on, and where to say it."""
    for app in apps:
        if app.port is None and not app.more_ports and not app.once and not app.is_base:
            if app.context is not None:
                yield app.name, "EXPOSE it in its Dockerfile"
            elif app.image:
                yield app.name, "name it below `expose` of its service"
