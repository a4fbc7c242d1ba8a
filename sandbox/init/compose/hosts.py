"""The names and ports by which the programs of a compose file reach each other.

A Service has only the ports that it names, so the ports at which others name it are added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sandbox.init.detected import App

MACHINE = "host.docker.internal"
# Variables whose values are hosts, such as DB_HOST, ES_HOSTS and DISCOVERY_SEED_ADDRESSES.
_OF_HOSTS = re.compile(r"(HOST|SERVER|ADDR|BROKER|NODE|MEMBER|SEED|PEER|JOIN)", re.IGNORECASE)
# A name with a port; not postgres:1234 of postgres://postgres:1234@db, or of an image postgres:12-alpine.
_PORT = re.compile(r"(?<![\w.-])([A-Za-z0-9][\w.-]*):([0-9]{2,5})(?![\w@-]|\.[0-9])")


def renamed(apps: Sequence[App], names: Mapping[str, str], notes: list[str]) -> list[App]:
    """Return the programs with the cluster's names of services that Kubernetes cannot call as compose does."""
    apps = list(apps)
    for service, name in names.items():
        if service != name:
            apps = [_calling(app, service, name) for app in apps]
            notes.append(f"{service} is called {name} in the cluster: change what else calls it")
    return apps


def _calling(app: App, service: str, name: str) -> App:
    # Not the user of pg://name:password@host, nor the database of pg://host/name.
    text = re.escape(service)
    host = re.compile(rf"(?:(?<=//)|(?<=@)){text}(?=[:/?]|$)(?![^\s/@]*@)|(?<![\w.-]){text}(?=:[0-9]{{2,5}}(?![\w@-]))")
    word = re.compile(rf"(?<![\w.:/-]){text}(?![\w.-])")

    def change(value: str, key: str = "") -> str:
        return host.sub(name, word.sub(name, value) if _OF_HOSTS.search(key) else value)

    return replace(
        app,
        environment={key: change(value, key) for key, value in app.environment.items()},
        command=tuple(map(change, app.command)),
        args=tuple(map(change, app.args)),
        check=tuple(map(change, app.check)),
    )


def connected(apps: Sequence[App], names: Mapping[str, str]) -> list[App]:
    """Return the programs with the ports at which the project's settings and files name them.

    `names` are their names in the cluster by those in the compose file.
    """
    called = {**names, **{app.name: app.name for app in apps}}
    called |= {alias: app.name for app in apps for alias in app.aliases}
    ports: dict[str, set[int]] = {}
    for text in {text for app in apps for text in _texts(app)}:
        for host, port in _PORT.findall(text):
            if host in called and int(port) < 65536:
                ports.setdefault(called[host], set()).add(int(port))
    result = []
    for app in apps:
        more = [(port, "tcp") for port in sorted(ports.get(app.name, ())) if port != app.port]
        result.append(replace(app, more_ports=tuple(dict.fromkeys((*app.more_ports, *more)))))
    return result


def of_the_machine(apps: Sequence[App]) -> Iterator[str]:
    if calling := [app.name for app in apps if any(MACHINE in text for text in _texts(app))]:
        fix = f"`network: {{hosts: {{{MACHINE}: ADDRESS}}}}` in sandbox.yaml gives it an address of this machine"
        yield f"pods do not know {MACHINE}, which is in settings of {', '.join(calling)}: {fix}"


def _texts(app: App) -> Iterator[str]:
    yield from app.environment.values()
    yield from (*app.command, *app.args, *app.check)
    for mount in app.mounts:
        yield from mount.files.values()
