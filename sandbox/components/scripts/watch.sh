#!/bin/bash
# Prints what the API server of $KUBECONFIG tells of a path that is watched, an event a line, until it ends the watch.
# Usage: watch.sh PATH, for example '/api/v1/services?watch=true'.
# kubectl takes 25 MB while it waits, socat 5. Where socat has no TLS or reaches nothing, it is kubectl that watches, or says
# why not.
field() { sed -nE "s#^ *(- )?$1: ##p" "$KUBECONFIG"; }

server=$(field server)
authority=$(mktemp) || exit
field certificate-authority-data | base64 -d >"$authority"
if [ ! -s "$authority" ] || ! socat -V 2>/dev/null | grep -q 'WITH_OPENSSL 1'; then
  rm -f "$authority"
  exec kubectl get --raw "$1"
fi
# That a server is gone without a word is noticed within a minute. HTTP/1.0 has no chunks. The token is in no argument, which
# others on the node could read. Rights that were just given are known to the API server a moment later.
for pause in 0.2 0.5 1 2 ''; do
  coproc { exec socat - "OPENSSL:${server#https://},cafile=$authority,keepalive,keepidle=30,keepintvl=5,keepcnt=5"; }
  exec 3<&"${COPROC[0]}" 4>&"${COPROC[1]}"
  printf 'GET %s HTTP/1.0\r\nHost: kubernetes\r\nAuthorization: Bearer %s\r\nAccept: application/json\r\n\r\n' \
    "$1" "$(field token)" >&4
  status=
  IFS= read -r status <&3
  while IFS= read -r header <&3 && [ "${header%$'\r'}" ]; do :; done
  [[ -n $pause && $status == "HTTP/1."?" 40"[13]" "* ]] || break
  exec 3<&- 4>&-
  wait
  sleep "$pause"
done
rm -f "$authority"
[ "$status" ] || exec kubectl get --raw "$1"
if [[ $status != 'HTTP/1.'?' 200 '* ]]; then
  echo "$1: ${status%$'\r'}" >&2
  exit 1
fi
cat <&3 # not in place of this shell, whose hold on its other end keeps socat from ending
