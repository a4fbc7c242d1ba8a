#!/bin/bash
# Tells whether the CoreDNS pod at address $1 is ready and goes by the configuration that names itself $3, which the DNS
# message $2 (as printf takes it) asks for. Exits with 3 when it is not ready, with 4 for another configuration.
ready() { # its plugin `ready` says so; a pod that has begun without the API server answers names, wrongly
  exec 3<>"/dev/tcp/$1/8181" && printf 'GET /ready HTTP/1.0\r\n\r\n' >&3 && grep -q '200 OK' <&3
}
named() { # a kubelet may mount a ConfigMap as it was a moment ago, and then for a minute
  # shellcheck disable=SC2059  # the message is a format
  exec 4<>"/dev/udp/$1/53" && printf "$2" >&4 && timeout 1 dd bs=512 count=1 status=none <&4 | grep -aqF "$3"
}
(ready "$1") || exit 3
for _ in 1 2 3; do # a datagram may be lost, and a machine be slow
  (named "$@") && exit
done
exit 4
