"""Finds the spec that a command means: by a file, by the name of a sandbox that was brought up, or by neither."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sandbox.app.context import DEFAULT_FILE, default_file, home, meant_file, spec_in
from sandbox.app.project.source import Fetched, fetched
from sandbox.app.session import Session
from sandbox.config.checkout import own_name
from sandbox.config.resolve import Override, changed, load, with_bundle, with_existing_cluster, with_own_cluster
from sandbox.config.schema import Ingress, ResolvedSpec, Spec
from sandbox.config.schema.origin_schema import Origin
from sandbox.config.schema.values import as_name
from sandbox.errors import SandboxError, UsageError
from sandbox.plan import saved_spec

AnySpec = TypeVar("AnySpec", bound=Spec)


def find(file: Path | None, name: str | None) -> Spec:
    """Return the spec that is written; where it says nothing of a cluster, with the present one."""
    return as_made(choose(file, name).spec)


def file_to_bring_up(file: Path | None, name: str | None) -> Path | None:
    """Return the FILE of an `up`; for a NAME alone that of this folder, unless NAME was brought up from elsewhere."""
    if file is not None or name is None:
        return file
    here, names = default_file(), home().sandbox(name)
    earlier = saved_spec.origin(names)
    is_free = not names.spec.exists() or (earlier and here and Origin.of(here).may_replace(earlier))
    return here if is_free else None


@dataclass
class _Naming:
    file: Path
    may_rename: bool
    taken: str | None = None  # the name, where the sandbox of another file has it and this one is new

    def __call__(self, base: str, own: str) -> str:
        place, origin = home(), Origin.of(self.file)
        names = saved_spec.names_from(place, origin)
        folder = Path(origin.source).parent
        by_folder, by_file = (hashlib.sha256(bytes(path)).hexdigest()[:4] for path in (folder, Path(origin.source)))
        others = own_name(own, by_folder if as_name(folder.name) == own else folder.name), own_name(own, by_file)
        if known := next((name for name in (own, *others) if name in names), None):
            return known  # also after a change of the worktree's branch

        def is_taken(name: str) -> bool:
            return saved_spec.is_of_another_file(place.sandbox(name), origin)

        if not is_taken(own):
            earlier_branches = (name for name in names if own != base and name.startswith(f"{base}-"))
            return next(earlier_branches, own)
        another = others[is_taken(others[0])]  # other files of the folder, or of one of that name, may have the first
        is_kept = place.sandbox(another).keys.exists()  # they outlive `down`
        if self.may_rename and not is_kept:
            self.taken = own
        return another if self.may_rename or is_kept else own


def remembered(name: str) -> ResolvedSpec | None:
    return saved_spec.load(home().sandbox(name))


def _saved(name: str) -> ResolvedSpec | None:
    with suppress(SandboxError):  # a spec that cannot be read
        return remembered(name)
    return None


def brought_up(name: str | None) -> ResolvedSpec:
    """Load the spec of the last `up` of the sandbox NAME, else of that of `default_file`. Raises UsageError."""
    present = find(None, name)
    spec = remembered(present.name)
    if spec is None:
        raise unknown(present.name)
    return spec


def unknown(name: str) -> UsageError:
    return UsageError(
        f"there is no sandbox '{name}'",
        fix="list all with: sandbox list; create one with: sandbox up",
        id="no-sandbox",
    )


def require_own_cluster(spec: Spec, what: str) -> None:
    """Raise UsageError for a sandbox in an existing cluster, which has no `what`."""
    for each in (spec, remembered(spec.name)):
        if each and not each.cluster.supports.whole_cluster:
            raise UsageError(
                f"'{spec.name}' has an existing cluster: {what} is not supported there",
                fix="docs/existing.md lists what is supported",
            )


def require_kind(spec: Spec, command: str) -> None:
    """Raise UsageError unless the cluster's nodes are containers that kind made on this machine."""
    require_own_cluster(spec, command)
    if not spec.cluster.supports.node_image:
        raise UsageError(
            f"{command} works with clusters of kind, not of {spec.cluster.provider}",
            fix="sandbox stop, which keeps the data",
        )


def as_made(spec: AnySpec) -> AnySpec:
    """Return the spec with the present cluster, where it does not say how to make one."""
    return with_existing_cluster(spec, _saved(spec.name))


def shell(spec: Spec) -> Spec:
    """Return the spec of what `down` removes: cluster and ports of the last `up`, whatever the file says by now.

    What is inside the cluster goes with it: that it could not be made now must not keep it from being removed.
    """
    update: dict[str, object] = {"push": None, "apply": (), "addons": (), "ingress": Ingress()}
    if saved := _saved(spec.name):
        update |= {
            "cluster": saved.cluster,
            "edge": spec.edge.model_copy(update={"ports": saved.edge.ports}),
            "registry": spec.registry.model_copy(update={"port": saved.registry.port}),
        }
    return spec.model_copy(update=update)


@dataclass(frozen=True, kw_only=True)
class ChosenSpec:
    """A spec as it was written, and how it was named.

    `origin` is where it comes from: None for a saved spec, and for one that a program made and answers for. `taken` is
    the sandbox of another file that has the spec's own name, if this one is new and gets another, which it does only
    where it `may_rename`.
    """

    spec: Spec
    origin: Origin | None = None
    taken: str | None = None
    may_rename: bool = False


def choose(
    file: Path | None,
    name: str | None,
    overrides: Sequence[Override] = (),
    *,
    project: Fetched | None = None,
    may_rename: bool = False,
) -> ChosenSpec:
    """Return the spec of FILE or of a fetched project, else of `default_file`, else the default one. Raises UsageError.

    NAME alone means the spec of the last `up` of this sandbox, else the default one of that name; with a FILE it
    renames its spec. A spec without a name in it is named after its checkout, a fetched one after its folder. With
    `may_rename`, a spec gets another name where the sandbox of another file has its own.
    """
    meant = project.file if project else meant_file(file, name)
    if meant is None:
        default = Spec() if name is None else _saved(name) or Spec.default(name)
        spec = changed(default, overrides, called=f"the spec of '{default.name}'")
        is_saved = name is not None and home().sandbox(name).spec.exists()
        return ChosenSpec(spec=spec, origin=None if is_saved else Origin())
    naming = _Naming(meant, may_rename=may_rename)
    renamed = (Override(("name",), name, "NAME"),) if name else ()
    if project and project.called:
        spec = load(meant, (*overrides, *renamed), called=project.called)
    else:
        spec = load(meant, (*overrides, *renamed), naming=naming)
    origin = Origin.of(meant)
    if project and project.origin.is_fetched:
        spec, origin = with_own_cluster(with_bundle(spec) if project.bundle else spec), project.origin
        project.require_no_data(spec)
    return ChosenSpec(spec=spec, origin=origin, taken=naming.taken, may_rename=may_rename and name is None)


def given(spec: Spec | str | os.PathLike[str] | None) -> ChosenSpec:
    """Return the spec that a program names by a Spec, the path of a file or folder, or nothing. Raises UsageError."""
    if isinstance(spec, Spec):  # the program answers for a spec that it made itself
        return ChosenSpec(spec=spec if spec.is_checked else Spec.model_validate(spec))
    file = default_file() if spec is None else Path(spec)
    if file is None:
        return ChosenSpec(spec=Spec(), origin=Origin())
    if spec is not None and file.is_dir():
        file = spec_in(file) or file / DEFAULT_FILE
    return choose(file, None)


@contextmanager
def from_source(
    source: str | None, file: Path | None, session: Session, *, identity: str | None, trusted: bool
) -> Iterator[Fetched | None]:
    """Fetch `source`, if one is named, for the length of the block; it excludes FILE. Raises SandboxError."""
    if source is None:
        if identity or trusted:
            raise UsageError("--identity and --trust are for --from", fix="leave them out")
        yield None
        return
    if file is not None:
        raise UsageError("-f and --from contradict each other", fix="give one of them")
    with fetched(source, home(), session, identity=identity) as project:
        yield project
