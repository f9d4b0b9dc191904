#!/usr/bin/env bash
# Prints a table over all samples: pairs of reads after each stage, and the length of what is left.
# usage: gather.sh FOLDER   (a folder with s1_1.fq.gz, s1.clean_1.fq.gz, s1.nohost_1.fq.gz, s1.sample_1.fq.gz, …)
set -euo pipefail

folder=${1:?usage: gather.sh FOLDER}

# The read pairs of a FASTQ file, and the mean length of the first mates.
measure() {
  gzip -dc "$1" | awk 'NR % 4 == 2 { reads++; bases += length($0) }
    END { printf "%d %.1f\n", reads, (reads ? bases / reads : 0) }'
}

printf 'sample\traw\tclean\tnohost\tsampled\tmean_length\n'
find "$folder" -name 's*.sample_1.fq.gz' | sort | while read -r sampled; do
  sample=$(basename "$sampled" .sample_1.fq.gz)
  read -r raw _ < <(measure "$(find "$folder" -name "${sample}_1.fq.gz")")
  read -r clean _ < <(measure "$(find "$folder" -name "$sample.clean_1.fq.gz")")
  read -r nohost _ < <(measure "$(find "$folder" -name "$sample.nohost_1.fq.gz")")
  read -r kept length < <(measure "$sampled")
  printf '%s\t%d\t%d\t%d\t%d\t%s\n' "$sample" "$raw" "$clean" "$nohost" "$kept" "$length"
done
