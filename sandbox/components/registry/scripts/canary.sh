#!/bin/bash
# Pulls the image $1 and, when that fails, tries the hops to the registry at $2:$3 one by one as containerd goes them; a
# hop that does not answer ends the search. $4 is the path of the image's manifest. The image is removed afterwards, so
# that it is in no list of images; who asks need not wait for that. One that was left is asked for at the registry too,
# as every digest is.
image=$1 host=$2 port=$3 manifest=$4
begun=$(date +%s%N)
if said=$(timeout 20 crictl pull "$image" 2>&1); then
  echo "pulled $(( ($(date +%s%N) - begun) / 1000000 ))"
  crictl rmi "$image" >/dev/null 2>&1 &
  exit 0
fi
address=$(getent ahostsv4 "$host" | awk 'NR == 1 {print $1}')
echo "name $address"
[ -n "$address" ] || exit 0
timeout 3 bash -c 'exec 3<>/dev/tcp/$0/$1' "$address" "$port" 2>/dev/null || { echo "route"; exit 0; }
echo "route open"
kind=application/vnd.oci.image.manifest.v1+json
ask() {
  timeout 5 bash -c 'exec 3<>/dev/tcp/$0/$1
    printf "GET %s HTTP/1.0\r\nHost: %s\r\nAccept: %s\r\n\r\n" "$2" "$3" "$4" >&3
    read -r _ status _ <&3; echo "$status"' "$address" "$port" "$1" "$host:$port" "$kind" 2>/dev/null
}
echo "http $(ask /v2/)"
echo "manifest $(ask "$manifest")"
echo "pull $(echo "$said" | tail -n 1)"
