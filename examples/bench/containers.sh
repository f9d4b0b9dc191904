#!/usr/bin/env bash
# What scitq adds to a trivial container: the median of 20 runs of `docker run --rm` and of
# `scitq launch --wait --docker`, one after the other in turn.
#
# usage: examples/bench/containers.sh IMAGE
# Needs an engine that has the image, and a server with an agent that uses this engine.
set -euo pipefail
image=${1:?usage: examples/bench/containers.sh IMAGE}

# Prints the milliseconds that a command takes.
milliseconds() {
  local begin=$EPOCHREALTIME
  "$@" >/dev/null 2>&1
  local end=$EPOCHREALTIME
  echo $(((${end/[.,]/} - ${begin/[.,]/}) / 1000))
}

median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }

plain=() queued=()
for _ in {1..20}; do
  plain+=("$(milliseconds docker run --rm "$image" true)")
  queued+=("$(milliseconds scitq launch --wait --docker "$image" -- true)")
done
echo "docker run --rm: $(median "${plain[@]}") ms; scitq: $(median "${queued[@]}") ms"
