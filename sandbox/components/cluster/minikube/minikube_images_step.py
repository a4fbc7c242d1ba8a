"""The images of an addon of minikube's, pulled before it is enabled: minikube waits six minutes for what cannot come.

What it then leaves behind may be worse than nothing: the ingress addon's webhook refuses every Ingress.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sandbox.components.addons.choice import Use
from sandbox.components.cluster.minikube.command import Minikube
from sandbox.errors import SandboxError
from sandbox.provider import Nodes
from sandbox.system.process import last_lines

# The engine waits a minute for a command to say something, so a long pull takes several; each goes on where one ended.
SECONDS, ATTEMPTS, STILL_PULLING = "45", 12, 124
# Pods may have an account where the node itself has none.
NEEDS_ACCOUNT = re.compile(r"authoriz|denied|forbidden", re.IGNORECASE)


def pull(nodes: Nodes, minikube: Minikube, use: Use, say: Callable[[str], None]) -> None:
    """Have the first node pull what it lacks of an addon's images. Raises SandboxError if one does not come."""
    chosen, registries = (_by_key(use.values.get(name, "")) for name in ("images", "registries"))
    images = minikube.images(use.source, chosen, registries)
    amiss = {image: reason for image in dict.fromkeys(images.values()) if (reason := _amiss(nodes, image, say))}
    if not amiss:
        return
    keys = [key for key, image in images.items() if image in amiss]
    others, places = (",".join(f"{key}={value}" for key in keys) for value in ("NAME:TAG", "localhost:PORT"))
    raise SandboxError(
        f"the node cannot pull {_counted(len(amiss))} of minikube's addon '{use.source}', which was not enabled",
        details="\n".join(f"{image}: {reason}" for image, reason in amiss.items()),
        fix="if their registry cannot be reached, have the sandbox's own hold them (sandbox push-images) and say so in "
        f'sandbox.yaml: addons: [{{addon: {use.source}, values: {{images: "{others}", registries: "{places}"}}}}]',
        id="addon-image",
    )


def _by_key(text: str) -> Mapping[str, str]:
    """What minikube's options say: KEY=VALUE,KEY=VALUE."""
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)


def _amiss(nodes: Nodes, image: str, say: Callable[[str], None]) -> str | None:
    """Why the node does not have the image and cannot pull it, or None."""
    node = nodes.control_plane
    if nodes.execute(node, ["crictl", "inspecti", "--quiet", image])[0] == 0:
        return None
    say(f"pulling {image}")
    for _ in range(ATTEMPTS):
        status, said = nodes.execute(node, ["timeout", SECONDS, "crictl", "pull", image])
        if status != STILL_PULLING:
            break
    if status == 0 or NEEDS_ACCOUNT.search(said):
        return None
    # containerd quotes the image in each of the layers through which the reason has come.
    return last_lines(said, 1).rpartition('": ')[2].rstrip('"') or f"status {status}"


def _counted(images: int) -> str:
    return "an image" if images == 1 else f"{images} images"
