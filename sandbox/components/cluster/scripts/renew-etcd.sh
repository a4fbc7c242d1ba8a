#!/bin/bash
# Runs in a control plane: gives etcd certificates for the node's present address. An address may have changed at a
# start, and kubeadm asks etcd by it. etcd reads them at every handshake.
set -eu
cd /etc/kubernetes/pki/etcd
for name in server peer; do
  rm --force "$name.crt" "$name.key"
  kubeadm init phase certs "etcd-$name" --config /kind/kubeadm.conf
done
