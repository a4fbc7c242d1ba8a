#!/bin/sh
# What kind starts as `envoy -c FILE`: HAProxy in front of the API servers that kind lists for Envoy (kind 0.33,
# pkg/cluster/internal/loadbalancer/config.go). It is told of changes by the file's content, as Envoy would be.
set -eu
listed=/home/envoy/cds.yaml
bound=/home/envoy/lds.yaml
made=/tmp/haproxy.cfg

# Prints the configuration, nothing while no server is listed.
configuration() {
  awk '
    FNR == NR { if ($1 == "port_value:") port = $2; if ($1 == "address:" && $2 ~ /::/) six = 1; next }
    $1 == "load_assignment:" { servers = 1 }
    servers && $1 == "address:" { host = $2 }
    servers && $1 == "port_value:" { hosts[++count] = host ":" $2 }
    END {
      if (!count || !port) exit
      print "global\n  maxconn 4000\n  stats socket /tmp/haproxy.sock\n"
      print "resolvers engine\n  parse-resolv-conf\n  hold valid 1s\n"
      # Watches are quiet for long; clients of a control plane that is gone are told so by TCP.
      print "defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 24h\n  timeout server 24h\n  timeout check 3s"
      print "  option clitcpka\n  option srvtcpka\n  option redispatch\n"
      print "frontend api\n  bind " (six ? ":::" port " v4v6" : ":" port) "\n  default_backend servers\n"
      print "backend servers\n  option httpchk GET /healthz"
      print "  default-server check check-ssl verify none inter 2s fall 2 rise 1 on-marked-down shutdown-sessions"
      print "  default-server resolvers engine init-addr none resolve-prefer " (six ? "ipv6" : "ipv4")
      for (n = 1; n <= count; n++) print "  server s" n " " hosts[n]
    }' "$bound" "$listed"
}

haproxy=
rm -f "$made" # of before the container was stopped
while true; do
  configuration >"$made.new"
  if [ -s "$made.new" ] && ! cmp -s "$made.new" "$made"; then
    mv "$made.new" "$made"
    # A new one takes the port over, and the one before ends with its connections.
    # shellcheck disable=SC2086
    haproxy -db -f "$made" ${haproxy:+-sf $haproxy} &
    haproxy=$!
  fi
  sleep 0.2
  # kind's loop starts all of this again.
  [ -z "$haproxy" ] || kill -0 "$haproxy" 2>/dev/null || exit 1
done
