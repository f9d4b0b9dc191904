#!/usr/bin/env bash
# Quality control of sequencing reads with scitq, as one writes it for one's own data.
#
# For each of eight samples: clean the reads (fastp), drop those that come from the host
# (bowtie2, samtools), keep 150 pairs (seqtk). A last task waits for all samples and
# gathers a table, which is what this script prints.
#
# usage: run.sh FOLDER
#   FOLDER      made by make-reads.sh; results go to FOLDER/clean, nohost, sample, table
#   SCITQ_BIN   the scitq program, if it is not in the search path
# A server must be up, with a worker that sees FOLDER: for one machine,
#   scitq serve --with-agent
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=needs.sh
source "$here/needs.sh"

folder=$(cd "${1:?usage: run.sh FOLDER}" && pwd)
scitq=${SCITQ_BIN:-scitq}
need_pipeline_programs
need_scitq "$scitq"
if [[ ! -e $folder/reads/s8_2.fq.gz ]]; then
  echo "error: there are no reads in $folder/reads" >&2
  echo "hint: make them with $here/make-reads.sh $folder" >&2
  exit 78
fi

data=file://$folder
last=()
for s in s1 s2 s3 s4 s5 s6 s7 s8; do
  clean=$("$scitq" launch --name "clean-$s" --shell=bash --retry 1 --run-timeout 600 \
    --input "$data/reads/${s}_1.fq.gz" --input "$data/reads/${s}_2.fq.gz" \
    --output "$data/clean/" -- "
      fastp --thread 1 \
        --in1 \$INPUT/${s}_1.fq.gz --in2 \$INPUT/${s}_2.fq.gz \
        --out1 \$OUTPUT/$s.clean_1.fq.gz --out2 \$OUTPUT/$s.clean_2.fq.gz \
        --json \$OUTPUT/$s.json --html \$OUTPUT/$s.html")

  nohost=$("$scitq" launch --name "nohost-$s" --shell=bash --retry 1 --run-timeout 600 --after "$clean" \
    --input "$data/clean/$s.clean_1.fq.gz" --input "$data/clean/$s.clean_2.fq.gz" \
    --resource "$data/host/" --output "$data/nohost/" -- "
      set -o pipefail
      bowtie2 --threads 1 --seed 1 -x \$RESOURCE/host \
        -1 \$INPUT/$s.clean_1.fq.gz -2 \$INPUT/$s.clean_2.fq.gz |
      samtools fastq -n -f 12 -1 \$OUTPUT/$s.nohost_1.fq.gz -2 \$OUTPUT/$s.nohost_2.fq.gz \
        -0 /dev/null -s /dev/null -")

  sample=$("$scitq" launch --name "sample-$s" --shell=bash --retry 1 --run-timeout 600 --after "$nohost" \
    --input "$data/nohost/${s}.nohost_1.fq.gz" --input "$data/nohost/${s}.nohost_2.fq.gz" \
    --output "$data/sample/" -- "
      set -o pipefail
      for mate in 1 2; do
        seqtk sample -s 11 \$INPUT/$s.nohost_\$mate.fq.gz 150 | gzip -n >\$OUTPUT/$s.sample_\$mate.fq.gz
      done")
  last+=("$sample")
  echo "$s: tasks $clean, $nohost, $sample" >&2
done

# shellcheck disable=SC2016  # the worker's shell expands them
# With --follow, launch shows what the task writes, and ends with its exit code.
"$scitq" launch --name gather --shell=bash --follow --after "${last[*]}" \
  --input "$data/reads/" --input "$data/clean/" --input "$data/nohost/" --input "$data/sample/" \
  --input "file://$here/gather.sh" --output "$data/table/" -- \
  'set -o pipefail; bash $INPUT/gather.sh $INPUT | tee $OUTPUT/table.tsv'
