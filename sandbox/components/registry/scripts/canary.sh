#!/bin/bash
# Pulls the image $1. When that fails, prints the first hop to the registry at $2:$3 that does not work. The image is
# removed afterwards, so that it is in no list of images; the caller need not wait for that.
image=$1 host=$2 port=$3
address=$(timeout 2 getent ahostsv4 "$host" | awk 'NR == 1 {print $1}')
# containerd asks again and again for an unknown name; only where it has a proxy may that know it.
patience=20
[ -n "$address" ] || grep -qzi '^https*_proxy=' "/proc/$(pidof containerd)/environ" 2>/dev/null || patience=3
begun=$EPOCHREALTIME
if output=$(timeout $patience crictl pull "$image" 2>&1); then
  echo "pulled $(((${EPOCHREALTIME/./} - ${begun/./}) / 1000))"
  crictl rmi "$image" >/dev/null 2>&1 &
elif [ -z "$address" ]; then
  echo "name $host has no address there"
elif ! timeout 3 bash -c 'exec 3<>/dev/tcp/$0/$1' "$address" "$port" 2>/dev/null; then
  echo "route $address:$port refuses or does not answer"
else
  echo "pull $(echo "$output" | tail -n 1)"
fi
