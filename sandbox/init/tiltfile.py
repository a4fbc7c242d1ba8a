"""Reads the literal calls of docker_build, k8s_yaml, kustomize and helm in a Tiltfile (docs.tilt.dev/api.html).

A Tiltfile is a program. Where it computes something it is not read, and a note says so.
"""

import ast
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.config import text_file
from sandbox.errors import UsageError
from sandbox.init.detected import App, Item, ToolFile, build_options, chart_item, label, last_part, untagged
from sandbox.init.project_folders import has
from sandbox.kube import manifests
from sandbox.system.files import is_inside

FILE = "Tiltfile"
# Parameters in their order, of which those that are read come first.
PARAMETERS = {
    "docker_build": ("ref", "context", "build_args", "dockerfile"),
    "docker_compose": ("configPaths",),
    "helm": ("path", "name", "namespace", "values", "set"),
    "k8s_yaml": ("yaml",),
    "kustomize": ("path",),
}
# Parameters without an effect on what runs here; `sandbox dev` has its own way to copy files.
IGNORED = {"allow_duplicates", "extra_tag", "ignore", "live_update", "match_in_env_vars", "only", "pull"}
ADVICE = "write what it builds into images.yaml, and what it applies below `apply` in sandbox.yaml"


class _NotLiteral(Exception):
    """A call is computed, or has a parameter that is not read."""


def load(folder: Path) -> ToolFile | None:
    if not has(folder, FILE):
        return None
    try:
        statements = ast.parse(text_file.read(folder / FILE)).body
    except (SyntaxError, ValueError, RecursionError, UsageError):
        return ToolFile(notes=(f"{FILE} was not read: {ADVICE}",))
    reading = _Reading(folder)
    unread = []
    for statement in statements:
        try:
            reading.statement(statement)
        except (_NotLiteral, ValueError, TypeError):
            unread.append(statement)
    lines = ", ".join(str(statement.lineno) for statement in unread)
    note = f"{FILE}: not read: {'lines' if len(unread) > 1 else 'line'} {lines}: {ADVICE}"
    # If a part of what is applied is computed, the rest alone would be half an application.
    names = {node.id for statement in unread for node in ast.walk(statement) if isinstance(node, ast.Name)}
    items = () if "k8s_yaml" in names else tuple(reading.items)
    return ToolFile(() if reading.is_composed else tuple(reading.apps), items, (note,) if unread else ())


@dataclass
class _Reading:
    folder: Path
    apps: list[App] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    is_composed: bool = False

    def statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Expr(ast.Constant()):  # a text that explains something
                return
            case ast.Expr(ast.Call(ast.Name("docker_build")) as call):
                self.apps.append(self._app(_arguments(call)))
            case ast.Expr(ast.Call(ast.Name("docker_compose"))):
                self.is_composed = True  # the compose file says what is built
            case ast.Expr(ast.Call(ast.Name("k8s_yaml"), [source])):
                self.items += [item for item in self._applied(source) if item not in self.items]
            case _:
                raise _NotLiteral

    def _app(self, arguments: dict[str, Any]) -> App:
        image, context = arguments["ref"], self._place(arguments["context"])
        file = arguments.get("dockerfile")
        dockerfile = posixpath.relpath(self._place(file), context) if file else "Dockerfile"
        build, unknown = build_options(dockerfile, arguments.get("target"), arguments.get("build_args"))
        if dockerfile.startswith("..") or unknown or not isinstance(image, str):
            raise _NotLiteral
        return App(label(last_part(image)), context=context, names=(untagged(image),), build=build)

    def _applied(self, source: ast.expr) -> Iterator[Item]:
        match source:
            case ast.List(elements):
                for element in elements:
                    yield from self._applied(element)
            case ast.Call(ast.Name("kustomize")):
                place = self._place(_arguments(source)["path"])
                if not manifests.kustomization(self.folder / place):
                    raise _NotLiteral
                yield f"{place}/"
            case ast.Call(ast.Name("helm")):
                yield self._chart(_arguments(source))
            case _:
                place = self._place(ast.literal_eval(source))
                if not has(self.folder, place) or PurePosixPath(place).suffix not in manifests.SUFFIXES:
                    raise _NotLiteral
                yield place

    def _chart(self, arguments: dict[str, Any]) -> Item:
        chart = self._place(arguments["path"])
        if not has(self.folder, f"{chart}/Chart.yaml"):
            raise _NotLiteral
        values, settings = arguments.get("values") or [], arguments.get("set") or []
        files = [self._place(path) for path in ([values] if isinstance(values, str) else values)]
        pairs = [text.partition("=") for text in ([settings] if isinstance(settings, str) else settings)]
        release = arguments.get("name") or PurePosixPath(chart).name
        return chart_item(
            chart, release, arguments.get("namespace", ""), files, {key: value for key, _, value in pairs}
        )

    def _place(self, path: Any) -> str:
        place = posixpath.normpath(path) if isinstance(path, str) and path else ".."
        if posixpath.isabs(place) or place.startswith("..") or not is_inside(self.folder, self.folder / place):
            raise _NotLiteral
        return place


def _arguments(call: ast.Call) -> dict[str, Any]:
    names = PARAMETERS[ast.unparse(call.func)]
    keywords = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg not in IGNORED}
    if len(call.args) > len(names) or keywords.keys() - {*names, "target"}:
        raise _NotLiteral
    expressions: dict[str | None, ast.expr] = dict(zip(names, call.args, strict=False))
    expressions |= keywords
    arguments = {str(name): ast.literal_eval(expression) for name, expression in expressions.items()}
    if missing := [name for name in ("ref", "context", "path") if name in names and name not in arguments]:
        raise ValueError(missing)
    return arguments
