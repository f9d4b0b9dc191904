#!/usr/bin/env bash
# Makes a container image with the programs of the pipeline, out of those that are
# installed on this machine: no registry is asked. With images of your own you need
# no such thing: name them in run-in-containers.sh.
#
# usage: make-image.sh IMAGE   (the engine is the one that `docker` talks to)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=needs.sh
source "$here/needs.sh"

image=${1:?usage: make-image.sh IMAGE}
need_pipeline_programs
need_programs docker:docker.io

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
mkdir -p "$root/usr/bin" "$root/etc" "$root/tmp"
ln -s usr/bin "$root/bin"
echo 'root:x:0:0:root:/:/bin/bash' >"$root/etc/passwd"

# Name in the image, and the program that it is. `bowtie2` itself is a Perl script
# around its aligner, which does what the pipeline needs.
programs=(bash:bash sh:bash awk:awk bowtie2:bowtie2-align-s)
for name in basename cat fastp find gzip samtools seqtk sort tee; do programs+=("$name:$name"); done
paths=()
for pair in "${programs[@]}"; do
  path=$(command -v "${pair#*:}")
  cp -L "$path" "$root/usr/bin/${pair%%:*}"
  paths+=("$path")
done

# What they are linked to, at its place.
ldd "${paths[@]}" | grep -o '/[^ ]*\.so[^ ]*' | sort -u | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
tar -C "$root" -c . | docker import - "$image" >/dev/null
