"""Reads a Tiltfile, as far as its text says by itself what is built, copied and applied (docs.tilt.dev/api.html)."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from sandbox.config import json_text, text_file, yaml_text
from sandbox.errors import UsageError
from sandbox.init import releases, starlark, tiltfile_sync
from sandbox.init.detected import App, Item, Told, build_options, label, last_part, once, untagged
from sandbox.init.project_folders import has
from sandbox.init.starlark import UNKNOWN, Call, Function, listed
from sandbox.kube import manifests
from sandbox.system.files import is_dir, is_file, is_inside

FILE = "Tiltfile"
# The parameters of functions, as far as they may be given without their names.
PARAMETERS = {
    "docker_build": ("ref", "context", "build_args", "dockerfile", "dockerfile_contents", "live_update"),
    "docker_build_with_restart": ("ref", "context", "entrypoint", "live_update"),
    "k8s_yaml": ("yaml",),
    "k8s_resource": ("workload", "new_name", "port_forwards"),
    "kustomize": ("path",),
    "helm": ("path", "name", "namespace", "values", "set"),
    "helm_repo": ("name", "url"),
    "helm_resource": ("name", "chart", "release_name", "namespace"),
    "helm_remote": ("chart", "repo_url", "repo_name", "release_name", "values", "set", "namespace", "version"),
    "listdir": ("path",),
    "read_file": ("path",),
    "read_json": ("path", "default"),
    "read_yaml": ("path", "default"),
    "include": ("path",),
    "local_resource": ("name",),
    "custom_build": ("ref",),
    "custom_build_with_restart": ("ref",),
    "docker_build_sub": ("ref",),
    "k8s_custom_deploy": ("name",),
    "load_dynamic": ("path",),
}
# Those by which a call is known.
CALLED = ("name", "ref", "workload", "new_name", "path")
# What images.yaml has of a build, or what changes nothing for it.
TAKEN = {
    *("ref", "context", "build_args", "dockerfile", "dockerfile_contents", "target", "ssh", "secret", "live_update"),
    *("cache_from", "pull"),
}
# What has an effect on what runs; an `if` may decide about it.
COUNTED = {
    "docker_build",
    "docker_build_with_restart",
    "k8s_yaml",
    "helm_resource",
    "helm_remote",
    "custom_build",
    "include",
}
# What else Tilt does, in words, with the names of those that it does it for.
CUSTOM = "no Dockerfile builds {}: push them with `from: daemon`"
LEFT_OUT = {
    "custom_build": CUSTOM,
    "custom_build_with_restart": CUSTOM,
    "docker_build_sub": "images of a Dockerfile that Tilt changes are left out: {}",
    "k8s_custom_deploy": "what programs apply is left out: {}",
    "k8s_resource": "the port-forwards of {} are left out: the edge routes to Services",
    "load_dynamic": "what other Tiltfiles do is left out: {}",
    "local_resource": "what runs on this machine is left out: {}",
}


def load(folder: Path) -> Told | None:
    """Return the content of the folder's Tiltfile; None if there is none.

    If it does not say all that it applies, it says none of it.
    """
    if not has(folder, FILE):
        return None
    reading = _Reading(folder)
    reading.read(FILE)
    items = [] if reading.unsure else reading.items
    apps = [] if reading.is_composed else reading.apps  # the compose file says what is built
    return Told(tuple(apps), once(items), tuple(dict.fromkeys(reading.said())), forwarded=reading.forwarded)


@dataclass
class _Reading:
    """What the Tiltfiles of the project in `folder` say; what is applied is `unsure` where only Tilt knows it."""

    folder: Path
    apps: list[App] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    repositories: dict[str, dict[str, str]] = field(default_factory=dict)
    is_composed: bool = False
    left_out: dict[str, list[str]] = field(default_factory=dict)  # names, by the function
    forwarded: dict[str, int | None] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    file: str = FILE
    line: int = 0

    def note(self, text: str) -> None:
        """Note something about the present line."""
        self.notes.append(f"{self.file}:{self.line}: {text}")

    def said(self) -> Iterator[str]:
        """Yield the notes, of what is left out for one reason one."""
        yield from self.notes
        for name, of in self.left_out.items():
            yield f"{FILE}: {LEFT_OUT[name].format(', '.join(dict.fromkeys(of)))}"
        if self.unsure:
            yield f"{FILE} does not say by itself what is applied ({self.unsure[0]}): that was looked for"

    def read(self, file: str) -> None:
        """Read a Tiltfile and those it includes."""
        self.seen.add(file)
        outer, self.file = self.file, file
        known = {"os.name": "posix", "config.main_dir": "."}
        functions: dict[str, Function] = {
            "os.path.join": starlark.joined,
            "os.path.exists": lambda call: self._exists(*call.args[:1]),
            "os.getcwd": lambda _: ".",
            "read_json": self._data,
            "read_yaml": self._data,
            "str": lambda call: str(call.args[0]) if call.args and isinstance(call.args[0], str | int) else UNKNOWN,
        }
        try:
            for call in starlark.calls(text_file.read(self.folder / file), known, functions, self._module):
                self.line = call.line
                self._call(call, call.bound(*PARAMETERS.get(call.name, ())))
        except (UsageError, starlark.Unreadable) as error:
            self.unsure.append(file)
            self.notes.append(f"{file} cannot be read without Tilt: {error}")
        self.file = outer

    def _call(self, call: Call, given: Mapping[str, Any]) -> None:
        match call.name:
            case "if" | "for":
                if decided := sorted(COUNTED.intersection(call.args)):
                    self.note(f"only Tilt knows what this `{call.name}` does: {', '.join(decided)} left out")
            case "docker_build" | "docker_build_with_restart":
                self._build(given, restarted=call.name != "docker_build")
            case "k8s_yaml":
                self.items += self._applied(given.get("yaml", UNKNOWN))
            case "helm_repo":
                self.repositories[_text(given.get("name"))] = {"url": _text(given.get("url"))}
            case "helm_resource" | "helm_remote":
                self._release({**given, **_flags(given)} if call.name == "helm_resource" else given)
            case "include":
                self._include(given.get("path"))
            case "docker_compose":
                self.is_composed = True
            case name if name in LEFT_OUT and (name != "k8s_resource" or given.get("port_forwards")):
                called = next((one for key in CALLED if isinstance(one := given.get(key), str)), f"line {call.line}")
                self.left_out.setdefault(name, []).append(called)
                if name == "k8s_resource":
                    self.forwarded[_text(given.get("workload"))] = _forwarded(listed(given["port_forwards"])[:1])

    def _module(self, name: Any) -> str | None:
        """Return the text of a Tiltfile that another loads; None for Tilt's own extensions, and what is not here."""
        place = self._place(name)
        return text_file.read(self.folder / place) if place and is_file(self.folder / place) else None

    def _data(self, call: Call) -> Any:
        """Return what a JSON or YAML file of the project contains."""
        given = call.bound("path", "default")
        place = self._place(given.get("path"))
        if place is None or not is_file(self.folder / place):
            return given.get("default", UNKNOWN)
        try:
            text = text_file.read(self.folder / place)
            return json_text.document(text) if place.endswith(".json") else yaml_text.document(text)
        except (UsageError, ValueError, yaml.YAMLError):
            return UNKNOWN

    def _exists(self, path: Any = UNKNOWN) -> Any:
        place = self._place(path)
        return UNKNOWN if place is None else os.path.lexists(self.folder / place)

    def _place(self, path: Any) -> str | None:
        """Return a path of the present file as seen from the project's folder; None if unknown or not in that."""
        if not isinstance(path, str) or not path:
            return None
        place = posixpath.normpath(posixpath.join(posixpath.dirname(self.file), path))
        outside = posixpath.isabs(place) or ".." in PurePosixPath(place).parts
        return None if outside or not is_inside(self.folder, self.folder / place) else place

    def _include(self, path: Any) -> None:
        place = self._place(path)
        if place is None or not is_file(self.folder / place):
            self.note("what is included is left out: it is not in this folder")
        elif place not in self.seen:
            self.read(place)

    def _build(self, given: Mapping[str, Any], *, restarted: bool) -> None:
        """Note one program that is built, if a Dockerfile of the project does it."""
        ref, context = given.get("ref"), self._place(given.get("context"))
        if (
            not isinstance(ref, str)
            or not ref
            or context is None
            or UNKNOWN in (given.get("dockerfile"), given.get("target"))
            or not isinstance(given.get("dockerfile_contents") or "", str)
        ):
            self.note("an image is left out: its name, folder or Dockerfile is known only to Tilt")
            return
        image = untagged(ref)
        name, file, recipe = label(last_part(image)), given.get("dockerfile"), _text(given.get("dockerfile_contents"))
        if recipe:
            file = posixpath.join(
                posixpath.relpath(context, posixpath.dirname(self.file) or "."), f"sandbox-{name}.Dockerfile"
            )
        dockerfile = self._place(file) if file else posixpath.normpath(posixpath.join(context, "Dockerfile"))
        inside = posixpath.relpath(dockerfile, context) if dockerfile else ""
        if not inside or inside.startswith(".."):
            self.note(f"the image {ref} is left out: its Dockerfile is no file of {context}")
            return
        arguments = given.get("build_args")
        said = arguments.items() if isinstance(arguments, dict) else ()
        known = {key: None if one is UNKNOWN else one for key, one in said}
        build, unknown = build_options(inside, given.get("target"), known)
        for one in unknown:
            self.note(f"the build argument {one} of {ref} is left out: only Tilt knows it")
        if lost := sorted(key for key in given.keys() - TAKEN if given[key] not in ("", [], None, False)):
            self.note(f"of the build of {ref} these are left out: {', '.join(lost)}")
        build |= {
            key: there
            for key, name in (("secrets", "secret"), ("ssh", "ssh"), ("cache_from", "cache_from"))
            if (there := [one for one in listed(given.get(name)) if isinstance(one, str)])
        }
        rules, left_out = tiltfile_sync.rules(
            listed(given.get("live_update")),
            self._place,
            self.folder,
            context=context,
            restarted=restarted,
        )
        if left_out:
            self.note(f"of the live_update of {ref} is left out: {'; '.join(left_out)}")
        build |= {"sync": rules} if rules else {}
        self.apps.append(App(name, context=context, names=(image,), build=build, recipe=recipe))

    def _applied(self, source: Any) -> Iterator[Item]:
        """Yield what `k8s_yaml` applies: files, folders, kustomizations and charts."""
        match source:
            case list():
                for one in source:
                    yield from self._applied(one)
            case str():
                place = self._place(source)
                if place and is_file(self.folder / place) and PurePosixPath(place).suffix in manifests.SUFFIXES:
                    yield place
                else:
                    self.note(f"{source} is left out: it is no manifest in this folder")
            case Call(name="namespace_inject", args=[inner, *_]):
                self.note("the namespace is left out: what is applied names its own, or is in `default`")
                yield from self._applied(inner)
            case Call(name="read_file"):
                yield from self._applied(source.bound("path").get("path", UNKNOWN))
            case Call(name="kustomize" | "listdir" | "helm" as name):
                given = source.bound(*PARAMETERS[name])
                place = self._place(given.get("path"))
                if not isinstance(given.get("path"), str):
                    self.unsure.append(f"{self.file}:{self.line}")
                elif place and name == "helm" and is_file(self.folder / place / "Chart.yaml"):
                    yield from self._chart(_text(given.get("name"), PurePosixPath(place).name), given, {"chart": place})
                elif place and name != "helm" and is_dir(self.folder / place):
                    yield f"{place}/"
                else:
                    self.note(f"{given.get('path')} is left out: it is no folder of that kind here")
            case _:
                self.unsure.append(f"{self.file}:{self.line}")

    def _release(self, given: Mapping[str, Any]) -> None:
        """Note a release of a chart from a folder, a repository or a registry."""
        chart, repository = _text(given.get("chart")), given.get("repo_url")
        place = self._place(chart)
        known: Mapping[str, Mapping[str, Any]] = self.repositories
        if isinstance(repository, str) and repository:
            chart, known = f"REPO/{chart}", {"REPO": {"url": repository}}
        elif place and is_file(self.folder / place / "Chart.yaml"):
            chart = place
        found = releases.chart(self.folder, chart, given.get("version"), known)
        name = _text(given.get("release_name"), given.get("name"), given.get("chart"))
        if found is None:
            self.note(f"the release {name} is left out: its chart has no folder, or not one version and place")
            return
        self.items += self._chart(name, given, found)

    def _chart(self, name: str, given: Mapping[str, Any], chart: Mapping[str, Any]) -> Iterator[Item]:
        """Yield a release with its namespace, its files of values and its single ones."""
        files = [self._place(one) for one in listed(given.get("values"))]
        single = [str(one).partition("=") for one in listed(given.get("set")) if isinstance(one, str) and "=" in one]
        if None in files or len(single) < len(listed(given.get("set"))):
            self.note(f"of the release {name} some values are left out: only Tilt knows them")
        yield releases.entry(
            chart,
            name,
            namespace=_text(given.get("namespace")),
            values=[one for one in files if one],
            single={key: value for key, _, value in single},
            notes=self.notes,
        )


def _forwarded(given: list[Any]) -> int | None:
    """Return the container's port of `[[HOST:]PORT:]PORT` or `port_forward()`; None for its first one."""
    for one in given:
        said = one.args[1] if isinstance(one, Call) and len(one.args) > 1 else one
        _, colon, port = str(said).rpartition(":")
        if port.isdecimal() and (colon or isinstance(one, Call)):
            return int(port)
    return None


def _text(*values: Any) -> str:
    """Return the first of the values that is a text, empty if none is."""
    return next((one for one in values if isinstance(one, str) and one), "")


def _flags(given: Mapping[str, Any]) -> dict[str, list[str] | str]:
    """Return the files, values and the version that are among the flags for helm."""
    flags = [one for one in listed(given.get("flags")) if isinstance(one, str)]
    words = [word for one in flags for word in (one.split("=", 1) if one.startswith("-") else [one])]
    found: dict[str, Any] = {"values": [], "set": []}
    for flag, value in pairwise(words):
        if flag in ("--values", "-f"):
            found["values"].append(value)
        elif flag in ("--set", "--set-string"):
            found["set"].append(value)
        elif flag == "--version":
            found["version"] = value
    return found
