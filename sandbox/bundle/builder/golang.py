"""Links a recipe's programs from Go modules, or takes files out of one; its go.sum pins every byte of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from sandbox.bundle.recipe import GoBuild, ModuleFiles, Recipe
from sandbox.system import process

TIMEOUT = 3600.0


def build(recipe: Recipe, spec: GoBuild, go: Path, work: Path, out: Path, on_line: Callable[[str], None]) -> None:
    """Put the programs of `recipe` into the folder `out`; `work` is an empty folder for the build's own files."""
    for source in recipe.folder.iterdir():
        if source.suffix in {".mod", ".go"} and source.name not in spec.replace.values():
            shutil.copy(source, work)
    work.joinpath("go.sum").write_bytes(recipe.go_sum)
    env = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}

    def run(*argv: str | Path) -> None:
        process.run(["nice", go, *argv], cwd=work, env=env, timeout=TIMEOUT, on_line=on_line)

    flags = ["-trimpath", "-buildvcs=false"]
    if spec.replace:
        run("mod", "vendor")
        overlay = {str(work / "vendor" / old): str(recipe.folder / new) for old, new in spec.replace.items()}
        work.joinpath("overlay.json").write_text(json.dumps({"Replace": overlay}), encoding="utf-8")
        flags += ["-mod=vendor", "-overlay=overlay.json"]
    variables = [f"-X={name}={value}" for name, value in spec.variables.items()]
    if spec.tags:
        flags.append("-tags=" + ",".join(spec.tags))
    out.mkdir()
    run("build", *flags, "-ldflags=" + " ".join(["-s", "-w", *variables]), "-o", f"{out}/", *spec.packages)
    for old, new in spec.rename.items():
        out.joinpath(old).rename(out / new)


def take(recipe: Recipe, spec: ModuleFiles, go: Path, work: Path, out: Path) -> None:
    """Copy the files of a module that `recipe` names into the folder `out`, without their folders."""
    shutil.copy(recipe.folder / "go.mod", work)
    work.joinpath("go.sum").write_bytes(recipe.go_sum)
    env = {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    process.run([go, "mod", "download", spec.module], cwd=work, env=env, timeout=TIMEOUT)
    root = Path(process.run([go, "list", "-m", "-f", "{{.Dir}}", spec.module], cwd=work, env=env, timeout=60).strip())
    out.mkdir()
    for path in spec.paths:
        # What Go keeps of a module is read-only; what is ours can be removed again.
        shutil.copyfile(root / path, out / Path(path).name)
