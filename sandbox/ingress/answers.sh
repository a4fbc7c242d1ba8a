# Returns once the API server answers pods of this node. Every question is a connection of its own: one that was begun
# before kube-proxy had its rules stays as it was begun.
until busybox nc -w 1 "$KUBERNETES_SERVICE_HOST" "$KUBERNETES_SERVICE_PORT" < /dev/null > /dev/null 2>&1; do
    busybox sleep 0.2
done
