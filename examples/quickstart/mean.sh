#!/bin/sh
# Prints the estimates one by one and leaves their mean: sh mean.sh FOLDER RESULT
for part in "$1"/part-*; do
  echo "$(date +%T) ${part##*/}: pi is about $(cat "$part")"
  sleep 0.3 # so that one sees the lines come
done
cat "$1"/part-* | awk '{ sum += $1 } END { printf "pi is about %.5f\n", sum / NR }' >"$2"
