#!/bin/sh
# Tries the connections out of the cluster from a pod. Arguments: the host (empty for an address), the target of the
# connection, its port, and what to send first and then (both base64). It pauses after sending, because a server may take
# the end of input for a hang-up.
b=busybox
ask() { $b timeout 6 $b nslookup -type=a -timeout=2 -retry=2 "$@"; }
part() { echo "=== $1"; shift; "$@" 2>&1; echo "=== status $?"; }
host=$1 target=$2 port=$3 first=$4 then=$5
part cluster ask kubernetes.default.svc.cluster.local.
[ -z "$host" ] || part name ask "$host."
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
