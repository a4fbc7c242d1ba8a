#!/bin/sh
# Copies the kept Secrets to namespaces that come later, and has every service account name them.
# The API server ends a watch after a while; the next one begins with all service accounts again.
# What is secret is in variables and pipes only: neither arguments nor the journal show it. Which Secrets there are and
# for whom is in a file of the node; of the cluster come names and data, whose form is checked.
others='metadata.namespace!=kube-node-lease,metadata.namespace!=kube-public,metadata.namespace!=kube-system,metadata.namespace!=local-path-storage,metadata.namespace!=sandbox-system'
bash /etc/sandbox/watch.sh "/api/v1/serviceaccounts?watch=true&fieldSelector=$others" |
while read -r event; do
  account=${event#*'"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"'}
  [ "$account" != "$event" ] || continue # an error, such as that there is nothing to watch any more
  namespace=${account#*'"namespace":"'}
  account=${account%%\"*} namespace=${namespace%%\"*}
  case "$namespace" in '' | -* | *[!a-z0-9-]*) continue ;; esac
  case "$account" in '' | -* | *[!a-z0-9.-]*) continue ;; esac
  while read -r secret wanted append begin; do
    case ",$wanted," in
      ",*," | *",$namespace,"*) ;;
      *) continue ;;
    esac
    data=$(kubectl get secret "$secret" --namespace=sandbox-system \
      --output='go-template={{index .data ".dockerconfigjson"}}') || continue
    case "$data" in '' | *[!A-Za-z0-9+/=]*) continue ;; esac
    if [ "$account" = default ]; then
      printf %s "$data" | base64 -d |
        kubectl create secret generic "$secret" --namespace="$namespace" --type=kubernetes.io/dockerconfigjson \
          --from-file=.dockerconfigjson=/dev/stdin --dry-run=client --output=json |
        kubectl label --local --filename=- sandbox.dev/credentials=copy --output=json |
        kubectl apply --server-side --force-conflicts --field-manager=sandbox --filename=-
    fi
    named=$(kubectl get serviceaccount "$account" --namespace="$namespace" \
      --output='jsonpath={.imagePullSecrets[*].name}') || continue
    case " $named " in *" $secret "*) continue ;; esac
    patch=$begin
    [ -z "$named" ] || patch=$append
    kubectl patch serviceaccount "$account" --namespace="$namespace" --type=json --patch="$patch"
  done < /etc/sandbox/credentials.list
done
