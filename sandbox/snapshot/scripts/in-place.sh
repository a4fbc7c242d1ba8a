#!/bin/bash
# Replaces the data of a node that keeps running by that in a folder of its /var, whose name is the first argument. The
# others are phases, none of which can be repeated:
#   hold     ends the kubelet and most pods, and replaces files and volumes; prints when they had ended, and the uids of
#            those that go on, which only follow what the API server has: etcd, the API server, kube-proxy, Traefik
#   rewind   gives etcd the keys of the snapshot, and its watchers the changes (recipes/etcd/rewind.go)
#   release  starts the kubelet
set -euo pipefail
shopt -s extglob
# What belongs to the node's system is as it was (fingerprint.sh).
SYSTEM="backups|cache|local|lock|mail|opt|run|spool|lib/@(apt|dbus|dpkg|misc|pam|private|shells.state|systemd)"
export LC_ALL=C
new=$1 old=$1.old node=$(hostname) count=0
shift
cd /var

hold() {
  systemctl stop kubelet
  local pods id name uid place followers=() ending=() living=none
  # Their columns are: id, age in several words, state, name, namespace, attempt, runtime.
  pods=$(crictl pods --no-trunc --state ready | awk 'NR > 1 { print $1, $(NF - 2) "/" $(NF - 3) }')
  while read -r id name; do
    case $name in
      kube-system/@(etcd|kube-apiserver)-"$node" | kube-system/kube-proxy-* | sandbox-system/traefik-*) followers+=("$id") ;;
      *) ending+=("$id") ;;
    esac
  done <<<"$pods"
  for id in "${followers[@]}"; do
    uid=$(crictl inspectp --output go-template --template '{{.status.metadata.uid}}' "$id")
    if [ -e "$new/lib/kubelet/pods/$uid" ]; then living+="|$uid"; else ending+=("$id"); fi
  done
  [ ${#ending[@]} = 0 ] || printf '%s\n' "${ending[@]}" | xargs --max-args=1 --max-procs=8 crictl stopp >/dev/null
  while read -r place; do umount "$(printf '%b' "$place")"; done < <(mounts /var/lib/kubelet/ "$living" | sort --reverse)
  # What is mounted would move with its folder, and be deleted with it.
  if mounts /var/ "$living"; then exit 1; fi
  keep="@($SYSTEM|lib/@(containerd|cni)|tmp/systemd-private-*|lib/kubelet/pods/@($living)|log/pods/*_@($living)"
  keep+="|log/containers/*|lib/etcd|$new|$old)"
  rm -rf --one-file-system "$old"
  mkdir "$old"
  exchange
  echo "held $(date +%s) ${living//|/ }"
}

# Prints the places below a folder where something is mounted, with octal codes for what divides words, but for those of
# pods that go on; fails where there are none.
mounts() {
  cut --delimiter=' ' --fields=2 /proc/mounts | grep "^$1" | grep --invert-match --extended-regexp "^/var/lib/kubelet/pods/($2)/"
}

# Replaces everything in a folder (default: /var) but what is kept, and in those that also have what is kept.
exchange() {
  local name path
  while IFS= read -r -d '' name; do
    path=${1:+$1/}$name
    # shellcheck disable=SC2254  # a pattern
    case $path in
      $keep) ;;
      lib | log | tmp | lib/kubelet | lib/kubelet/pods | log/pods) exchange "$path" ;;
      *)
        count=$((count + 1))
        if [ -e "$path" ] || [ -L "$path" ]; then mv --no-target-directory "$path" "$old/$count"; fi
        if [ -e "$new/$path" ] || [ -L "$new/$path" ]; then mv --no-target-directory "$new/$path" "$path"; fi
        ;;
    esac
  done < <(find "${1:-.}" "$new/${1:-}" -mindepth 1 -maxdepth 1 -printf '%P\0' | sort --zero-terminated --unique)
}

rewind() {
  local etcd keys=lib/etcd/$new
  etcd=$(crictl ps --quiet --state running --name '^etcd$' --namespace '^kube-system$')
  mv "$new/lib/etcd" "$keys"
  local pki=/etc/kubernetes/pki/etcd
  # The API server renews what it tells of itself. And a controller makes new EndpointSlices as pods become ready: what
  # asks at an address of before waits for seconds.
  crictl exec --sync "$etcd" etcd rewind --cacert "$pki/ca.crt" --cert "$pki/healthcheck-client.crt" \
    --key "$pki/healthcheck-client.key" --keep /registry/masterleases/,/registry/leases/kube-system/apiserver- \
    --drop /registry/endpointslices/:endpointslice-controller.k8s.io "/var/$keys"
  rm -r "$keys"
}

release() {
  systemctl start kubelet
  setsid rm -r --one-file-system "$new" "$old" >/dev/null 2>&1 &
}

for phase in "$@"; do
  "$phase"
done
