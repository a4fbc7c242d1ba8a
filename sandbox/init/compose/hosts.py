"""How the programs of a compose file reach each other there: by any of their names, at ports that no key has to name.

A Service has only the ports that it names, so those that programs say of each other are added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sandbox.init.detected import App

# Variables whose values are hosts, such as DB_HOST, ES_HOSTS and DISCOVERY_SEED_ADDRESSES.
_OF_HOSTS = re.compile(r"(HOST|SERVER|ADDR|BROKER|NODE|MEMBER|SEED)", re.IGNORECASE)


def renamed(
    apps: Sequence[App], services: Mapping[str, str], containers: Mapping[str, str]
) -> tuple[list[App], list[str]]:
    """Return the programs that call services by their names in the cluster, and notes of those that have another there.

    These are by the names of services and containers in the compose file. A variable or command changes where it can
    mean a host only.
    """
    found, notes = list(apps), []
    for name, there in {**containers, **services}.items():
        if name == there:
            continue
        before = found
        found = [_calling(app, name, there) for app in before]
        changed = [
            f"{key} of {new.name}"
            for old, new in zip(before, found, strict=True)
            for key, value in new.environment.items()
            if value != old.environment[key]
        ]
        word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
        left = [f"{key} of {one.name}" for one in found for key, value in one.environment.items() if word.search(value)]
        left += [
            f"{mount.place} of {one.name}"
            for one in found
            for mount in one.mounts
            if any(map(word.search, mount.files.values()))
        ]
        if name in services or changed or left:
            also = f", and so in {', '.join(changed)}: change what else" if changed else ": change what"
            notes.append(f"{name} is called {there} in the cluster{also} calls it ({', '.join(left) or 'its code'})")
    return found, notes


def _calling(app: App, name: str, there: str) -> App:
    """Return the program that calls a service as it is called `there`."""
    # Not the user of pg://name:password@host, nor the database of pg://host/name.
    said = re.escape(name)
    host = re.compile(rf"(?:(?<=//)|(?<=@)){said}(?=[:/?]|$)(?![^\s/@]*@)|(?<![\w.-]){said}(?=:[0-9]{{2,5}}(?![\w@-]))")
    word = re.compile(rf"(?<![\w.:/-]){said}(?![\w.-])")

    def change(text: str, key: str = "") -> str:
        return host.sub(there, word.sub(there, text) if _OF_HOSTS.search(key) else text)

    return replace(
        app,
        environment={key: change(value, key) for key, value in app.environment.items()},
        command=tuple(map(change, app.command)),
        args=tuple(map(change, app.args)),
        check=tuple(map(change, app.check)),
    )


def connected(apps: Sequence[App], called: Mapping[str, str]) -> list[App]:
    """Return the programs with the ports at which the project's settings and files name them.

    `called` are their names in the cluster by those in the compose file. One that names itself gets its name as its
    host name: its own Service has it only once it is ready, and that may need itself.
    """
    names = {**called, **{one: one for one in called.values()}}
    names |= {alias: app.name for app in apps for alias in app.aliases}
    if not names:
        return []
    choice = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    # Not postgres:1234 of postgres://postgres:1234@db, or of an image postgres:12-alpine.
    pattern = re.compile(rf"(?<![\w.-])({choice}):([0-9]{{2,5}})(?![\w@-]|\.[0-9])")
    named: dict[str, dict[int, None]] = {}
    own: dict[str, str] = {}
    found: dict[str, list[tuple[str, int]]] = {}  # by text, for many programs may read the same file
    for app in apps:
        for text in _texts(app):
            if text not in found:
                found[text] = [(one[1], int(one[2])) for one in pattern.finditer(text) if int(one[2]) < 65536]
            for name, port in found[text]:
                named.setdefault(names[name], {})[port] = None
                if names[name] == app.name and name in (app.name, *app.aliases):
                    own.setdefault(app.name, name)
    return [_connected(app, tuple(named.get(app.name, ())), own.get(app.name)) for app in apps]


def _connected(app: App, ports: tuple[int, ...], own: str | None) -> App:
    more = dict.fromkeys((*app.more_ports, *((port, "tcp") for port in ports if port != app.port)))
    alone = own is not None and not app.once and app.replicas in (None, 1)
    pod = {"hostname": own, **app.pod} if alone else app.pod
    return replace(app, more_ports=tuple(more), pod=pod)


def _texts(app: App) -> Iterator[str]:
    """Yield what can name a program: settings, commands, and the files of the project that it reads."""
    yield from app.environment.values()
    yield from (*app.command, *app.args, *app.check)
    for mount in app.mounts:
        yield from mount.files.values()
