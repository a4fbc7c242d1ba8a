"""Runs a command in a container of a pod, as `kubectl exec` does: by the API server's WebSocket (KEP-4006)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sandbox.kube.api import Cluster, ClusterError, segment
from sandbox.kube.api_transport import Unanswered
from sandbox.sanitize import cause

# The first byte of each message (k8s.io/apimachinery, pkg/util/remotecommand).
STDIN, STDOUT, STDERR, ERROR, CLOSE = 0, 1, 2, 3, 255
PROTOCOL = "v5.channel.k8s.io"
PIECE = 1 << 16


@dataclass(frozen=True)
class Executed:
    status: int
    output: bytes
    complaints: str


def execute(
    cluster: Cluster, *, pod: str, namespace: str, container: str, argv: Sequence[str], stdin: bytes = b""
) -> Executed:
    """Run a command in a container, with `stdin` as its input, to its end. Raises ClusterError if it cannot run."""
    import websocket  # only what runs commands in containers needs it

    options = [("container", container), *(("command", word) for word in argv), ("stdout", "true"), ("stderr", "true")]
    # Names of files are bytes, which need not be text.
    query = urlencode([*options, *([("stdin", "true")] if stdin else [])], errors="surrogateescape")
    path = f"/api/v1/namespaces/{segment(namespace)}/pods/{segment(pod)}/exec?{query}"
    streams = {STDOUT: bytearray(), STDERR: bytearray(), ERROR: bytearray()}
    try:
        socket = cluster.transport.socket(path, PROTOCOL)
        try:
            for start in range(0, len(stdin), PIECE):
                socket.send_binary(bytes([STDIN]) + stdin[start : start + PIECE])
            if stdin:
                socket.send_binary(bytes([CLOSE, STDIN]))
            while not streams[ERROR] and (message := socket.recv()):
                streams.setdefault(message[0], bytearray()).extend(message[1:])
        finally:
            socket.shutdown()
        if not streams[ERROR]:
            raise Unanswered("the connection ended before the command did")
        code = _exit_code(json.loads(streams[ERROR]))
    except (OSError, websocket.WebSocketException) as error:
        raise ClusterError(f"{argv[0]} cannot be run in {namespace}/{pod}", details=cause(error)) from error
    return Executed(code, bytes(streams[STDOUT]), streams[STDERR].decode(errors="replace").strip())


def _exit_code(status: Mapping[str, Any]) -> int:
    if status.get("status") == "Success":
        return 0
    for reason in (status.get("details") or {}).get("causes") or ():
        if reason.get("reason") == "ExitCode":
            return int(reason["message"])
    raise Unanswered(str(status.get("message") or "no reason given"))
