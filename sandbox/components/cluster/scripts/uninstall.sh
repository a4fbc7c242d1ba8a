#!/bin/sh
# Removes from a node that stays what the sandbox put there: its units, its files, the drop-in $1, and the folders below
# $3 whose file begins with the line $2.
cd /etc/systemd/system || exit
for unit in sandbox-*.service; do
  [ -e "$unit" ] || continue
  systemctl disable --now "$unit"
  rm -f "$unit"
done
rm -rf /etc/sandbox "$1"
systemctl daemon-reload
grep -rlF "$2" "$3" | while read -r file; do rm -r "$(dirname "$file")"; done
