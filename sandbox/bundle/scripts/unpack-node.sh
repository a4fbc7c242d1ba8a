#!/bin/bash
# Runs in a container of a published node image, before it is committed: unpacks all its images, and those in /archives,
# which nodes would otherwise do for themselves each time. $1, a folder on a volume, is where containerd can do that.
set -eu
store=/var/lib/containerd work=$1/containerd run=/run/unpack
layers=io.containerd.snapshotter.v1.overlayfs/snapshots kept=/kind/snapshots
mkdir -p "$run" "$kept"
trap '[ $? = 0 ] || grep -v DEPRECATION "$run/said" "$run/log" >&2' EXIT
printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >"$run/config.toml"
ctr() { command ctr --address "$run/socket" --namespace k8s.io "$@" 2>>"$run/said"; }

# fill HOW: make the new store of the old one and the archives, their images unpacked or packed.
fill() {
  rm -rf "$work" "$run/socket"
  cp -a "$store" "$work"
  containerd --config "$run/config.toml" --root "$work" --state "$run/state" --address "$run/socket" 2>>"$run/log" &
  for _ in $(seq 300); do
    [ ! -S "$run/socket" ] || break
    sleep 0.1
  done
  for archive in /archives/*.tar; do
    ctr images import --local --no-unpack "$archive"
  done
  if [ "$1" = unpacked ]; then
    for digest in $(ctr images list | awk 'NR > 1 { print $3 }' | sort -u); do
      echo "unpacking $digest"
      ctr snapshots unpack "$digest" >/dev/null
    done
    ctr content prune references >/dev/null
  fi
  kill %%
  wait || true
}

# deletes: tell whether an image of several layers deletes something, for which overlayfs has device files and attributes
# that a layer of the committed image would not keep.
deletes() {
  local snapshots=$work/io.containerd.snapshotter.v1.overlayfs
  [ -z "$(find "$snapshots" -type c -print -quit)" ] || return 0
  find "$snapshots" -type d -print0 |
    tar --create --null --no-recursion --files-from - --xattrs --xattrs-include=trusted.overlay.opaque 2>/dev/null |
    grep --quiet --text trusted.overlay.opaque
}

fill unpacked
if deletes; then
  echo "leaving the images packed"
  fill packed
fi
rm -rf "$store" /archives
# Of a layer of the image containerd may read, and every node has a volume at /var: what is there is copied each time.
for one in "$work/$layers"/*; do
  [ -e "$one" ] || continue # packed
  # Small ones may be copied. Pods with a user namespace need pause's there: an overlay's files have no other owners.
  [ "$(du -sk "$one" | cut -f 1)" -ge 5000 ] || continue
  cp -a "$one" "$kept/"
  rm -rf "$one"
  ln -s "$kept/${one##*/}" "$one"
done
cp -a "$work" "$store"
config=/etc/containerd/config.toml

# setting TABLE KEY VALUE: set it in the table of a plugin, if the configuration has that; fails if not.
setting() {
  local table="plugins.[\"']$1[\"']" line
  grep -q "$table" "$config" || return
  ! grep -q "^ *$2 = " "$config" || sed -i "/^ *$2 = /d" "$config"
  line=$(grep -n "^ *\[$table\]" "$config" | cut -d : -f 1)
  if [ -n "$line" ]; then
    sed -i "${line}a $2 = $3" "$config"
  else # it has tables below it only
    printf '\n[plugins."%s"]\n%s = %s\n' "$1" "$2" "$3" >>"$config"
  fi
}
# Without CAP_SYS_RESOURCE no process may lower its oom_score_adj, and runc gives up; clamping costs nothing elsewhere.
setting io.containerd.cri.v1.runtime restrict_oom_score_adj true ||
  setting io.containerd.grpc.v1.cri restrict_oom_score_adj true || true
