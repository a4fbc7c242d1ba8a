"""Builds the bundle's components, each once: finished ones are skipped, and an interrupted build continues."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from sandbox.bundle.architecture import native
from sandbox.bundle.builder import debian, golang, image_archive, materials, node_image
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.errors import SandboxError, UsageError
from sandbox.report import Reporter, Silent
from sandbox.system import interruption, process
from sandbox.system.process import ToolFailed

TELL = 2.0  # seconds between two words on how long it still takes
ROOM = 1_000_000_000  # bytes; with less, one of the larger components cannot be built
RETRY = "run `sandbox bundle build` again: finished components are kept"


class BuildFailed(SandboxError):
    """A component could not be built; `details` holds the tool's last lines."""

    id = "bundle-build-failed"


def build(store: Store, report: Reporter, *, jobs: int = 2, only: Sequence[str] = ()) -> None:
    """Build every component that `store` lacks, at most `jobs` at a time, each after those it needs.

    `only` limits this to the named components and those they need; other versions are built only when they are named.
    Raises UsageError for an unknown name, MissingTool before the first build if a tool is missing, and BuildFailed for
    the first failure, after running builds have ended. For another architecture than this machine's only what is made
    of Go modules is built, and UsageError is raised where `only` names more.
    """
    waiting = _here(store, only)
    for recipe in list(waiting.values()):
        if store.has(recipe):
            report.unchanged(recipe.name, "built before")
            del waiting[recipe.name]
    if any(recipe.debian for recipe in waiting.values()):
        debian.require()  # before the other components, which take a quarter of an hour
    if any(recipe.go and recipe.go.cgo for recipe in waiting.values()):
        golang.require_c()
    try:
        with ThreadPoolExecutor(jobs) as pool:
            _build_all(pool, waiting, store, report, jobs)
    finally:
        interruption.clear()


def outlook(store: Store, only: Collection[str] = ()) -> str:
    """Say how many components `build` would build and for how long; nothing where there are none to build."""
    missing = {name: recipe for name, recipe in _here(store, tuple(only)).items() if not store.has(recipe)}
    return f"building {', '.join(missing)}: about {_minutes(_seconds(missing))} on two cores" if missing else ""


def native_only(names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return which components can only be built on a machine of their architecture: packages configure themselves."""
    found: set[str] = set()
    for name, recipe in _wanted(names or default()).items():  # each after those it needs
        if recipe.debian or recipe.node or not found.isdisjoint(recipe.needs):
            found.add(name)
    return tuple(name for name in recipes() if name in found)


def default() -> tuple[str, ...]:
    """Return the components of a whole bundle, each in its default version."""
    return tuple(one.name for one in recipes().values() if not one.base)


def _build_all(pool: ThreadPoolExecutor, waiting: dict[str, Recipe], store: Store, report: Reporter, jobs: int) -> None:
    running: dict[Future[None], Recipe] = {}
    began: dict[str, float] = {}
    try:
        while waiting or running:
            for recipe in _next(_ready(waiting, store), running.values(), jobs):
                del waiting[recipe.name]
                report.began(recipe.name)
                report.progress(recipe.name, f"about {_minutes(recipe.seconds)}; after it {_left(waiting)}")
                running[pool.submit(_build, recipe, store, report)] = recipe
                began[recipe.name] = time.monotonic()
            done, _ = wait(running, timeout=TELL, return_when=FIRST_COMPLETED)
            for recipe in running.values():  # Go says nothing while it compiles
                left = round(recipe.seconds - (time.monotonic() - began[recipe.name]))
                expected = f"about {_minutes(left)} left" if left > 0 else "longer than on two idle cores"
                report.progress(recipe.name, f"{expected}; after it {_left(waiting)}")
            for future in done:
                recipe = running.pop(future)
                _check(future, recipe, store, report)
    except Exception:
        raise
    except BaseException:  # interrupted: the tools are in their own process groups and got no signal
        interruption.request()
        process.end_all()
        raise


def _here(store: Store, only: Sequence[str]) -> dict[str, Recipe]:
    wanted = _wanted(only or default())
    if store.architecture == native():
        return wanted
    apart = native_only(only)
    if only and apart:
        name = store.architecture.name
        raise UsageError(
            f"these can only be built on a machine of {name}: {', '.join(apart)}",
            details="they are made of Debian packages, which run programs of theirs while they are installed",
            fix="run sandbox bundle build there, or name components of Go modules alone",
        )
    return {name: recipe for name, recipe in wanted.items() if name not in apart}


def _wanted(names: Sequence[str]) -> dict[str, Recipe]:
    wanted: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in recipes():
            raise UsageError(f"the bundle has no component '{name}'", fix="it has: " + ", ".join(recipes()))
        wanted.add(name)
        left += recipes()[name].needs
    return {name: recipe for name, recipe in recipes().items() if name in wanted}


def _ready(waiting: Mapping[str, Recipe], store: Store) -> list[Recipe]:
    ready = [r for r in waiting.values() if all(store.has(recipes()[needed]) for needed in r.needs)]
    return sorted(ready, key=lambda recipe: -_path(recipe, waiting.values()))


def _path(recipe: Recipe, others: Collection[Recipe]) -> int:
    """Return how long it takes to build the recipe and, one after another, those that wait for it."""
    return recipe.seconds + max((_path(one, others) for one in others if recipe.name in one.needs), default=0)


def _next(ready: Sequence[Recipe], running: Collection[Recipe], jobs: int) -> list[Recipe]:
    """Return what of `ready` to begin now: one component of Go at a time, which itself keeps every processor busy.

    Two at once would both compile the packages that they share, which are most of each but the first.
    """
    go = any(recipe.go for recipe in running)
    chosen: list[Recipe] = []
    for recipe in ready:
        if len(chosen) + len(running) < jobs and not (recipe.go and go):
            chosen.append(recipe)
            go = go or recipe.go is not None
    return chosen


def build_one(recipe: Recipe, store: Store) -> None:
    """Build a component that needs no other one, silently. Raises SandboxError."""
    try:
        _build(recipe, store, Silent())
    except OSError as error:
        raise _failure(recipe, store, error) from error


def _build(recipe: Recipe, store: Store, report: Reporter) -> None:
    started = time.monotonic()

    def on_line(line: str) -> None:
        report.progress(recipe.name, line)

    with store.filling(recipe) as folder:
        if recipe.go or recipe.files:
            go, work = golang.toolchain(store.toolchains), folder / "work"
            work.mkdir()
            if recipe.go:
                out, target = folder / "bin", store.architecture
                needed = [recipes()[name] for name in recipe.needs] if recipe.go.libraries else []
                trees = [store.tree(one) for one in needed if one.debian]
                golang.build(recipe, recipe.go, go, work, out, on_line, target=target, trees=trees)
            if recipe.files:
                golang.take(recipe, recipe.files, go, work, folder / "files")
            shutil.rmtree(work)
        if recipe.debian:
            debian.make_tree(recipe.debian, folder / "tree", on_line)
        if recipe.image:
            image_archive.build_image(recipe, recipe.image, store, folder)
        if recipe.node:
            node_image.build(recipe, store, folder, on_line)
        materials.note(recipe, store, folder)
    report.finished(recipe.name, _size(store.folder(recipe)), time.monotonic() - started)


def _check(future: Future[None], recipe: Recipe, store: Store, report: Reporter) -> None:
    try:
        future.result()
    except SandboxError as error:
        report.failed(recipe.name, error.brief)
        if not isinstance(error, ToolFailed):
            raise
        raise _failure(recipe, store, error) from error
    except OSError as error:
        report.failed(recipe.name, str(error))
        raise _failure(recipe, store, error) from error


def _failure(recipe: Recipe, store: Store, error: Exception) -> BuildFailed:
    """Return the error of a build that failed; it tells of a full disk, which most tools do not."""
    details, fix, free = str(error), RETRY, shutil.disk_usage(store.root).free
    if free < ROOM:
        details += f"\n{free / 1e9:.1f} GB are free in {store.root}"
        fix = f"free some space, or set XDG_CACHE_HOME to a folder on a larger disk; then {RETRY}"
    return BuildFailed(f"building {recipe.name} failed", details=details, fix=fix)


def _size(folder: Path) -> str:
    image_file = folder / "image.tar"
    if image_file.exists():
        return f"image of {image_file.stat().st_size / 1e6:.0f} MB"
    programs = sorted(p.name for p in folder.glob("bin/*"))
    return ", ".join(programs) or ("files" if (folder / "files").exists() else "tree")


def _left(waiting: Mapping[str, Recipe]) -> str:
    return f"{len(waiting)} more, about {_minutes(_seconds(waiting))}" if waiting else "none"


def _seconds(recipes: Mapping[str, Recipe]) -> int:
    return sum(recipe.seconds for recipe in recipes.values())


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 90 else f"{seconds / 60:.0f} min"
