"""How the programs of a compose file reach each other there: by any of their names, at ports that no key has to name.

A Service has only the ports that it names, so those that programs say of each other are added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sandbox.init.detected import App


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
