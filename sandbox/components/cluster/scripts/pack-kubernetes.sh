#!/bin/bash
# Runs in a container of a node image: puts its Kubernetes programs into $1/programs, and its images as $1/images.tar.
# Nodes of the bundle hold them unpacked, published ones packed in containerd's store.
set -eu
out=$1 version=$2 store=/var/lib/containerd
mkdir -p "$out/programs"
for program in kubernetes kubeadm kubelet kubectl; do
  [ ! -e "/usr/bin/$program" ] || cp -a "/usr/bin/$program" "$out/programs/"
done
for root in "$store"/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs; do
  [ -e "$root/usr/local/bin/kubernetes" ] || continue
  cd "$(mktemp -d)"
  tar --create --file layer.tar --directory "$root" .
  layer=$(sha256sum layer.tar | cut -d ' ' -f 1)
  machine=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
  path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  cat >config.json <<END
{"architecture":"$machine","os":"linux","config":{"Env":["PATH=$path"]},
"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
END
  names=
  for part in kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
    names=$names${names:+,}\"registry.k8s.io/$part:$version\"
  done
  echo "[{\"Config\":\"config.json\",\"RepoTags\":[$names],\"Layers\":[\"layer.tar\"]}]" >manifest.json
  tar --create --file "$out/images.tar" manifest.json config.json layer.tar
  exit
done
run=$(mktemp -d)
printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >"$run/config.toml"
containerd --config "$run/config.toml" --root "$store" --state "$run/state" --address "$run/socket" 2>"$run/log" &
for _ in $(seq 100); do
  [ ! -S "$run/socket" ] || break
  sleep 0.1
done
ctr() { command ctr --address "$run/socket" --namespace k8s.io "$@"; }
# shellcheck disable=SC2046  # one name a line, without spaces
ctr images export "$out/images.tar" $(ctr images list --quiet | grep '^registry.k8s.io/') || {
  tail -n 5 "$run/log" >&2
  exit 1
}
