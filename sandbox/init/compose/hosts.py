"""How the programs of a compose file reach each other there: by any of their names, at ports that no key has to name.

A Service has only the ports that it names, so those that programs say of each other are added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import replace

from sandbox.init.detected import App

MACHINE = "host.docker.internal"
_LOCAL = re.compile(r"(?:localhost|127\.0\.0\.1):([0-9]{1,5})(?![0-9])")
# Variables whose values are hosts, such as DB_HOST, ES_HOSTS and DISCOVERY_SEED_ADDRESSES.
_OF_HOSTS = re.compile(r"(HOST|SERVER|ADDR|BROKER|NODE|MEMBER|SEED|PEER|JOIN)", re.IGNORECASE)
# A name with a port, or with two, as ZooKeeper's zoo1:2888:3888; not postgres:1234 of postgres://postgres:1234@db, or
# of an image postgres:12-alpine.
_PORT = re.compile(r"(?<![\w.-])([A-Za-z0-9][\w.-]*):([0-9]{2,5})(?::([0-9]{2,5}))?(?![\w@-]|\.[0-9])")


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
        found = list(map(_calling(name, there), before))
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


def _calling(name: str, there: str) -> Callable[[App], App]:
    """Return what makes a program call a service as it is called `there`."""
    # Not the user of pg://name:password@host, nor the database of pg://host/name.
    said = re.escape(name)
    host = re.compile(rf"(?:(?<=//)|(?<=@)){said}(?=[:/?]|$)(?![^\s/@]*@)|(?<![\w.-]){said}(?=:[0-9]{{2,5}}(?![\w@-]))")
    word = re.compile(rf"(?<![\w.:/-]){said}(?![\w.-])")

    def change(text: str, key: str = "") -> str:
        if name not in text:
            return text
        return host.sub(there, word.sub(there, text) if _OF_HOSTS.search(key) else text)

    def words(given: Sequence[str]) -> tuple[str, ...]:
        """Change a command, in which an option says what follows it or its `=`."""
        return tuple(
            change(one, one if "=" in one else before if before.startswith("-") else "")
            for before, one in zip(("", *given), given, strict=False)
        )

    def calling(app: App) -> App:
        return replace(
            app,
            environment={key: change(value, key) for key, value in app.environment.items()},
            command=words(app.command),
            args=words(app.args),
            check=words(app.check),
        )

    return calling


def mentions(apps: Sequence[App], called: Mapping[str, str]) -> dict[str, set[str]]:
    """Return which others each program names as hosts, by their names in the cluster.

    `called` are these names by those in the compose file.
    """
    names = _names(apps, called)
    found: dict[str, set[str]] = {app.name: set() for app in apps}
    for name, there in names.items():
        calling = _calling(name, f"{name}-")
        for app in apps:
            if app.name != there and calling(app) != app:
                found[app.name].add(there)
    for app in apps:
        found[app.name] |= {names[name] for text in _texts(app) for name, _ in _named(text, names)} - {app.name}
    return found


def connected(apps: Sequence[App], called: Mapping[str, str], awaited: Mapping[str, Set[str]]) -> list[App]:
    """Return the programs with the ports at which the project's settings and files name them.

    `called` are their names in the cluster by those in the compose file. One that names itself gets its name as its
    host name: its own Service has it only once it is ready, and that may need itself. So it may of several programs of
    one image that name each other, and of one that a Job names, unless it is `awaited` by the other until it is ready.
    """
    names = _names(apps, called)
    ports: dict[str, dict[int, None]] = {}
    own: dict[str, str] = {}
    found: dict[str, list[tuple[str, int]]] = {}  # by text, for many programs may read the same file
    for app in apps:
        for text in _texts(app):
            if text not in found:
                found[text] = _named(text, names)
            for name, port in found[text]:
                ports.setdefault(names[name], {})[port] = None
                if names[name] == app.name and name in (app.name, *app.aliases):
                    own.setdefault(app.name, name)
    peers = _peers(apps, mentions(apps, called), awaited)
    return [_connected(app, tuple(ports.get(app.name, ())), own.get(app.name), app.name in peers) for app in apps]


def _names(apps: Sequence[App], called: Mapping[str, str]) -> dict[str, str]:
    """Return the programs' names in the cluster by all that they are called."""
    names = {**called, **{one: one for one in called.values()}}
    return names | {alias: app.name for app in apps for alias in app.aliases}


def _named(text: str, names: Mapping[str, str]) -> list[tuple[str, int]]:
    """Return which of the names are in the text with a port."""
    found = ((match[1], int(port)) for match in _PORT.finditer(text) for port in match.groups()[1:] if port)
    return [(name, port) for name, port in found if name in names and port < 65536]


def _peers(apps: Sequence[App], named: Mapping[str, Set[str]], awaited: Mapping[str, Set[str]]) -> set[str]:
    """Return the programs that others may need before they are ready.

    These are the nodes of a cluster, and what a Job sets up: others with an Ingress would answer while they start.
    """
    kinds = {app.name: (app.image, app.context, app.build.get("dockerfile"), app.build.get("target")) for app in apps}
    alike = {
        name: {one for one in others if kinds[one] == kinds[name] and name not in awaited.get(one, ())}
        for name, others in named.items()
    }
    reached = {name: _reached(name, alike) for name in alike}
    nodes = {name for name, others in reached.items() if any(name in reached[one] for one in others - {name})}
    set_up = {
        app.name
        for app in apps
        if app.check and any(app.name in named[job.name] - awaited[job.name] for job in apps if job.once)
    }
    return nodes | set_up


def _reached(name: str, needed: Mapping[str, Collection[str]]) -> set[str]:
    found: set[str] = set()
    ahead = [name]
    while ahead:
        more = set(needed.get(ahead.pop(), ())) - found
        found |= more
        ahead += more
    return found


def _connected(app: App, ports: tuple[int, ...], own: str | None, is_peer: bool) -> App:
    more = dict.fromkeys((*app.more_ports, *((port, "tcp") for port in ports if port != app.port)))
    serves = not app.once and app.replicas != 0
    alone = own is not None and serves and app.replicas in (None, 1)
    pod = {"hostname": own, **app.pod} if alone else app.pod
    early = serves and bool(app.check or app.port) and (is_peer or (own is not None and not alone))
    return replace(app, more_ports=tuple(more), pod=pod, early=early)


def of_the_machine(apps: Sequence[App]) -> Iterator[str]:
    """Yield a note of the programs that call the machine by the name that it has in containers only."""
    if calling := [app.name for app in apps if any(MACHINE in text for text in _texts(app))]:
        fix = f"`network: {{hosts: {{{MACHINE}: ADDRESS}}}}` in sandbox.yaml gives it one of this machine's"
        yield f"pods do not know {MACHINE}, which is in settings of {', '.join(calling)}: {fix}"


def of_published(apps: Sequence[App], published: Mapping[int, str]) -> Iterator[str]:
    """Yield a note for each port of the machine that variables name, and that leads to a program: it has a host here.

    `published` are the programs by such ports. Where it is the program's own as well, it may be what is meant.
    """
    named: dict[int, dict[str, None]] = {}
    for app in apps:
        ports = {int(port) for text in app.environment.values() for port in _LOCAL.findall(text)}
        own = {app.port, *(port for port, _ in app.more_ports)} if ports else set()
        for port in ports & published.keys():
            if published[port] != app.name or port not in own:
                named.setdefault(port, {})[app.name] = None
    for port, names in named.items():
        yield f"localhost:{port} is in settings of {', '.join(names)}: here {published[port]} has a host of its own"


def _texts(app: App) -> Iterator[str]:
    """Yield what can name a program: settings, commands, and the files of the project that it reads."""
    yield from app.environment.values()
    yield from (*app.command, *app.args, *app.check)
    for mount in app.mounts:
        yield from mount.files.values()
