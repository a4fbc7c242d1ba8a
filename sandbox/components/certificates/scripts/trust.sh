#!/bin/sh
# Keeps the ConfigMap with the sandbox's root in every namespace that asks for it by a label.
# The API server ends a watch after a while; the next one begins with all namespaces again.
kubectl get namespaces --selector=sandbox.dev/trust=true --watch --output=name |
while read -r namespace; do
  case "$namespace" in namespace/ | namespace/-* | namespace/*[!a-z0-9-]*) continue ;; esac
  kubectl create configmap sandbox-root --namespace="${namespace#namespace/}" \
    --from-file=ca.crt=/etc/sandbox/root.crt --dry-run=client --output=json |
    kubectl apply --server-side --force-conflicts --field-manager=sandbox --filename=-
done
