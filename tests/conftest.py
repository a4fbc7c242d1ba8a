"""Keeps unit tests away from the developer's own files, clusters and Docker Engine."""

from __future__ import annotations

import importlib
import itertools
import os
import pkgutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import sandbox

STATUS = pytest.StashKey[int]()
HOMES = itertools.count()
FOLDERS = ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


@pytest.fixture(autouse=True)
def isolated_home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty home folder, the user's own one for tests marked `real`."""
    if request.node.get_closest_marker("real"):
        return Path.home()
    folder = tmp_path_factory.getbasetemp() / "homes" / str(next(HOMES))  # `mktemp` reads all earlier names each time
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    for name in FOLDERS:
        monkeypatch.setenv(name, str(folder / name.lower()))
    monkeypatch.setenv("KUBECONFIG", str(folder / ".kube" / "config"))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder / ".docker"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/no-engine.sock")
    monkeypatch.setenv(
        "SSL_CERT_FILE", os.devnull
    )  # each new TLS context reads the machine's for a fiftieth of a second
    for name in ("SANDBOX_PROGRESS", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return folder


def pytest_configure() -> None:
    # Tests run in the background of a script have SIGINT ignored, and under nohup SIGHUP; so would what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_sessionstart() -> None:
    # pytest rewrites our modules when they are imported, and Python 3.11 cannot parse in two threads at once
    # (python/cpython#106905): so threads of a test must find all of them imported.
    for module in pkgutil.walk_packages(sandbox.__path__, "sandbox."):
        if not module.name.endswith(".__main__"):
            with suppress(ImportError):  # of an extra that is not installed
                importlib.import_module(module.name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = len(terminalreporter.stats.get("skipped", ()))
    if skipped and os.environ.get("CI") != "true":
        terminalreporter.write_line(
            f"{skipped} tests were skipped (-rs shows why); CI=true scripts/test installs what they need (Debian, root)"
        )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    # A thread that a real test left waiting must not keep the verdict back.
    if STATUS in config.stash and config.getoption("markexpr") != "not real":
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[STATUS])
