#!/bin/sh
# Removes from a node that stays what the sandbox put there: its files, the drop-in $1, and the folders below $3 whose
# file begins with the line $2.
rm -rf /etc/sandbox "$1"
systemctl daemon-reload
grep -rlF "$2" "$3" | while read -r file; do rm -r "$(dirname "$file")"; done
