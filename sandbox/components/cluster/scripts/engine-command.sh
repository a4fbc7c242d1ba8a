#!/bin/sh
# Stands in for the engine's command while kind makes a cluster: kind names the image of its load balancer by a tag, and
# the sandbox has that image by digest, or one of its own.
for word; do
  shift
  case $word in
  docker.io/envoyproxy/envoy:*) word=$SANDBOX_BALANCER ;;
  esac
  set -- "$@" "$word"
done
exec "$SANDBOX_ENGINE" "$@"
