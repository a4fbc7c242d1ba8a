"""Builds the node image: a Debian system with Kubernetes and every image it needs already unpacked."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from sandbox.bundle.builder import image_archive
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.system import process
from sandbox.system.wait import wait_until

PROGRAMS = {
    "kubernetes": ("usr/bin", {"kubernetes"}),
    "containerd": ("usr/local/bin", {"containerd", "containerd-shim-runc-v2"}),
    "runc": ("usr/local/bin", {"runc"}),
    "cri-tools": ("usr/local/bin", {"crictl"}),
    "cni-plugins": ("opt/cni/bin", {"ptp", "loopback", "host-local", "portmap"}),
}
# Further names of these programs, which say what they do.
NAMES = {
    "usr/bin/kubelet": "kubernetes",
    "usr/bin/kubeadm": "kubernetes",
    "usr/bin/kubectl": "kubernetes",
    "usr/local/bin/ctr": "containerd",
}
CONTAINERD = "var/lib/containerd"
SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs/snapshots"
# Every node has a volume at /var, for which the engine copies all that the image has there.
UNPACKED = "kind/snapshots"
COPIED = 5_000_000  # bytes; of smaller images the copy takes no time
UNITS = "etc/systemd/system"
# Units that are useless or harmful in a container, and programs that make such units each time systemd reads its own.
UNWANTED = (
    f"{UNITS}/*.wants/*",
    "usr/lib/systemd/system/multi-user.target.wants/*",
    "usr/lib/systemd/system/local-fs.target.wants/*",
    "usr/lib/systemd/system/sockets.target.wants/*udev*",
    "usr/lib/systemd/system/sockets.target.wants/*initctl*",
    "usr/lib/systemd/system/basic.target.wants/*",
    "usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup*",
    "usr/lib/systemd/system-generators/*",
)
# Units that others want, and that find nothing to do in a container: its kernel has all modules, and it has no logins.
MASKED = (
    "modprobe@.service",
    "systemd-binfmt.service",
    "systemd-modules-load.service",
    "systemd-sysusers.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
)
EMPTY = ("proc", "sys", "run", "tmp")


def build(recipe: Recipe, store: Store, folder: Path, on_line: Callable[[str], None]) -> None:
    """Write `folder`/image.tar for kind's `--image`. Needs root, for the tree's owners and for containerd."""
    root = folder / "tree"
    on_line("copying the Debian system")
    process.run(["cp", "--archive", store.tree(recipes()["bookworm"]), root], timeout=600)
    _install(recipe, store, root)
    _preload(store, root, [recipes()[name] for name in recipe.needs], on_line)
    _move_snapshots(root)
    # The node's Kubernetes program and the one in the unpacked image become one file, stored once in the layer.
    program = root / "usr/bin/kubernetes"
    (unpacked,) = root.joinpath(UNPACKED).glob("*/fs/usr/local/bin/kubernetes")
    program.unlink()
    program.hardlink_to(unpacked)
    on_line("writing the image")
    content = folder / "layer.tar"
    image_archive.write_tree(root, content, empty=EMPTY)
    shutil.rmtree(root)
    config = {
        "Env": ["container=docker"],
        "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
        "StopSignal": "SIGRTMIN+3",
        "Labels": {image_archive.LABEL: recipe.name},
    }
    image_archive.write_archive(folder / "image.tar", layer=content, names=[recipe.reference], config=config)


def _install(recipe: Recipe, store: Store, root: Path) -> None:
    needed = {recipes()[name].base or name: recipes()[name] for name in recipe.needs}
    for component, (place, programs) in PROGRAMS.items():
        root.joinpath(place).mkdir(parents=True, exist_ok=True)
        for program in programs:
            shutil.copy(store.program(needed[component], program), root / place)
    for path, program in NAMES.items():
        root.joinpath(path).symlink_to(program)
    for pattern in UNWANTED:
        for unit in root.glob(pattern):
            unit.unlink()
    shutil.copytree(recipe.folder / "files", root, dirs_exist_ok=True)
    root.joinpath("kind/version").write_text(recipe.version, encoding="utf-8")
    for manifest in root.joinpath("kind/manifests").iterdir():
        text = manifest.read_text(encoding="utf-8")
        for component in ("busybox", "local-path-provisioner", "pod-network"):
            text = text.replace(f"@{component.upper().replace('-', '_')}@", recipes()[component].reference)
        manifest.write_text(text, encoding="utf-8")
    wants = root / UNITS / "multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for unit_name in ("containerd.service", "kubelet.service"):
        wants.joinpath(unit_name).symlink_to(f"../{unit_name}")
    for masked in MASKED:
        root.joinpath(UNITS, masked).symlink_to("/dev/null")


def _move_snapshots(root: Path) -> None:
    # An overlay may have folders of another one below it, but not above (Linux, filesystems/overlayfs): what containers
    # write stays in /var. Small images do too: a pod with a user namespace has those of pause, and an overlay's files,
    # as those of a node outside of its volumes, cannot be given other owners (mount_setattr(2), idmapped mounts).
    root.joinpath(UNPACKED).mkdir()
    for snapshot in root.joinpath(CONTAINERD, SNAPSHOTS).iterdir():
        if sum(file.lstat().st_size for file in snapshot.rglob("*")) < COPIED:
            continue
        snapshot.rename(root / UNPACKED / snapshot.name)
        snapshot.symlink_to(f"/{UNPACKED}/{snapshot.name}")


def _preload(store: Store, root: Path, components: list[Recipe], on_line: Callable[[str], None]) -> None:
    programs = store.folder(recipes()["containerd"]) / "bin"
    with tempfile.TemporaryDirectory(prefix="sandbox-containerd-") as name:
        run = Path(name)
        socket = run / "containerd.sock"
        config = run / "config.toml"
        config.write_text(
            'version = 3\ndisabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"]\n',
            encoding="utf-8",
        )
        daemon: list[str | Path] = [programs / "containerd", "--config", config, "--root", root / CONTAINERD]
        run.joinpath("ctr").symlink_to(programs / "containerd")
        ctr: list[str | Path] = [run / "ctr", "--address", socket, "--namespace", "k8s.io"]
        with process.serving([*daemon, "--state", run / "state", "--address", socket], log_to=run / "log"):
            wait_until(lambda: None if socket.exists() else "no socket yet", what="containerd", timeout=30)
            for component in components:
                if component.image and component.image.preload:
                    on_line(f"unpacking {component.name}")
                    archive = run / "image.tar"
                    image_archive.copy_with_label(store.image(component), archive, {"dev.sandbox.place": "node"})
                    options = ["--local", "--all-platforms", "--discard-unpacked-layers"]
                    process.run([*ctr, "images", "import", *options, archive], timeout=300)
                    archive.unlink()
            # The layers are unpacked now; every node would copy the archived ones for nothing.
            process.run([*ctr, "content", "prune", "references"], timeout=60)
