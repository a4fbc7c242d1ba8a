"""The Kubernetes objects that `init` writes: those of a program, and Ingresses for Services that have none.

A developer would begin with such objects, and continue from them. In a cloud a Service of type LoadBalancer or NodePort
is the way in; in a sandbox it is HTTPS by an Ingress.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import yaml

from sandbox.components.ingress.served_hosts import CLASS
from sandbox.config import untyped, yaml_text
from sandbox.config.schema.values import LABEL
from sandbox.init.detected import NOT_HTTP, App, Front, Mount, numbered
from sandbox.sanitize import fit

# What a namespace with a ResourceQuota asks of each container, for a program of which nothing is known.
RESOURCES = {"cpu": ("50m", "2"), "memory": ("64Mi", "2Gi")}
CHECK_SECONDS = 30  # compose's default
INGRESS_FILE = "sandbox-ingress.yaml"
# Kinds that publish a Service; the first two also in charts' own groups.
ROUTES = {"Ingress", "HTTPRoute", "IngressRoute", "VirtualService", "TLSRoute"}
OPEN = ("LoadBalancer", "NodePort")
# A Service with one of these names gets the host, if no Service has a type that is reached from outside.
NAMED = {"frontend", "front-end", "front", "web", "webapp", "ui", "gateway", "app", "site", "www"}
WEB = (80, 443)


def manifest(app: App, *, image: str, host: str | None, defined: set[tuple[str, str]]) -> str:
    """Return the objects of a program as YAML: a Job, or a Deployment, Services and, at the `host`, an Ingress.

    Claims, ConfigMaps and Secrets that are `defined` already, by kind and name, are left out; new ones are added.
    """
    objects = []
    for each in (*_claims(app), *_files(app)):
        identity = (each["kind"], each["metadata"]["name"])
        if identity not in defined:
            defined.add(identity)
            objects.append(each)
    objects.append(_workload(app, image))
    if not app.once:
        objects += [_service(app, name) for name in (app.name, *app.aliases)]
        if host and app.port:
            objects.append(ingress(app.name, host, {"name": "main"}))
    left_out = f"# Not in these objects: {fit(', '.join(app.left_out))}.\n" if app.left_out else ""
    return left_out + "---\n".join(yaml_text.dump(each).decode() for each in objects)


def _claims(app: App) -> Iterator[dict[str, Any]]:
    for name in dict.fromkeys(app.claims.values()):
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        yield {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def _files(app: App) -> Iterator[dict[str, Any]]:
    for number, mount in enumerate(app.mounts, 1):
        kind, data = ("Secret", "stringData") if mount.secret else ("ConfigMap", "data")
        keys = _keys(mount)
        content = {keys[path]: text for path, text in mount.files.items()}
        yield {"apiVersion": "v1", "kind": kind, "metadata": {"name": _name(app, number, mount)}, data: content}


def _name(app: App, number: int, mount: Mount) -> str:
    return mount.name or f"{app.name}-files-{number}"


def _keys(mount: Mount) -> dict[str, str]:
    keys: dict[str, str] = {}
    for path in mount.files:
        keys[path] = numbered(re.sub(r"[^-.\w]|^\.\.", "_", path, flags=re.ASCII), keys.values())
    return keys


def _mounted(app: App) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    volumes: dict[str, dict[str, Any]] = {}
    places: list[dict[str, Any]] = []
    for place, claim in app.claims.items():
        volumes[claim] = {"name": claim, "persistentVolumeClaim": {"claimName": claim}}
        places.append({"name": claim, "mountPath": place})
    for number, mount in enumerate(app.mounts, 1):
        name, keys = _name(app, number, mount), _keys(mount)
        source: dict[str, Any]
        if mount.secret:
            volume, kind, source = f"secret-{name}", "secret", {"secretName": name}
        else:
            volume, kind = f"config-{name}" if mount.name else name, "configMap"
            source = {"name": name, "defaultMode": 0o755}  # its files may be scripts
        if not mount.single and any(key != path for path, key in keys.items()):
            source["items"] = [{"key": key, "path": path} for path, key in keys.items()]
        volumes[volume] = {"name": volume, kind: source}
        part = {"subPath": next(iter(keys.values()))} if mount.single else {}
        places.append({"name": volume, "mountPath": mount.place, **part})
    return list(volumes.values()), places


def _workload(app: App, image: str) -> dict[str, Any]:
    # Else a Service called redis puts tcp://ADDRESS into REDIS_PORT of all pods, where programs expect their setting.
    pod: dict[str, Any] = {"enableServiceLinks": False, "containers": [_container(app, image)]}
    volumes, places = _mounted(app)
    if volumes:
        pod["volumes"], pod["containers"][0]["volumeMounts"] = volumes, places
    metadata = {"name": app.name}
    template: dict[str, Any] = {"metadata": {"labels": {"app": app.name}}, "spec": pod}
    if app.once:
        pod["restartPolicy"] = "OnFailure"
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            **({} if app.replicas is None else {"replicas": app.replicas}),
            "selector": {"matchLabels": {"app": app.name}},
            # Two pods would write into the same volume.
            **({"strategy": {"type": "Recreate"}} if app.claims else {}),
            "template": template,
        },
    }


def _container(app: App, image: str) -> dict[str, Any]:
    ports, check = ([], ()) if app.once else (_ports(app), app.check)
    probe: dict[str, Any] = {}
    if check:
        command = [_escaped(word, app) for word in check]
        probe = {"exec": {"command": command}, "periodSeconds": 5, "timeoutSeconds": CHECK_SECONDS}
    elif app.port and not app.once:
        probe = {"tcpSocket": {"port": app.port}, "periodSeconds": 1}
    user = zip(("runAsUser", "runAsGroup"), map(int, filter(None, app.user.split(":"))), strict=False)
    fields = {
        "command": [_escaped(word, app) for word in app.command],
        "args": [_escaped(word, app) for word in app.args],
        **dict.fromkeys(app.terminal, True),
        "workingDir": app.folder,
        "securityContext": dict(user),
        "resources": _resources(app),
        "ports": [
            {"containerPort": port, **({"protocol": "UDP"} if protocol == "udp" else {})} for port, protocol in ports
        ],
        "readinessProbe": probe,
        "env": [{"name": key, "value": _escaped(value, app)} for key, value in app.environment.items()],
    }
    return {"name": app.name, "image": image, **{key: value for key, value in fields.items() if value}}


def _resources(app: App) -> dict[str, dict[str, Any]]:
    resources = {kind: dict(app.resources.get(kind, {})) for kind in ("requests", "limits")}
    for name, (request, limit) in RESOURCES.items():
        if name not in resources["limits"]:
            resources["requests"][name], resources["limits"][name] = request, limit
    return resources


# Kubernetes would expand `$$` to one sign, and `$(NAME)` to the value of a variable.
def _escaped(text: str, app: App) -> str:
    names = "|".join(map(re.escape, app.environment))
    return re.sub(rf"\$(?=\$|\((?:{names})\))", "$$", text)


def _ports(app: App) -> list[tuple[int, str]]:
    main = [(app.port, "tcp")] if app.port else []
    return list(dict.fromkeys([*main, *app.more_ports]))


def _service(app: App, name: str) -> dict[str, Any]:
    ports = [
        {"name": "main", "port": port}
        if (port, protocol) == (app.port, "tcp")
        else {"name": f"{protocol}-{port}", "port": port, "protocol": protocol.upper()}
        for port, protocol in _ports(app)
    ]
    # Without an address of its own the name leads to the pod, which has all ports.
    reach: dict[str, Any] = {"ports": ports} if ports else {"clusterIP": "None"}
    spec = {"selector": {"app": app.name}, **reach}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def fronts(objects: Iterable[Mapping[str, Any]]) -> Iterator[Front]:
    """Yield the Services that need an Ingress; none if the objects contain an Ingress or a route."""
    objects = list(objects)
    if any(each.get("kind") in ROUTES for each in objects):
        return
    services = [each for each in objects if each.get("kind") == "Service"]
    web = [
        service
        for service in services
        if any(port.get("port") in WEB for port in untyped.mappings(service, "spec", "ports"))
    ]
    candidates = (
        [service for service in services if untyped.at(service, "spec", "type") in OPEN],
        [service for service in services if untyped.at(service, "metadata", "name") in NAMED],
        services if len(services) == 1 else [],
        web if len(web) == 1 else [],
    )
    names: set[str] = set()
    for service in next(filter(None, candidates), ()):
        # A malformed object is reported by the cluster.
        with suppress(LookupError, TypeError, ValueError, OverflowError):
            metadata, port = service["metadata"], int(service["spec"]["ports"][0]["port"])
            is_named = re.fullmatch(LABEL, metadata["name"]) and metadata["name"] not in names
            if is_named and port not in NOT_HTTP and untyped.at(service, "spec", "clusterIP") != "None":
                names.add(metadata["name"])
                yield Front(metadata["name"], metadata.get("namespace") or "default", port)


def ingresses(services: Iterable[Front], domain: str) -> str:
    objects = (
        ingress(front.name, f"{front.name}.{domain}", {"number": front.port}, namespace=front.namespace)
        for front in services
    )
    return "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in objects)


def ingress(service: str, host: str, port: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """Return an Ingress named as its Service, whose `port` is given as the API has it; with further `metadata`."""
    backend = {"service": {"name": service, "port": dict(port)}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": service, **metadata},
        "spec": {
            "ingressClassName": CLASS,
            "tls": [{"hosts": [host]}],
            "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        },
    }
