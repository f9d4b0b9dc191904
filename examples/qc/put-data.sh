#!/usr/bin/env bash
# Puts the input of the example where all workers can get it: the reads, the index of the
# host as one archive, and the script that gathers the table.
#
# usage: put-data.sh FOLDER STORE
#   FOLDER     made by make-reads.sh
#   STORE      an address with a final slash, like s3://bucket/qc/ or that of a remote of
#              your site, like store://bucket/qc/
#   SCITQ_BIN  the scitq program, if it is not in the search path
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(cd "${1:?usage: put-data.sh FOLDER STORE}" && pwd)
store=${2:?usage: put-data.sh FOLDER STORE}
scitq=${SCITQ_BIN:-scitq}
if [[ ! -e $folder/reads/s8_2.fq.gz ]]; then
  echo "error: there are no reads in $folder/reads" >&2
  echo "hint: make them with $here/make-reads.sh $folder" >&2
  exit 78
fi

tar -C "$folder/host" -czf "$folder/host.tar.gz" .
"$scitq" manage file copy "$folder/reads/" "${store}reads/"
"$scitq" manage file copy "$folder/host.tar.gz" "$store"
"$scitq" manage file copy "$here/gather.sh" "$store"
