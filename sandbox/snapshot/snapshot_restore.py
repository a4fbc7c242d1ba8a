"""Restores a snapshot: new nodes and volumes are prepared next to the running sandbox, and then replace its own."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import tarfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sandbox.components.workloads import charts_step, user_manifests
from sandbox.engine import Engine, labelled
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.plan import saved_spec
from sandbox.snapshot.new_nodes import NEW, READY, NewNodes
from sandbox.snapshot.snapshot_save import CERTIFICATES, REGISTRY, SPEC, packing
from sandbox.snapshot.snapshot_store import MANIFEST, UNCHANGED, Manifest, Store
from sandbox.snapshot.volume_archive import Packed, VolumeArchive
from sandbox.system import files, tar_members
from sandbox.system.tar_members import LimitedMember

WIDTH = 8
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # one part of a path in the keystore: not "..", nothing hidden


@dataclass(frozen=True, kw_only=True)
class Restoring:
    """A sandbox and the store of its snapshots; `mark` is the label that only its nodes have."""

    engine: Engine
    names: Names
    store: Store
    mark: str

    def restore(self, manifest: Manifest, say: Callable[[str], None]) -> None:
        """Restore everything except for the start of the nodes. Raises SandboxError and changes nothing then.

        If it is killed, `recover` completes it or undoes it.
        """
        labelled.require(self.engine, self.names)
        self.recover()
        if self.engine.image_id(manifest.image) is None:
            raise SandboxError(
                f"the node image of the snapshot '{manifest.snapshot}' is not in the engine",
                details=f"{manifest.image} (Kubernetes {manifest.kubernetes}, sandbox {manifest.release})",
                fix="load the bundle that it was made with: sandbox bundle load FILE",
                id="no-images",
            )
        manifest.require(_needed(manifest), self._kept(manifest))
        new = self._new(manifest)
        _ = new.described  # raises an error before anything is made
        files.write_private(self._noted / MANIFEST, manifest.model_dump_json().encode())
        self._prepare_or_undo(new, manifest, say)
        say("replacing the sandbox")
        self._switch(new, manifest)

    def recover(self) -> None:
        """Clean up after a command that was killed.

        Complete a restore if everything was prepared, otherwise undo it.
        """
        labelled.remove(self.engine, self.names.copier, self.names.home)
        self.store.clean(self.names.name)
        noted = self._noted
        if not noted.exists():
            return
        labelled.require(self.engine, self.names)
        ready = (noted / READY).exists()  # perhaps some objects were replaced already
        try:
            manifest = Manifest.model_validate_json(files.read_regular(noted / MANIFEST))
        except (OSError, ValueError, files.NotAFile) as error:
            if ready:
                raise SandboxError(
                    f"the restore of '{self.names.name}' that was interrupted cannot be completed",
                    details=f"{noted / MANIFEST} is damaged ({type(error).__name__}){UNCHANGED}",
                    fix=f"rm -r {shlex.quote(str(noted))}, then run: sandbox snapshot restore",
                    id="snapshot-damaged",
                ) from None
            shutil.rmtree(noted)  # killed before it made anything
            return
        if ready:
            self._switch(self._new(manifest), manifest)
        else:
            self._undo(manifest)
            shutil.rmtree(noted)

    def _prepare_or_undo(self, nodes: NewNodes, manifest: Manifest, say: Callable[[str], None]) -> None:
        """Prepare everything, and note that it may be replaced from now on. Raises SandboxError, with all undone."""
        try:
            self._prepare_verified(nodes, manifest, say)
            files.write_atomic(self._noted / READY, b"", mode=0o600)
        except BaseException:
            self._undo(manifest)
            shutil.rmtree(self._noted)
            raise

    def _undo(self, manifest: Manifest) -> None:
        self._new(manifest).undo()
        if self.engine.volume_labels(self.names.volume) is not None:
            with contextlib.suppress(SandboxError):  # leftovers take space, and the next restore overwrites them
                VolumeArchive(self.engine, self.names, manifest.image).drop(self.names.volume, NEW)

    def _prepare_verified(self, nodes: NewNodes, manifest: Manifest, say: Callable[[str], None]) -> None:
        """Prepare everything while the files of the snapshot are verified: all of it can still be undone.

        Raises SandboxError, for a damaged snapshot one that says so, whatever failed because of it.
        """
        kept = self._kept(manifest)
        with ThreadPoolExecutor(1) as pool:
            verified = pool.submit(manifest.verify, kept)
            try:
                self._prepare(nodes, manifest, kept, say)
            except Exception as error:
                verified.result()
                if isinstance(error, tar_members.BROKEN):  # so it was when it was saved
                    raise manifest.damaged(kept, str(error)) from error
                raise
            verified.result()

    def _prepare(self, nodes: NewNodes, manifest: Manifest, kept: Path, say: Callable[[str], None]) -> None:
        self._certificates(kept / CERTIFICATES)
        shutil.copy(kept / SPEC, self._noted / SPEC)
        files.make_private_dir(self.names.folder)
        for mounted in (self.names.resolv_conf, self.names.proxy_conf):
            mounted.touch(0o600)  # the engine would create folders in place of missing files
        packed = nodes.prepare(say)
        if manifest.registry:
            self.engine.create_volume(self.names.volume, self.names.labels)
            packed.append(Packed(self.names.volume, REGISTRY, below=NEW))
        say("writing files and volumes")
        with ThreadPoolExecutor(WIDTH) as pool:  # the volumes are written in this thread, which can be interrupted
            written = [pool.submit(one) for one in nodes.writers()]
            VolumeArchive(self.engine, self.names, manifest.image).unpack(packed, kept)
        for one in written:
            one.result()

    def _switch(self, nodes: NewNodes, manifest: Manifest) -> None:
        """Replace the old objects. Every action can be repeated, because this may be killed."""
        # At once: the engine takes half a second to end a node, and as long for the volume.
        with ThreadPoolExecutor(WIDTH) as pool:
            parts: list[Future[object]] = [pool.submit(one) for one in nodes.replacements()]
            if manifest.registry:
                parts.append(pool.submit(self._replace_registry, manifest))
        for part in parts:
            part.result()
        if (self._noted / "certificates").exists():
            if self.names.keys.exists():
                shutil.rmtree(self.names.keys)
            files.make_private_dir(self.names.keys.parent)
            (self._noted / "certificates").rename(self.names.keys)
        files.write_private(self.names.spec, (self._noted / SPEC).read_bytes())
        self._note_charts()
        self.names.kubeconfig.unlink(missing_ok=True)  # `start` writes it again, with the new port
        (self._noted / READY).unlink(missing_ok=True)  # first, for without the other files nothing can be completed
        shutil.rmtree(self._noted)

    def _note_charts(self) -> None:
        """Record whether the restored cluster has releases, of whatever charts the spec names by now."""
        with contextlib.suppress(SandboxError):  # a spec that cannot be read tells nothing; `start` names it
            spec = saved_spec.load(self.names)
            if spec and user_manifests.charts(spec.apply):
                charts_step.note(self.names)
            else:
                self.names.charts.unlink(missing_ok=True)

    def _replace_registry(self, manifest: Manifest) -> None:
        """Stop the registry, which starts again together with the nodes, and replace its data."""
        labelled.stop(self.engine, self.names.registry, self.names.home)
        VolumeArchive(self.engine, self.names, manifest.image).swap(self.names.volume, NEW)

    def _certificates(self, tar: Path) -> None:
        folder = self._noted / "certificates"
        files.make_private_dir(folder)
        _unpack(tar, folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o644 if path.suffix == ".crt" else 0o600)

    def _new(self, manifest: Manifest) -> NewNodes:
        return NewNodes(
            engine=self.engine, names=self.names, mark=self.mark, manifest=manifest, kept=self._kept(manifest)
        )

    def _kept(self, manifest: Manifest) -> Path:
        return self.store.place(self.names.name, manifest.snapshot)

    @property
    def _noted(self) -> Path:
        return self.store.restoring(self.names.name)


def _needed(manifest: Manifest) -> set[str]:
    volumes = [*packing(manifest.nodes), *([Packed(REGISTRY, REGISTRY)] if manifest.registry else [])]
    return {
        CERTIFICATES,
        SPEC,
        *(node.files for node in manifest.nodes),
        *(file for one in volumes for file in one.files),
    }


def _unpack(tar: Path, folder: Path) -> None:
    """Write the regular files of `tar` below `folder`. Raises SandboxError for any other entry.

    Without tarfile's filters (PEP 706), which came with Python 3.11.4: Debian 12 has 3.11.2.
    """
    with tarfile.open(tar, tarinfo=LimitedMember) as content:
        for member in content:
            parts = member.name.split("/")
            data = content.extractfile(member) if member.isreg() else None
            if data is None or not all(map(_PART.fullmatch, parts)):
                raise SandboxError(
                    "the snapshot's certificates cannot be unpacked",
                    details=f"{member.name!r} is not a regular file below their folder",
                    fix="restore another snapshot: sandbox snapshot list",
                    id="snapshot-damaged",
                )
            files.write_private(folder.joinpath(*parts), data.read())
