"""Restores a snapshot: new nodes and volumes are prepared next to the running sandbox, and then replace its own."""

import contextlib
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.components.workloads import charts_step, user_manifests
from sandbox.engine import Engine, container_copy, labelled
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.plan import saved_spec
from sandbox.snapshot.snapshot_save import CERTIFICATES, REGISTRY, SPEC, packing
from sandbox.snapshot.snapshot_store import MANIFEST, Manifest, Node, Store
from sandbox.snapshot.volume_archive import Packed, VolumeArchive
from sandbox.system import files, host_network

READY = "ready"  # the file that says that everything is prepared
NEW = ".restoring"  # the suffix of names until the new objects replace the old ones
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
        say("comparing digests")
        manifest.require_whole(self._saved(manifest))
        files.write_private(self._noted / MANIFEST, manifest.model_dump_json().encode())
        try:
            self._prepare(manifest, say)
            files.write_atomic(self._noted / READY, b"", mode=0o600)
        except BaseException:
            self._undo(manifest)
            raise
        say("replacing the sandbox")
        self._switch(manifest)

    def recover(self) -> None:
        """Complete a restore that was killed if everything was prepared, otherwise undo it."""
        labelled.remove(self.engine, self.names.copier, self.names.home)
        self.store.clean(self.names.name)
        if not self._noted.exists():
            return
        labelled.require(self.engine, self.names)
        if not (self._noted / MANIFEST).exists():  # killed before anything was made, or after everything was replaced
            shutil.rmtree(self._noted)
            return
        manifest = Manifest.model_validate_json((self._noted / MANIFEST).read_bytes())
        if (self._noted / READY).exists():  # perhaps some objects were replaced already
            self._switch(manifest)
        else:
            self._undo(manifest)

    def _undo(self, manifest: Manifest) -> None:
        for node in self.engine.containers(self.mark):
            if node.name.endswith(NEW):
                self.engine.remove_container(node.name)
        if self.engine.volume_labels(self.names.volume) is not None:
            with contextlib.suppress(SandboxError):  # leftovers take space, and the next restore overwrites them
                VolumeArchive(self.engine, self.names, manifest.image).drop(self.names.volume, NEW)
        shutil.rmtree(self._noted)

    def _prepare(self, manifest: Manifest, say: Callable[[str], None]) -> None:
        saved = self._saved(manifest)
        _unpack(saved / CERTIFICATES, self._noted / "certificates")
        shutil.copy(saved / SPEC, self._noted / SPEC)
        files.make_private_dir(self.names.folder)
        packed = []
        for node in manifest.nodes:
            say(f"making {node.name}")
            binds = [
                bind.replace(f"{manifest.folder}/", f"{self.names.folder}/", 1) for bind in node.host["Binds"] or ()
            ]
            here = {"Binds": binds, "PortBindings": self._ports(node), "NetworkMode": self.names.network}
            self.engine.make(node.name + NEW, node.config, {**node.host, **here})
            volumes = container_copy.volumes(self.engine, node.name + NEW)
            packed += [Packed(volumes[part.base], part.file, part.base) for part in packing([node]) if part.base]
        if manifest.registry:
            self.engine.create_volume(self.names.volume, self.names.labels)
            packed.append(Packed(self.names.volume, REGISTRY, below=NEW))
        say("writing files and volumes")
        for node in manifest.nodes:
            container_copy.write(self.engine, node.name + NEW, saved / node.files)
        VolumeArchive(self.engine, self.names, manifest.image).unpack(packed, saved)

    def _ports(self, node: Node) -> dict[str, list[dict[str, str]]]:
        # A port that another program has by now is replaced by a free one.
        present = self.engine.container(node.name)
        own = {bind.port for binds in present.published.values() for bind in binds} if present else set()
        ports: dict[str, list[dict[str, str]]] = {}
        for inner, binds in (node.host.get("PortBindings") or {}).items():
            ports[inner] = []
            for bind in binds:
                address, port = bind["HostIp"] or "0.0.0.0", int(bind["HostPort"] or 0)  # noqa: S104
                if port and port not in own and not host_network.is_free(address, port):
                    port = host_network.next_free(address, port)
                ports[inner].append({"HostIp": bind["HostIp"], "HostPort": str(port or "")})
        return ports

    def _switch(self, manifest: Manifest) -> None:
        # Every action can be repeated, because this may be killed.
        names, engine = self.names, self.engine
        present = [node.name for node in engine.containers(self.mark)]
        saved = {node.name for node in manifest.nodes}
        for name in present:
            if name.endswith(NEW):
                if name.removesuffix(NEW) in present:
                    engine.remove_container(name.removesuffix(NEW))
                engine.rename(name, name.removesuffix(NEW))
            elif name not in saved:
                engine.remove_container(name)
        if manifest.registry:
            labelled.stop(engine, names.registry, names.home)  # it starts again together with the nodes
            VolumeArchive(engine, names, manifest.image).swap(names.volume, NEW)
        if (self._noted / "certificates").exists():
            if names.keys.exists():
                shutil.rmtree(names.keys)
            files.make_private_dir(names.keys.parent)
            (self._noted / "certificates").rename(names.keys)
        files.write_private(names.spec, (self._noted / SPEC).read_bytes())
        with contextlib.suppress(SandboxError):  # a spec that cannot be read tells nothing; `start` names it
            spec = saved_spec.load(names)
            if spec and user_manifests.charts(spec.apply):
                charts_step.note(names)
            else:
                names.charts.unlink(missing_ok=True)
        names.kubeconfig.unlink(missing_ok=True)  # `start` writes it again, with the new port
        (self._noted / MANIFEST).unlink()  # first, for without the other files nothing can be completed
        shutil.rmtree(self._noted)

    def _saved(self, manifest: Manifest) -> Path:
        return self.store.place(self.names.name, manifest.snapshot)

    @property
    def _noted(self) -> Path:
        return self.store.restoring(self.names.name)


def _unpack(tar: Path, folder: Path) -> None:
    # Only regular files are written, and none by a path that leads elsewhere. tarfile's filters (PEP 706) came with
    # Python 3.11.4: Debian 12 has 3.11.2.
    files.make_private_dir(folder)
    with tarfile.open(tar) as content:
        for member in content:
            data, parts = content.extractfile(member) if member.isreg() else None, member.name.split("/")
            if data and all(map(_PART.fullmatch, parts)):
                path = folder.joinpath(*parts)
                files.write_private(path, data.read())
                if path.suffix == ".crt":
                    path.chmod(0o644)
