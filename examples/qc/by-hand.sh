#!/usr/bin/env bash
# The same pipeline as run.sh by hand, one command after the other, without scitq.
# A test compares what comes out of both.
# usage: by-hand.sh FOLDER   (as made by make-reads.sh; results go to FOLDER/by-hand)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=needs.sh
source "$here/needs.sh"

folder=$(cd "${1:?usage: by-hand.sh FOLDER}" && pwd)
out=$folder/by-hand
need_pipeline_programs
mkdir -p "$out"

for s in s1 s2 s3 s4 s5 s6 s7 s8; do
  fastp --thread 1 \
    --in1 "$folder/reads/${s}_1.fq.gz" --in2 "$folder/reads/${s}_2.fq.gz" \
    --out1 "$out/$s.clean_1.fq.gz" --out2 "$out/$s.clean_2.fq.gz" \
    --json "$out/$s.json" --html "$out/$s.html" 2>"$out/$s.fastp.log"
  bowtie2 --threads 1 --seed 1 -x "$folder/host/host" \
    -1 "$out/$s.clean_1.fq.gz" -2 "$out/$s.clean_2.fq.gz" 2>"$out/$s.bowtie2.log" |
    samtools fastq -n -f 12 -1 "$out/$s.nohost_1.fq.gz" -2 "$out/$s.nohost_2.fq.gz" \
      -0 /dev/null -s /dev/null - 2>"$out/$s.samtools.log"
  for mate in 1 2; do
    seqtk sample -s 11 "$out/$s.nohost_$mate.fq.gz" 150 | gzip -n >"$out/$s.sample_$mate.fq.gz"
  done
done
cp "$folder/reads/"*.fq.gz "$out"
bash "$here/gather.sh" "$out" | tee "$out/table.tsv"
