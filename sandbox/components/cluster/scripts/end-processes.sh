#!/bin/bash
# Ends at once the processes of a node that would ignore SIGTERM; the others have the time that they need.
# A signal that is blocked may be waited for instead of handled (sigwait(3), signalfd(2)). SIGTERM is bit 14 of the
# masks (proc_pid_status(5)). A process id namespace in which one process hears it is left alone.
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
