"""`dev`: a sandbox that is up and follows its project's files until the user ends the command."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.app import machine_plan
from sandbox.app.agreement import Agreement
from sandbox.app.core import BROUGHT, Sandbox
from sandbox.app.dev.changed_files import DevWork, Project
from sandbox.app.dev.dev_report import DevReport, PodWatch
from sandbox.app.dev.file_watch import FileWatch
from sandbox.app.dev.rounds import Rounds, prepared
from sandbox.components.workloads import user_manifests
from sandbox.config.schema import RemoteChart, Spec
from sandbox.config.schema.apply_schema import paths as applied
from sandbox.engine.engine_images import excluded
from sandbox.errors import SandboxError, UsageError
from sandbox.images.build_order import bases
from sandbox.images.images_yaml import Entry, FromBuild
from sandbox.images.lockfile import LockFile, lock_path
from sandbox.kube.api import Cluster, trouble_of
from sandbox.step import Overtaken, Step

# Errors of `up` that no change of a file repairs: the user did not agree.
REFUSED = ("consent", "declined", "other-origin", "lost-data")


@dataclass
class DevLoop:
    """One run of `sandbox dev`; `choose` reads the spec, whose file is `file`, again after each change of it."""

    choose: Callable[[], Sandbox]
    file: Path | None
    report: DevReport
    logs: bool = True
    watch: FileWatch = field(default_factory=FileWatch)
    _project: Project = field(default_factory=Project)
    _rounds: Rounds | None = None  # once it is up
    _left: DevWork = field(default_factory=DevWork)  # what failed, and is tried again with the next change

    def once(self) -> Sandbox:
        sandbox = self.choose()
        sandbox.up(spared=BROUGHT, keep=True)
        return sandbox

    def run(self, on_up: Callable[[Sandbox], None]) -> None:
        """Bring the sandbox up, then follow its files, until an exception ends it; `on_up` is called once it is up.

        Raises Busy if another `dev` does that, and SandboxError only if there is nothing to go on with.
        """
        sandbox = self.choose()
        pods = PodWatch(
            cluster=lambda: Cluster(sandbox.kubeconfig),
            pods=lambda: self._rounds.pods() if self._rounds else (),
            report=self.report,
            context=sandbox.context,
            logs=self.logs,
        )
        with sandbox.session.following(sandbox.name):
            try:
                if self.up(sandbox):
                    on_up(sandbox)
                self.report.watching(self._project.roots)
                pods.begin()
                while True:
                    sandbox = self.next(sandbox)
            finally:
                pods.end()
                self.watch.end()

    def next(self, sandbox: Sandbox) -> Sandbox:
        """Wait for a change that requires something, and do it with what is left from before."""
        burst = self.watch.take()
        asking = [path for path in burst.paths if self._project.work([path])] if burst else []
        if burst is None or not asking:
            return sandbox
        work = self._project.work(asking)
        self.report.changed(asking)
        try:
            rounds = self._rounds
            if work.spec or rounds is None:  # `up` failed before
                before, chosen = sandbox.name, self.choose()
                if chosen.name != before:
                    raise UsageError(
                        f"the spec is of '{chosen.name}' now, and this `sandbox dev` follows '{before}'",
                        fix=f"name it {before} again; or end this with Ctrl-C, then sandbox dev, which brings up "
                        f"'{chosen.name}'",
                    )
                sandbox = chosen
                done = self.up(sandbox)
                self.report.watching(self._project.roots)
                if not done:
                    return sandbox
            else:
                self._round(sandbox, rounds, self._left.plus(work))
        except SandboxError as error:
            self.report.failed(error)
            self._left = self._left.plus(work)
        else:
            if self._rounds and not self._left:
                report = self.report.ready if self._rounds.loaded else self.report.copied
                report(time.monotonic() - burst.seen)
        return sandbox

    def up(self, sandbox: Sandbox) -> bool:
        """Bring the sandbox up, with its files watched from before that; returns whether it is up.

        Raises SandboxError if there is no cluster to go on with.
        """
        self._rounds, self._project = None, project_of(self.file, sandbox.spec)
        self.watch.begin(self._project.roots)
        try:
            sandbox.up(spared=BROUGHT, keep=True, prepared=self._prepared)
            self._left = DevWork()
            self._rounds = self._read(sandbox)
        except SandboxError as error:
            if error.id in REFUSED or not sandbox.kubeconfig.exists():
                raise
            if not isinstance(error, Overtaken):  # then the next change brings it up at once
                self.report.failed(error)
            built = tuple(entry for entry in self._project.entries if isinstance(entry, FromBuild))
            self._left = DevWork(images=built, manifests=True)
            return False
        return True

    def _round(self, sandbox: Sandbox, rounds: Rounds, work: DevWork) -> None:
        project = project_of(self.file, sandbox.spec)  # a .dockerignore, a FROM or a kustomization may have changed
        if project.roots != self._project.roots:
            self.watch.begin(project.roots)
        self._project = project
        # `--yes` and answers count for an `up`, not for a sandbox that another folder brings up while this runs.
        with sandbox.alone("dev", agreement=Agreement()):
            if (trouble := trouble_of(sandbox.kubeconfig)) is not None:
                raise SandboxError(
                    f"the sandbox '{sandbox.name}' is not up any more",
                    details=trouble,
                    fix="sandbox up, in another terminal: this goes on with the next change",
                    id="not-up",
                )
            if work.manifests:
                self._rounds = self._read(sandbox)
                self._rounds.copied = rounds.copied
                rounds = self._rounds
            self._left = rounds.run(work)

    def _read(self, sandbox: Sandbox) -> Rounds:
        steps, _, _ = machine_plan.steps(sandbox.resolved)
        return Rounds.of(self._prepared(steps), self.report)

    def _prepared(self, steps: Sequence[Step]) -> Sequence[Step]:
        return prepared(steps, lambda: bool(self._project.work(self.watch.changed)))


def project_of(file: Path | None, spec: Spec) -> Project:
    entries: tuple[Entry, ...] = ()
    if spec.push is not None:
        with suppress(SandboxError):  # reported by `up`, and read again when it changes
            entries = LockFile.of(spec.push).entries
    manifests = [*applied(spec.apply)]
    for item in spec.apply:
        with suppress(SandboxError):
            if kustomization := user_manifests.rendered(item):  # whose bases may be anywhere
                manifests += user_manifests.reads(kustomization.kustomize).local
    written = [each.lock.absolute() for each in spec.apply if isinstance(each, RemoteChart)]
    written += [lock_path(spec.push).absolute()] if spec.push else []
    return Project(
        spec=tuple(path.absolute() for path in (file, spec.push) if path is not None),
        entries=entries,
        manifests=tuple(dict.fromkeys(manifests)),
        written=tuple(written),
        excluded={
            entry.target: excluded(entry.context, entry.dockerfile) for entry in entries if isinstance(entry, FromBuild)
        },
        bases=bases(entries),
    )
