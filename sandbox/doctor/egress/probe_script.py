"""What a pod is to try, as a script for busybox, and how what it wrote is read."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.names import HOST

# Arguments: the host asked for (empty for an address), what to connect to, its port, what to send first and then (in
# base64), and the nameservers. What is sent is followed by silence, since a server may take the end for a hang-up.
_SCRIPT = r"""
b=busybox
ask() { $b timeout 6 $b nslookup -type=a -timeout=2 -retry=2 "$@"; }
part() { echo "=== $1"; shift; "$@" 2>&1; echo "=== status $?"; }
host=$1 target=$2 port=$3 first=$4 then=$5
shift 5
part cluster ask kubernetes.default.svc.cluster.local.
for server; do part "server $server" ask "${host:-example.com}." "$server"; done
[ -z "$host" ] || part name ask "$host."
part here ask @HOST@.
part ping $b ping -c 1 -W 2 @HOST@
case $target in
*[!0-9.]*) address=$(ask "$target." 2>/dev/null | $b awk '/^Name:/ {n = 1} n && /^Address:/ {print $2; exit}') ;;
*) address=$target ;;
esac
echo "=== connect $address"
[ -z "$address" ] || {
  { [ -z "$first" ] || { echo "$first" | $b base64 -d; $b sleep 2; }; echo "$then" | $b base64 -d; $b sleep 3; } |
    $b timeout 10 $b nc -w 5 "$address" "$port" 2>&3 | $b base64
} 3>&1
echo "=== status 0"
""".replace("@HOST@", HOST)


@dataclass(frozen=True)
class Part:
    """What one attempt wrote, and whether it succeeded."""

    output: str
    succeeded: bool

    @property
    def last(self) -> str:
        """Its last words."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return re.sub(r"^[*;\s]+", "", lines[-1]) if lines else "no answer"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses in an answer of nslookup; the nameserver's own comes before the name."""
        _, _, answer = self.output.partition("Name:")
        return tuple(dict.fromkeys(re.findall(r"^Address(?: \d+)?:\s*(\d+\.\d+\.\d+\.\d+)", answer, re.MULTILINE)))

    @property
    def answered(self) -> bool:
        """Whether a nameserver answered at all, be it that there is no such name."""
        return self.succeeded or "NXDOMAIN" in self.output or bool(self.addresses)


def command(host: str, target: str, port: int, first: bytes, then: bytes, nameservers: Sequence[str]) -> list[str]:
    """What a pod is to execute."""
    sent = (base64.b64encode(each).decode() for each in (first, then))
    return ["busybox", "sh", "-c", _SCRIPT, "outbound", host, target, str(port), *sent, *nameservers]


def read(log: str) -> dict[str, Part]:
    """The parts of a pod's log by their titles."""
    found: dict[str, Part] = {}
    title, lines = "", list[str]()
    for line in log.splitlines():
        word = line.removeprefix("=== ") if line.startswith("=== ") else None
        if word is None:
            lines.append(line)
        elif word.startswith("status "):
            found[title] = Part("\n".join(lines), word == "status 0")
        else:
            title, lines = word, []
    return found


def received(part: Part) -> tuple[str, bytes]:
    """What nc complained of, and what the other side sent."""
    lines = part.output.splitlines()
    trouble = next((line.removeprefix("nc: ") for line in lines if line.startswith("nc: ")), "")
    try:
        return trouble, base64.b64decode("".join(line for line in lines if not line.startswith("nc: ")))
    except binascii.Error:
        return trouble, b""
