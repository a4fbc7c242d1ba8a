"""Builds Kubernetes' end-to-end tests, and the programs of their images, from the Go modules of one version."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sandbox.app import context
from sandbox.bundle.builder import golang
from sandbox.bundle.recipe import Recipe, minor, recipes
from sandbox.bundle.store import Store

SOURCES = ("e2e.go", "e2e_test.go", "providers.go", "suites.go")  # the package of the tests, test/e2e
TOOLS = ("github.com/onsi/ginkgo/v2/ginkgo", "k8s.io/kubernetes/cmd/kubectl")
IMAGES = ("agnhost", "nonewprivs", "regression-issue-74839")  # below test/images
BUNDLED = ("coredns", "etcd")
FLAGS = ("-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false")
SETTINGS = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=mod", **golang.SPENDING}


def build(version: str, cache: Path) -> Path:
    """Return a folder with `tools` (e2e.test, ginkgo, kubectl) and `files`, which are for images.

    It is built in `cache` when it is not there: about six minutes, or one after the bundle was built here.
    """
    built = cache / version
    if not built.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            work = Path(name)
            compile_tests(version, work / "module", work / version / "tools", work / version / "files")
            add_bundled(work / version / "files")
            (work / version).rename(built)
    return built


def compile_tests(version: str, module: Path, tools: Path, files: Path) -> None:
    """Build the programs in a module that has the dependencies of the bundle's Kubernetes."""
    go = golang.toolchain(context.home().bundle)
    for folder in (module, tools, files):
        folder.mkdir(parents=True)

    def run(*words: str) -> str:
        env = {**os.environ, **SETTINGS}
        argv = ["nice", str(go), *words]
        return subprocess.run(argv, cwd=module, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout

    recipe = recipe_of(version)
    (module / "go.mod").write_text(go_mod(recipe, version))
    (module / "go.sum").write_bytes(recipe.go_sum)
    upstream = Path(json.loads(run("mod", "download", "-json", f"k8s.io/kubernetes@{version}"))["Dir"])
    for source in SOURCES:
        shutil.copyfile(upstream / "test/e2e" / source, module / source)
    run("mod", "tidy")
    linker = f"-ldflags=-s -w -X=k8s.io/component-base/version.gitVersion={version}"
    # Without -vet=off, every dependency is checked, which takes longer than the compiler.
    run("test", "-c", "-vet=off", *FLAGS, linker, "-o", str(tools / "e2e.test"), ".")
    run("build", *FLAGS, linker, "-o", f"{tools}/", *TOOLS)
    programs = [f"k8s.io/kubernetes/test/images/{name}" for name in IMAGES]
    run("build", *FLAGS, linker, "-o", f"{files}/", *programs, "k8s.io/sample-apiserver")
    for name in ("kitten", "nautilus"):
        # Not the mode, nor its time: files of Go's module cache are read-only.
        shutil.copytree(upstream / "test/images" / name / "html", files / name, copy_function=shutil.copyfile)
        (files / name).chmod(0o755)
    for name in ("localhost.crt", "localhost.key"):
        shutil.copyfile(upstream / "test/images/agnhost/porter" / name, files / name)


def recipe_of(version: str) -> Recipe:
    """Return the bundle's recipe of Kubernetes in this minor version."""
    for name, recipe in recipes().items():
        if name.partition("-")[0] == "kubernetes" and minor(recipe.version) == minor(version):
            return recipe
    raise SystemExit(f"no recipe in sandbox/bundle/recipes has the modules of Kubernetes {minor(version)}")


def go_mod(recipe: Recipe, version: str) -> str:
    """Return the recipe's go.mod for the tests' module, with Kubernetes and its own parts in this patch version."""
    text = re.sub(r"(?m)^module .*", "module sandbox.conformance/e2e", recipe.go_mod.read_text())
    for ours, wanted in ((recipe.version, version), (staged(recipe.version), staged(version))):
        text = re.sub(rf"(?m)^(.*\bk8s\.io/.* ){re.escape(ours)}\b", rf"\g<1>{wanted}", text)
    return text


def staged(version: str) -> str:
    """Return the version of the modules that are published with a version of Kubernetes: v0.36.3 with v1.36.3."""
    return version.replace("v1.", "v0.", 1)


def add_bundled(files: Path) -> None:
    """Copy the programs that the bundle builds, too."""
    subprocess.run([sys.executable, "-m", "sandbox", "bundle", "build", *BUNDLED], check=True)
    store = Store(context.home().bundle)
    for name in BUNDLED:
        shutil.copy(store.program(recipes()[name], name), files)
