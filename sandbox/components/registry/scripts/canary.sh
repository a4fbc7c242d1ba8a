#!/bin/bash
# Pulls the image $1 and, when that fails, tries the hops to the registry at $2:$3 one by one as containerd goes them; a
# hop that does not answer ends the search. $4 is the path of the image's manifest. The image is removed afterwards, so
# that it is in no list of images; who asks need not wait for that. One that was left is asked for at the registry too,
# as every digest is.
# What was pulled is not pulled again, which takes a tenth of a second of processor time, as long as containerd runs
# with the settings that it had then, and the registry still has the image.
image=$1 host=$2 port=$3 manifest=$4
pulled=/run/sandbox-pulled # the image, and the milliseconds; as old as the beginning of its pull
kind=application/vnd.oci.image.manifest.v1+json
ask() { # an address, a path
  timeout 5 bash -c 'exec 3<>/dev/tcp/$0/$1
    printf "GET %s HTTP/1.0\r\nHost: %s\r\nAccept: %s\r\n\r\n" "$2" "$3" "$4" >&3
    read -r _ status _ <&3; echo "$status"' "$1" "$port" "$2" "$host:$port" "$kind" 2>/dev/null
}
by_proxy() { grep -qzi '^https*_proxy=' "/proc/$(pidof containerd)/environ"; }
same() {
  [ -S /run/containerd/containerd.sock ] || return # containerd makes it when it starts
  for one in /run/containerd/containerd.sock /etc/containerd/certs.d/{,*/,*/*}; do
    [ "$pulled" -nt "$one" ] || return
  done
}
address=$(timeout 2 getent ahostsv4 "$host" | awk 'NR == 1 {print $1}')
if read -r last took <"$pulled" && [ "$last" = "$image" ] && same && [ "$(ask "$address" "$manifest")" = 200 ]; then
  echo "pulled $took"
  exit 0
fi 2>/dev/null
# containerd asks again and again for a name that nothing knows; only where it has a proxy may it be known all the same.
patience=20
[ -n "$address" ] || by_proxy 2>/dev/null || patience=3
begun=$EPOCHREALTIME
if said=$(timeout $patience crictl pull "$image" 2>&1); then
  took=$(((${EPOCHREALTIME/./} - ${begun/./}) / 1000))
  echo "pulled $took"
  {
    echo "$image $took" >"$pulled" && touch -d "@$begun" "$pulled"
    crictl rmi "$image"
  } >/dev/null 2>&1 &
  exit 0
fi
rm -f "$pulled"
echo "name $address"
[ -n "$address" ] || exit 0
timeout 3 bash -c 'exec 3<>/dev/tcp/$0/$1' "$address" "$port" 2>/dev/null || { echo "route"; exit 0; }
echo "route open"
echo "http $(ask "$address" /v2/)"
echo "manifest $(ask "$address" "$manifest")"
echo "pull $(echo "$said" | tail -n 1)"
