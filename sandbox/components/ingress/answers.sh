#!/bin/sh
# Returns once the API server answers pods of this node, or after a minute: until then, the pod could not be deleted.
# Every question is a connection of its own: one that was begun before kube-proxy had its rules stays as it was begun.
# Until then a host outside may take it; an API server is known by what Go's HTTPS servers say to those who speak plain
# HTTP.
deadline=$(($(busybox date +%s) + 60))
until printf 'GET / HTTP/1.0\r\n\r\n' |
    busybox nc -w 2 "$KUBERNETES_SERVICE_HOST" "$KUBERNETES_SERVICE_PORT" 2> /dev/null |
    busybox grep -q 'to an HTTPS server'; do
    [ "$(busybox date +%s)" -lt $deadline ] || break
    busybox sleep 0.2
done
