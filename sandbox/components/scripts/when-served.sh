#!/bin/bash
# Runs a command that uses kubectl, once the API server of $KUBECONFIG serves. On a node that starts, kubectl would fail
# again and again until then, each time after a tenth of a second of processor time.
# minikube keeps kubectl in a folder that has its version for a name.
PATH=$PATH:$(echo /var/lib/minikube/binaries/v* | tr ' ' :)
server=$(sed -nE 's#^ *server: https://(.*):([0-9]+)$#\1/\2#p' "$KUBECONFIG" | tr -d '[]')

serves() { # a client that does not speak TLS is told so at once (Go: net/http, Server.serve)
  (exec 3<>"/dev/tcp/$server" && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && read -rt 1 _ <&3) 2>/dev/null
}

if [ "$server" ] && ! serves; then
  until serves; do sleep 1; done
  sleep 2 # until then it refuses everyone, for it has not read its roles yet
fi
exec "$@"
