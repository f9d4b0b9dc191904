# Says what the examples in this folder lack, and installs nothing. To be sourced.
# shellcheck shell=bash

# Exits with 78 and one line for each missing program, with its Debian package.
need_programs() {
  local missing=() package pair
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("$pair")
  done
  ((${#missing[@]} == 0)) && return
  for pair in "${missing[@]}"; do
    echo "error: the program ${pair%%:*} is missing (Debian package ${pair#*:})" >&2
  done
  package=$(printf '%s\n' "${missing[@]#*:}" | sort -u | tr '\n' ' ')
  echo "hint: apt-get install ${package% }" >&2
  exit 78
}

# The programs of the pipeline itself: a worker needs them as well.
need_pipeline_programs() {
  need_programs fastp:fastp bowtie2:bowtie2 bowtie2-build:bowtie2 samtools:samtools seqtk:seqtk
}

# Exits when the given scitq program is not there or reaches no server.
need_scitq() {
  if ! command -v "$1" >/dev/null; then
    echo "error: there is no program $1" >&2
    echo "hint: cargo install --path . in scitq's source, or name the program in SCITQ_BIN" >&2
    exit 78
  fi
  if ! "$1" manage server status >/dev/null; then
    echo "hint: a server with a worker on this machine: $1 serve --with-agent" >&2
    exit 69
  fi
}
