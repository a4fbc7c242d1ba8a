#!/bin/sh
# Lets every group below those of the containers $@ go on, and then waits: the container that runs this is removed.
for id; do
  find /freezer -path "*$id*" -name freezer.state | while read -r state; do echo THAWED > "$state"; done
done
exec sleep 600
