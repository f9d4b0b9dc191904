#!/usr/bin/env bash
# Makes the input of the example in a folder:
#   reads/s1_1.fq.gz … reads/s8_2.fq.gz   eight samples of read pairs
#   host/host.*.bt2                       the index of the host's genome
#
# The host is the phage lambda. The reads that Debian's bowtie2-examples carries were
# drawn from it, with sequencing errors; they are dealt out to the eight samples. So that
# something stays when the host is removed, sample k also gets 100·k read pairs of a
# guest, a genome made up by a generator with a fixed seed. All is the same at each run.
#
# usage: make-reads.sh FOLDER
#   BOWTIE2_EXAMPLES  where the package's files lie, if not where Debian puts them
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=needs.sh
source "$here/needs.sh"

folder=${1:?usage: make-reads.sh FOLDER}
examples=${BOWTIE2_EXAMPLES:-/usr/share/doc/bowtie2/examples}

need_pipeline_programs
for file in reads/reads_1.fq.gz reads/reads_2.fq.gz reference/lambda_virus.fa.gz; do
  if [[ ! -r $examples/$file ]]; then
    echo "error: cannot read $examples/$file (Debian package bowtie2-examples)" >&2
    echo "hint: apt-get install bowtie2-examples; if it is installed, this system leaves out" >&2
    echo "      documentation files: unpack the package and name the folder in BOWTIE2_EXAMPLES" >&2
    exit 78
  fi
done

mkdir -p "$folder/reads" "$folder/host"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The host.
zcat "$examples/reference/lambda_virus.fa.gz" >"$scratch/lambda.fa"
bowtie2-build --quiet --threads 1 --seed 1 "$scratch/lambda.fa" "$folder/host/host"

# The guest: 3,600 pairs of 100 bases each from fragments of 300, with an error in
# a hundred bases and qualities that fall along the read, as sequencers have it.
# The generator is that of Park and Miller: exact in any awk, unlike rand().
awk -v scratch="$scratch" '
  function draw(n) { seed = (seed * 16807) % 2147483647; return seed % n }
  function other(base) { return substr("ACGT", (index("ACGT", base) + draw(3)) % 4 + 1, 1) }
  function read(text,   i, bases, base) {
    bases = ""
    for (i = 1; i <= length(text); i++) {
      base = substr(text, i, 1)
      bases = bases (draw(100) == 0 ? other(base) : base)
    }
    return bases
  }
  function reverse(text,   i, bases) {
    bases = ""
    for (i = length(text); i > 0; i--) bases = bases complement[substr(text, i, 1)]
    return bases
  }
  BEGIN {
    seed = 20240229
    complement["A"] = "T"; complement["C"] = "G"; complement["G"] = "C"; complement["T"] = "A"
    for (i = 0; i < 40000; i++) genome = genome substr("ACGT", draw(4) + 1, 1)
    for (i = 0; i < 100; i++) quality = quality sprintf("%c", 33 + 40 - int(i / 4))
    for (k = 1; k <= 8; k++) for (i = 1; i <= 100 * k; i++) {
      fragment = substr(genome, draw(40000 - 300) + 1, 300)
      name = "@guest" k "." i
      printf "%s\n%s\n+\n%s\n", name, read(substr(fragment, 1, 100)), quality >(scratch "/guest" k "_1.fq")
      printf "%s\n%s\n+\n%s\n", name, read(reverse(substr(fragment, 201))), quality >(scratch "/guest" k "_2.fq")
    }
  }'

# Pair i of the package goes to sample i mod 8 + 1.
for mate in 1 2; do
  zcat "$examples/reads/reads_$mate.fq.gz" | awk -v scratch="$scratch" -v mate="$mate" \
    '{ print >(scratch "/host" (int((NR - 1) / 4) % 8 + 1) "_" mate ".fq") }'
  for sample in 1 2 3 4 5 6 7 8; do
    cat "$scratch/host${sample}_$mate.fq" "$scratch/guest${sample}_$mate.fq" |
      gzip -n >"$folder/reads/s${sample}_$mate.fq.gz"
  done
done
