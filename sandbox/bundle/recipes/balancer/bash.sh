#!/bin/sh
# Runs kind's command, and ends with the container at once: the first process of one is not ended by SIGTERM else.
trap 'exit 0' TERM INT
sh "$@" &
wait $!
