"""The Kubernetes objects of one program, as a developer would write them first, and continue from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sandbox.config import untyped, yaml_text
from sandbox.init.detected import App, Mount, numbered
from sandbox.init.web_services import BACKEND_PROTOCOL, HTTPS, ingress
from sandbox.sanitize import fit

# What a namespace with a ResourceQuota asks of each container, for a program of which nothing is known.
RESOURCES = {"cpu": ("50m", "2"), "memory": ("64Mi", "2Gi")}
# What Pod Security asks for in a namespace that enforces `restricted`.
RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
PRIVILEGED_PORTS = 1024  # below this one, binding may need a capability


def manifest(app: App, *, image: str, host: str | None) -> str:
    """Return a Deployment, a Service and, at the `host` and where it has a port, an Ingress; or a Job; as YAML."""
    found: list[dict[str, Any]] = [*_claims(app), *_files(app), _workload(app, image)]
    if not app.once:
        found += [_service(app, name) for name in (app.name, *app.aliases)]
        if host and app.port:
            how = {"annotations": {BACKEND_PROTOCOL: "HTTPS"}} if app.port in HTTPS else {}
            hosts = [host, *(f"{one}.{host.partition('.')[2]}" for one in app.hosts)]
            found.append(ingress(app.name, hosts, {"name": "main"}, **how))
    notes = [f"Of the compose service these are left out: {', '.join(app.left_out)}."] if app.left_out else []
    notes.append("Requests and limits are guesses: change them for a program that needs more.")
    if not _may_be_restricted(app):
        notes.append("It may need root, so it has no securityContext for Pod Security's profile `restricted`.")
    if app.context is not None:
        notes.append("After a change: sandbox up")
    return "".join(f"# {' '.join(fit(note).split())}\n" for note in notes) + "---\n".join(
        yaml_text.dump(each).decode() for each in found
    )


def _claims(app: App) -> Iterator[dict[str, Any]]:
    for name in app.volumes:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        yield {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def _files(app: App) -> Iterator[dict[str, Any]]:
    defined = {mount.identity for mount in app.elsewhere}
    for number, mount in enumerate(app.mounts, 1):
        if mount.name and mount.identity in defined:
            continue
        defined.add(mount.identity)
        kind, data = ("Secret", "stringData") if mount.secret else ("ConfigMap", "data")
        keys = _keys(mount)
        yield {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": _name(app, number, mount)},
            data: {keys[path]: text for path, text in mount.files.items()},
        }


def _name(app: App, number: int, mount: Mount) -> str:
    """Return the name of the ConfigMap or Secret of a mount."""
    return mount.name or f"{app.name}-files-{number}"


def _keys(mount: Mount) -> dict[str, str]:
    """Return the keys of files in a ConfigMap or Secret, by their paths: names without a slash or other signs."""
    found: dict[str, str] = {}
    for path in mount.files:
        found[path] = numbered(re.sub(r"[^-.\w]|^\.\.", "_", path, flags=re.ASCII), found.values())
    return found


def _mounted(app: App) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the volumes of a pod and their mounts in its container."""
    volumes: dict[str, dict[str, Any]] = {}
    places: list[dict[str, Any]] = []
    for place, claim in app.claims.items():
        volumes[claim] = {"name": claim, "persistentVolumeClaim": {"claimName": claim}}
        part = {"subPath": app.subpaths[place]} if app.subpaths.get(place, ".") != "." else {}
        places.append(
            {"name": claim, "mountPath": place, **part, **({"readOnly": True} if place in app.read_only else {})}
        )
    for number, mount in enumerate(app.mounts, 1):
        name, keys = _name(app, number, mount), _keys(mount)
        mode: dict[str, Any] = {} if mount.mode is None else {"defaultMode": mount.mode}
        if mount.secret:
            volume, source = f"secret-{name}", {"secret": {"secretName": name, **mode}}
        else:
            volume = f"config-{name}" if mount.name else name
            source = {"configMap": {"name": name, "defaultMode": 0o755, **mode}}  # its files may be scripts
        volume += f"-{mount.mode:04o}" if mode else ""
        if not mount.single and any(key != path for path, key in keys.items()):
            source["configMap"]["items"] = [{"key": key, "path": path} for path, key in keys.items()]
        volumes[volume] = {"name": volume, **source}
        part = {"subPath": next(iter(keys.values()))} if mount.single else {}
        places.append({"name": volume, "mountPath": mount.place, **part})
    for place, size in app.memory.items():
        name = numbered("memory", volumes)
        volumes[name] = {"name": name, "emptyDir": {"medium": "Memory", **({"sizeLimit": size} if size else {})}}
        places.append({"name": name, "mountPath": place})
    return list(volumes.values()), places


def _workload(app: App, image: str) -> dict[str, Any]:
    container: dict[str, Any] = {"name": app.name, "image": image}
    if app.command:
        container["command"] = [_literal(one, app) for one in app.command]
    if app.args:
        container["args"] = [_literal(one, app) for one in app.args]
    container |= dict.fromkeys(app.terminal, True)
    if app.folder:
        container["workingDir"] = app.folder
    container |= app.container
    if app.user:
        ids = zip(("runAsUser", "runAsGroup"), map(int, app.user.split(":")), strict=False)
        container["securityContext"] = {**app.container.get("securityContext", {}), **dict(ids)}
    if _may_be_restricted(app):
        container["securityContext"] = {**container.get("securityContext", {}), **RESTRICTED}
    container["resources"] = _resources(app)
    if not app.once and (ports := _ports(app)):
        container["ports"] = [
            {"containerPort": port, **({"protocol": "UDP"} if protocol == "udp" else {})} for port, protocol in ports
        ]
    if not app.once and (probe := _probe(app)):
        container["readinessProbe"] = probe
    if app.environment:
        container["env"] = [{"name": key, "value": _literal(value, app)} for key, value in app.environment.items()]
    # Else a Service called redis puts tcp://ADDRESS into REDIS_PORT of all pods, where programs expect their setting.
    pod: dict[str, Any] = {"enableServiceLinks": False, **app.pod, "containers": [container]}
    volumes, places = _mounted(app)
    if volumes:
        pod["volumes"], container["volumeMounts"] = volumes, places
    if app.once:
        template = {"metadata": {"labels": {"app": app.name}}, "spec": {**pod, "restartPolicy": "OnFailure"}}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": app.name}, "spec": {"template": template}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app.name},
        "spec": {
            **({} if app.replicas is None else {"replicas": app.replicas}),
            "selector": {"matchLabels": {"app": app.name}},
            # Two pods would write into the same volume.
            **({"strategy": {"type": "Recreate"}} if app.claims else {}),
            "template": {"metadata": {"labels": {"app": app.name}}, "spec": pod},
        },
    }


def _resources(app: App) -> dict[str, dict[str, Any]]:
    """Return requests and limits: the usual ones for what the compose service says nothing of."""
    given = untyped.mapping(app.container, "resources")
    found = {kind: dict(untyped.mapping(given, kind)) for kind in ("requests", "limits")}
    for name, (request, limit) in RESOURCES.items():
        if not any(name in one for one in found.values()):
            found["requests"][name], found["limits"][name] = request, limit
    return {**given, **{kind: one for kind, one in found.items() if one}}


def _may_be_restricted(app: App) -> bool:
    """Return whether the program runs as a numeric user other than root and needs no privileges."""
    user = int(app.user.partition(":")[0]) if app.user else app.image_user
    low = any(port < PRIVILEGED_PORTS for port, _ in _ports(app))
    asks = app.container.get("securityContext") or app.pod.get("securityContext")
    return bool(user) and not low and not asks


def _probe(app: App) -> dict[str, Any]:
    """Return how it is known that a program is ready; nothing where it is not."""
    if app.check:
        command = [_literal(one, app) for one in app.check]
        return {"exec": {"command": command}, "periodSeconds": 5, "timeoutSeconds": app.check_seconds}
    return {"tcpSocket": {"port": app.port}, "periodSeconds": 1} if app.port else {}


def _literal(text: str, app: App) -> str:
    """Return what stands for the text where Kubernetes reads `$$` as one sign and `$(NAME)` as a variable's value."""
    names = "|".join(map(re.escape, app.environment))
    return re.sub(rf"\$(?=\$|\((?:{names})\))", "$$", text)


def _ports(app: App) -> list[tuple[int, str]]:
    """Return the ports and protocols of a program, the one that its Ingress leads to first."""
    main = [(app.port, "tcp")] if app.port else []
    return list(dict.fromkeys([*main, *app.more_ports]))


def _service(app: App, name: str) -> dict[str, Any]:
    """Return a Service on the program's own ports, by whose name others in the project reach it."""
    listed = [
        {"name": "main", "port": port}
        if (port, protocol) == (app.port, "tcp")
        else {"name": f"{protocol}-{port}", "port": port, "protocol": protocol.upper()}
        for port, protocol in _ports(app)
    ]
    # Without an address of its own the name leads to the pod, which has all ports.
    ports: dict[str, Any] = {"ports": listed} if listed else {"clusterIP": "None"}
    early = {"publishNotReadyAddresses": True} if app.early else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": app.name}, **early, **ports},
    }
