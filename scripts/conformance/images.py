"""Makes the images of the end-to-end tests with the Docker Engine, and pushes them to a cluster's registry."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from sandbox.bundle.builder import debian
from sandbox.bundle.recipe import DebianTree

DOCKERFILE = Path(__file__).with_name("Dockerfile")
OURS = "sandbox.dev/conformance"
BASE = DebianTree(
    suite="bookworm",
    refreshed="2026-12-01",
    packages=(
        "bash-static",
        "bind9-dnsutils",
        "busybox-static",
        "catatonit",
        "curl",
        "iperf",
        "iproute2",
        "iptables",
        "iputils-ping",
        "netcat-openbsd",
        "nginx-light",
        "procps",
        "wget",
    ),
    prune=("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"),
)
# How test/utils/image/manifest.go names the registries that have images we make, and where they are in ours.
REGISTRIES = {
    "promoterE2eRegistry": "registry.k8s.io/e2e-test-images",
    "buildImageRegistry": "registry.k8s.io/build-image",
    "gcRegistry": "registry.k8s.io",
    "gcEtcdRegistry": "registry.k8s.io",
}


def provide(built: Path, registry: str) -> Path:
    """Push every image that a test may ask for and we can make; returns the file that tells tests their names.

    Those that are in the engine already are not made again.
    """
    listed = subprocess.check_output([built / "tools/e2e.test", "--list-images"], text=True).split()
    ours = [name for name in listed if name.startswith("registry.k8s.io/") and stage_of(name) in stages()]
    made = make(built, ours)
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "images.yaml"
        entries = [{"from": "daemon", "image": image, "as": repository(name)} for name, image in made.items()]
        manifest.write_text(yaml.safe_dump({"images": entries}))
        words = [sys.executable, "-m", "sandbox", "push-images", str(manifest), "--registry", registry]
        subprocess.run([*words, "--progress", "quiet"], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    names = built / "registries.yaml"
    moved = {key: registry + name.removeprefix("registry.k8s.io") for key, name in REGISTRIES.items()}
    names.write_text(yaml.safe_dump(moved))
    return names


def repository(name: str) -> str:
    """Return the repository and tag in the cluster's registry."""
    return name.partition("/")[2]


def stage_of(name: str) -> str:
    """Return the stage of an image, which is the last part of its name."""
    return name.rpartition(":")[0].rpartition("/")[2]


def stages() -> set[str]:
    """Return the images that the Dockerfile makes."""
    return set(re.findall(r"(?m)^FROM .* AS (\S+)$", DOCKERFILE.read_text()))


def make(built: Path, names: Iterable[str]) -> Mapping[str, str]:
    """Return the engine's own name of each image, made where the engine does not have it."""
    base = f"{OURS}/debian:{digest(BASE)}"
    files = f"{OURS}/files:{digest(built.name, built.joinpath('files').stat().st_mtime_ns)}"
    key = digest(base, files, DOCKERFILE.read_text())
    made = {name: f"{OURS}/{stage_of(name)}:{name.rpartition(':')[2]}-{key}" for name in names}
    if missing := [name for name, image in made.items() if not exists(image)]:
        if not exists(base):
            make_base(base)
        if not exists(files):
            docker("build", "--quiet", "--tag", files, "--file", "-", built / "files", stdin="FROM scratch\nCOPY . /\n")
        arguments = ("--build-arg", f"BASE={base}", "--build-arg", f"FILES={files}")
        for name in missing:
            print(f"building {name}", flush=True)
            # Two tags of one image would be one image to a node, which then reports either name.
            label = ("--label", f"dev.sandbox.conformance={name}")
            words = ("--quiet", "--target", stage_of(name), "--tag", made[name], *arguments, *label, "-")
            docker("build", *words, stdin=DOCKERFILE.read_text())
    return made


def make_base(name: str) -> None:
    """Import a Debian system; takes three minutes and needs root."""
    with tempfile.TemporaryDirectory(prefix="sandbox-conformance-") as folder:
        root = Path(folder) / "tree"
        debian.make_tree(BASE, root, lambda line: print(line, flush=True))
        # Without its devices, which containers have of their own.
        tar = ["tar", "--numeric-owner", "--exclude=./dev/*", "--directory", str(root), "--create", "."]
        with subprocess.Popen(tar, stdout=subprocess.PIPE) as archive:
            subprocess.run(["docker", "import", "-", name], stdin=archive.stdout, check=True, stdout=subprocess.DEVNULL)
        if archive.returncode:
            raise SystemExit(f"tar of the Debian system failed: {archive.returncode}")


def exists(image: str) -> bool:
    """Tell whether the engine has an image."""
    return not subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode


def docker(*words: str | Path, stdin: str) -> None:
    """Run docker; ends the script with its output on a failure."""
    argv = ["docker", *map(str, words)]
    done = subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout[-3000:]}")


def digest(*values: object) -> str:
    """Return twelve hexadecimal digits that are others for other values."""
    return hashlib.sha256("\0".join(map(str, values)).encode()).hexdigest()[:12]
