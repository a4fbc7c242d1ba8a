"""The programs that are measured, each as a function that pushes images of the engine into the benchmark's registry."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs
from words import run, say

CRANE = Path(__file__).resolve().parent / "crane"
CRANE_PACKAGE = "github.com/google/go-containerregistry/cmd/crane"
Push = Callable[[Sequence[str]], None]


def ours(host: str, folder: Path, user: str | None = None, python: str = sys.executable) -> Push:
    """`sandbox push-images` with one manifest for all images; as `user`, a name or id in the group docker alone.

    `python` has the package, and the user may run it.
    """
    words, home = list[str](), folder
    if user:
        home = folder / "home"
        home.mkdir()
        shutil.chown(home, int(user) if user.isdigit() else user)
        folder.chmod(0o755)
        group = grp.getgrnam("docker").gr_gid
        words = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        words += ["env", "-u", "XDG_CACHE_HOME", "-u", "XDG_STATE_HOME", f"HOME={home}"]

    def push(names: Sequence[str]) -> None:
        path = home / "images.yaml"
        images = [{"from": "daemon", "image": f"{name}:1", "as": f"{name}:1"} for name in names]
        path.write_text(json.dumps({"images": images}))
        run(*words, python, "-m", "sandbox", "push-images", path, "--registry", host, "--progress", "quiet")

    return push


def docker_push(host: str, _: Path) -> Push:
    """`docker push`, one image after another."""

    def push(names: Sequence[str]) -> None:
        for name in names:
            run("docker", "push", "-q", f"{host}/{name}:1")

    return push


def skopeo(host: str, _: Path) -> Push | None:
    """`skopeo copy docker-daemon:…`, one image after another."""
    if shutil.which("skopeo") is None:
        return None

    def push(names: Sequence[str]) -> None:
        for name in names:
            to = f"docker://{host}/{name}:1"
            run("skopeo", "copy", "-q", "--dest-tls-verify=false", f"docker-daemon:{name}:1", to)

    return push


def save_and_crane(host: str, folder: Path) -> Push | None:
    """`docker save` into a file and `crane push` of it, one image after another."""
    program = crane()
    if program is None:
        return None

    def push(names: Sequence[str]) -> None:
        path = folder / "save.tar"
        for name in names:
            run("docker", "save", "-o", path, f"{name}:1")
            run(program, "push", "--insecure", path, f"{host}/{name}:1")
            path.unlink()

    return push


def crane() -> Path | None:
    """The path of crane: on the PATH, else built once from its Go module, pinned here, into the user's cache."""
    if found := shutil.which("crane"):
        return Path(found)
    pins = b"".join((CRANE / name).read_bytes() for name in ("go.mod", "go.sum"))
    folder = Path(platformdirs.user_cache_dir("sandbox")) / "bench" / f"crane-{hashlib.sha256(pins).hexdigest()[:12]}"
    program = folder / "crane"
    if not program.exists():
        if shutil.which("go") is None:
            return None
        say("building crane from its Go module")
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f"crane.{os.getpid()}"
        run("env", "CGO_ENABLED=0", "GOFLAGS=", "go", "-C", CRANE, "build", "-trimpath", "-o", new, CRANE_PACKAGE)
        new.replace(program)
    return program


PEERS: dict[str, Callable[[str, Path], Push | None]] = {
    "sandbox push-images": ours,
    "docker push": docker_push,
    "skopeo copy": skopeo,
    "docker save + crane push": save_and_crane,
}
