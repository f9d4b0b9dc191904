#!/usr/bin/env bash
# The pipeline of run.sh for workers that share no disk: reads and results are in a store,
# the host's index is a resource that each worker fetches and unpacks once, and the
# programs come in a container image.
#
# usage: run-in-containers.sh STORE IMAGE
#   STORE      filled by put-data.sh; results go to STORE/clean, nohost, sample, table
#   IMAGE      an image with the programs: that of make-image.sh, or your own
#   SCITQ_BIN  the scitq program, if it is not in the search path
# A server must be up, with workers that have a container engine and reach STORE.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=needs.sh
source "$here/needs.sh"

store=${1:?usage: run-in-containers.sh STORE IMAGE}
image=${2:?usage: run-in-containers.sh STORE IMAGE}
scitq=${SCITQ_BIN:-scitq}
need_scitq "$scitq"

task=(--docker "$image" --shell=bash --retry 1 --run-timeout 600)
last=()
for s in s1 s2 s3 s4 s5 s6 s7 s8; do
  clean=$("$scitq" launch --name "clean-$s" "${task[@]}" \
    --input "${store}reads/${s}_1.fq.gz" --input "${store}reads/${s}_2.fq.gz" \
    --output "${store}clean/" -- "
      fastp --thread 1 \
        --in1 \$INPUT/${s}_1.fq.gz --in2 \$INPUT/${s}_2.fq.gz \
        --out1 \$OUTPUT/$s.clean_1.fq.gz --out2 \$OUTPUT/$s.clean_2.fq.gz \
        --json \$OUTPUT/$s.json --html \$OUTPUT/$s.html")

  nohost=$("$scitq" launch --name "nohost-$s" "${task[@]}" --after "$clean" \
    --input "${store}clean/$s.clean_1.fq.gz" --input "${store}clean/$s.clean_2.fq.gz" \
    --resource "${store}host.tar.gz|untar" --output "${store}nohost/" -- "
      set -o pipefail
      bowtie2 --threads 1 --seed 1 -x \$RESOURCE/host \
        -1 \$INPUT/$s.clean_1.fq.gz -2 \$INPUT/$s.clean_2.fq.gz |
      samtools fastq -n -f 12 -1 \$OUTPUT/$s.nohost_1.fq.gz -2 \$OUTPUT/$s.nohost_2.fq.gz \
        -0 /dev/null -s /dev/null -")

  sample=$("$scitq" launch --name "sample-$s" "${task[@]}" --after "$nohost" \
    --input "${store}nohost/${s}.nohost_1.fq.gz" --input "${store}nohost/${s}.nohost_2.fq.gz" \
    --output "${store}sample/" -- "
      set -o pipefail
      for mate in 1 2; do
        seqtk sample -s 11 \$INPUT/$s.nohost_\$mate.fq.gz 150 | gzip -n >\$OUTPUT/$s.sample_\$mate.fq.gz
      done")
  last+=("$sample")
  echo "$s: tasks $clean, $nohost, $sample" >&2
done

# shellcheck disable=SC2016  # the worker's shell expands them
"$scitq" launch --name gather "${task[@]}" --follow --after "${last[*]}" \
  --input "${store}reads/" --input "${store}clean/" --input "${store}nohost/" --input "${store}sample/" \
  --input "${store}gather.sh" --output "${store}table/" -- \
  'set -o pipefail; bash $INPUT/gather.sh $INPUT | tee $OUTPUT/table.tsv'
