#!/bin/bash
# Sends what comes to each port on to the node $1, PORT=PORT there, in the kernel of this container's network.
# The node has another address after a restart; what was going on by the earlier one is forgotten then.
node=$1
shift
before=
while :; do
  read -r now _ < <(getent ahostsv4 "$node")
  if [ "$now" ] && [ "$now" != "$before" ]; then
    {
      echo "table ip sandbox; delete table ip sandbox; table ip sandbox {"
      echo "chain in { type nat hook prerouting priority -100;"
      for pair; do echo "udp dport ${pair%=*} dnat to $now:${pair#*=};"; done
      echo "}"
      echo "chain out { type nat hook postrouting priority 100; ip daddr $now masquerade; }"
      echo "}"
    } | nft -f - && before=$now
    conntrack -D -p udp >/dev/null 2>&1
  fi
  sleep 2
done
