"""Restores a snapshot: everything is prepared next to the running sandbox and then replaces it at once."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import tarfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from sandbox.components.cluster.kind.provider import VERSION, recorded_version
from sandbox.components.workloads import charts_step, user_manifests
from sandbox.engine import Container, Engine, container_copy, labelled, shared_folders
from sandbox.engine.container_copy import Description
from sandbox.errors import SandboxError
from sandbox.fast_dataclass import dataclass
from sandbox.names import Names
from sandbox.plan import saved_spec
from sandbox.snapshot.snapshot_save import CERTIFICATES, REGISTRY, SPEC, packing
from sandbox.snapshot.snapshot_store import MANIFEST, Manifest, Node, Store
from sandbox.snapshot.volume_archive import Packed, VolumeArchive
from sandbox.system import files, host_network, tar_members
from sandbox.system.tar_members import LimitedMember

NEW = ".restoring"  # the suffix of names until the new objects replace the old ones
READY = "ready"
WIDTH = 8
LARGEST_RECORD = 1 << 20  # bytes
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
        kept = self.store.place(self.names.name, manifest.snapshot)
        if self.engine.image_id(manifest.image) is None:
            raise SandboxError(
                f"the node image of the snapshot '{manifest.snapshot}' is not in the engine",
                details=f"{manifest.image} (Kubernetes {manifest.kubernetes}, sandbox {manifest.release})",
                fix="load the bundle that it was made with: sandbox bundle load FILE",
                id="no-images",
            )
        manifest.require(_needed(manifest), kept)
        noted = self._noted
        files.write_private(noted / MANIFEST, manifest.model_dump_json().encode())
        try:
            self._prepare_verified(manifest, kept, say)
            files.write_atomic(noted / READY, b"", mode=0o600)
        except BaseException:
            self.recover()
            raise
        say("replacing the sandbox")
        self._switch(manifest)

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
        try:
            manifest = Manifest.model_validate_json(files.read_regular(noted / MANIFEST))
        except (OSError, ValueError, files.NotAFile) as error:
            if (noted / READY).exists():  # perhaps a part of it was replaced already
                raise SandboxError(
                    f"the restore of '{self.names.name}' that was interrupted cannot be completed",
                    details=f"{noted / MANIFEST} is damaged ({type(error).__name__}); nothing was changed",
                    fix=f"rm -r {shlex.quote(str(noted))}, then run: sandbox snapshot restore",
                    id="snapshot-damaged",
                ) from None
            shutil.rmtree(noted)  # killed before it made anything
            return
        if (noted / READY).exists():
            self._switch(manifest)
            return
        for container in self._new():
            self.engine.remove_container(container.name)
        if self.engine.volume_labels(self.names.volume) is not None:
            with contextlib.suppress(SandboxError):  # leftovers take space, and the next restore overwrites them
                self._archive(manifest).drop(self.names.volume, NEW)
        shutil.rmtree(noted)

    def _prepare_verified(self, manifest: Manifest, kept: Path, say: Callable[[str], None]) -> None:
        """Prepare everything while the files of the snapshot are verified: all of it can still be undone.

        Raises SandboxError, for a damaged snapshot one that says so, whatever failed because of it.
        """
        with ThreadPoolExecutor(1) as pool:
            verified = pool.submit(manifest.verify, kept)
            try:
                self._prepare(manifest, kept, say)
            except Exception as error:
                verified.result()
                if isinstance(error, tar_members.BROKEN):  # so it was when it was saved
                    raise manifest.damaged(kept, str(error)) from error
                raise
            verified.result()

    def _prepare(self, manifest: Manifest, kept: Path, say: Callable[[str], None]) -> None:
        self._certificates(kept / CERTIFICATES)
        shutil.copy(kept / SPEC, self._noted / SPEC)
        files.make_private_dir(self.names.folder)
        for mounted in (self.names.resolv_conf, self.names.proxy_conf):
            mounted.touch(0o600)  # the engine would create folders in place of missing files
        made = []
        wanted = [self._description(node, manifest) for node in manifest.nodes]
        for node, described in zip(manifest.nodes, wanted, strict=True):
            say(f"making {node.name}")
            self.engine.make(node.name + NEW, described.config, described.host)
            held = container_copy.volumes(self.engine, node.name + NEW)
            made.append(node.model_copy(update={"volumes": {place: held[place] for place in node.volumes}}))
        packed = [
            Packed(new.volume, old.file, old.base)
            for old, new in zip(packing(manifest.nodes), packing(made), strict=True)
        ]
        if manifest.registry:
            self.engine.create_volume(self.names.volume, self.names.labels)
            packed.append(Packed(self.names.volume, REGISTRY))
        say("writing files and volumes")
        with ThreadPoolExecutor(WIDTH) as pool:  # the volumes are written in this thread, which can be interrupted
            written = [
                pool.submit(self._write_files, described, kept / node.files, manifest.kubernetes)
                for node, described in zip(manifest.nodes, wanted, strict=True)
            ]
            self._archive(manifest).unpack(packed, kept, below=NEW)
        for one in written:
            one.result()

    def _write_files(self, node: Description, saved: Path, kubernetes: str) -> None:
        """Write the `saved` files of a new node, all but those in its volumes."""
        name = node.name + NEW
        container_copy.write(self.engine, name, saved)
        self._require_seen(name, node)
        self._claim(name, saved)
        self._require_version(name, kubernetes)

    def _switch(self, manifest: Manifest) -> None:
        """Replace the old objects. Every action can be repeated, because this may be killed."""
        # At once: the engine takes half a second to end a node, and as long for the volume.
        with ThreadPoolExecutor(WIDTH) as pool:
            parts: list[Future[Any]] = [pool.submit(self._replace, one.name.removesuffix(NEW)) for one in self._new()]
            parts += [pool.submit(self.engine.remove_container, one) for one in self._left_over(manifest)]
            if manifest.registry:
                parts.append(pool.submit(self._replace_registry, self._archive(manifest)))
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
        (self._noted / READY).unlink()  # first, for without the other files there is nothing to complete
        shutil.rmtree(self._noted)

    def _note_charts(self) -> None:
        """Record whether the restored cluster has releases, of whatever charts the spec names by now."""
        with contextlib.suppress(SandboxError):  # a spec that cannot be read tells nothing; `start` names it
            spec = saved_spec.load(self.names)
            if spec and user_manifests.charts(spec.apply):
                charts_step.note(self.names)
            else:
                self.names.charts.unlink(missing_ok=True)

    def _left_over(self, manifest: Manifest) -> list[str]:
        """Return the nodes of the replaced cluster that the snapshot has none for."""
        kept = {node.name for node in manifest.nodes}
        return [one.name for one in self.engine.containers(self.mark) if one.name.removesuffix(NEW) not in kept]

    def _replace(self, node: str) -> None:
        if any(one.name == node for one in self.engine.containers(self.mark)):
            self.engine.remove_container(node)
        self.engine.rename(node + NEW, node)

    def _replace_registry(self, archive: VolumeArchive) -> None:
        labelled.stop(self.engine, self.names.registry, self.names.home)
        archive.swap(self.names.volume, NEW)

    def _certificates(self, tar: Path) -> None:
        folder = self._noted / "certificates"
        files.make_private_dir(folder)
        _unpack(tar, folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o644 if path.suffix == ".crt" else 0o600)

    def _description(self, node: Node, manifest: Manifest) -> Description:
        """Return the node's configuration on this machine: with files in this user's folder, on a free port."""
        here = f"{self.names.folder}/"
        try:
            binds = [one.replace(f"{manifest.folder}/", here, 1) for one in node.host.get("Binds") or ()]
            more = {"Binds": binds, "PortBindings": self._ports(node), "NetworkMode": self.names.network}
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            place = self.store.place(self.names.name, manifest.snapshot) / MANIFEST
            raise manifest.damaged(place, f"{node.name} has mounts or ports that no engine writes") from error
        return Description(node.name, node.config, {**node.host, **more})

    def _require_seen(self, node: str, wanted: Description) -> None:
        """Raise SandboxError where an engine elsewhere does not see this user's folder, of which the node has files."""
        if self.engine.shares_network():
            return
        binds = ((*bind.split(":"), "")[:2] for bind in wanted.host["Binds"])
        ours = {Path(source): inner for source, inner in binds if Path(source).is_relative_to(self.names.folder)}
        shared_folders.require_seen(partial(self.engine.read_file, node), ours, self.engine.how_to_share)

    def _claim(self, node: str, saved: Path) -> None:
        """Make this user the owner in the node's record, of its `saved` files; another user may have saved them."""
        with tarfile.open(saved) as tar, contextlib.suppress(KeyError):
            file = tar.extractfile(str(labelled.COMPLETE.relative_to("/")))
            record = json.loads(file.read(LARGEST_RECORD)) if file else {}
            if not isinstance(record, dict):
                raise tarfile.ReadError(f"{labelled.COMPLETE} is no record")
            if record.get("owner") != self.names.home.owner:
                record["owner"] = self.names.home.owner
                self.engine.write_file(node, labelled.COMPLETE, json.dumps(record).encode())

    def _require_version(self, node: str, version: str) -> None:
        """Have a node record the snapshot's Kubernetes: of upgraded nodes, earlier releases did not save the record."""
        if recorded_version(self.engine, node) not in ("", version):
            self.engine.write_file(node, VERSION, version.encode())

    def _ports(self, node: Node) -> dict[str, list[dict[str, str]]]:
        old = self.engine.container(node.name)
        held = {bind.port for binds in old.published.values() for bind in binds} if old else set()
        wanted: dict[str, list[dict[str, str]]] = {}
        for inner, binds in (node.host.get("PortBindings") or {}).items():
            wanted[inner] = []
            for bind in binds:
                address, port = bind["HostIp"] or "0.0.0.0", int(bind["HostPort"] or 0)  # noqa: S104
                if port and port not in held and not host_network.is_free(address, port):
                    port = host_network.next_free(address, port)
                wanted[inner].append({"HostIp": bind["HostIp"], "HostPort": str(port or "")})
        return wanted

    def _new(self) -> list[Container]:
        return [one for one in self.engine.containers(self.mark) if one.name.endswith(NEW)]

    def _archive(self, manifest: Manifest) -> VolumeArchive:
        return VolumeArchive(self.engine, self.names, manifest.image)

    @property
    def _noted(self) -> Path:
        return self.store.restoring(self.names.name)


def _needed(manifest: Manifest) -> set[str]:
    """Return the files that a restore reads."""
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
