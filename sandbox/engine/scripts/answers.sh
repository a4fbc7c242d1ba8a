#!/bin/bash
# Runs commands side by side and prints a line for each: what it said, in base64, and its exit status. The arguments are,
# for each command, the number of its words and the words.
answers=()
while [ $# -gt 0 ]; do
  exec {answer}< <("${@:2:$1}" 2>&1 </dev/null | base64 -w 0; echo " ${PIPESTATUS[0]}")
  answers+=("$answer")
  shift $(($1 + 1))
done
for answer in "${answers[@]}"; do
  cat <&"$answer"
done
