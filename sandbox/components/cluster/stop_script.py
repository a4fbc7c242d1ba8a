"""Lets a node's processes end within seconds when it is stopped, and no sooner than they may.

systemd sends SIGTERM to all of them and waits for the last, so that after its ten seconds the engine kills the node
with whatever still writes. Some never end by themselves: a first process of a container that has no handler for the
signal does not get it (pid_namespaces(7)), and an API server waits for an etcd that is gone. Those are ended at once,
and the rest have all the time there is.
"""

from __future__ import annotations

# A signal that is blocked may be waited for instead of handled (sigwait(3), signalfd(2)). SIGTERM is bit 14 of the
# masks (proc_pid_status(5)). Whoever has one process that hears it, in its own space of process ids, is left alone.
_SCRIPT = r"""
timeout 5 systemctl stop kubelet  # it would start them again
hears='^Sig(Cgt|Blk):\s+[0-9a-f]{12}[4-7c-f]'
stateless=' kube-apiserver coredns '  # coredns answers for five more seconds
declare -A hearing=()
processes=()
for place in /proc/[0-9]*; do
  { read -r name <"$place/comm" && space=$(readlink "$place/ns/pid"); } 2>/dev/null || continue
  processes+=("${place#/proc/} $space")
  [[ $stateless == *" $name "* ]] || ! grep -qsE "$hears" "$place/status" || hearing[$space]=yes
done
for one in "${processes[@]}"; do
  read -r pid space <<<"$one"
  [[ -n ${hearing[$space]:-} ]] || kill -KILL "$pid" 2>/dev/null
done
exit 0
"""

# What a node is to execute before it is stopped.
COMMAND = ("bash", "-c", _SCRIPT)
