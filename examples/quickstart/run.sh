#!/usr/bin/env bash
# scitq in a minute: builds it, starts a server with a worker in a temporary folder, queues
# tasks, shows what they write while they run and what comes out, and cleans up.
#
# usage: run.sh
#   SCITQ_BIN   a scitq program to use instead of building one
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../.." && pwd)

if [[ -n ${SCITQ_BIN:-} ]]; then
  scitq=$(realpath "$SCITQ_BIN")
else
  if ! command -v cargo >/dev/null; then
    echo "error: there is no cargo; scitq is built with a Rust toolchain, as rustup installs it" >&2
    exit 78
  fi
  echo "== Building scitq (some minutes, the first time)"
  cargo build --release --locked --manifest-path "$project/Cargo.toml"
  scitq=${CARGO_TARGET_DIR:-$project/target}/release/scitq
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/scitq-quickstart.XXXXXX")
server=
tasks=()

# The processes that belong to this run: all have its folder in their environment.
own_processes() {
  grep -lF "$folder" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 || true
}

clean_up() {
  trap - EXIT
  trap '' INT TERM HUP
  if [[ -n $server ]]; then
    # Commands outlive the server and its worker, by design: end them first.
    for task in "${tasks[@]}"; do
      "$scitq" manage task cancel "$task" --yes >/dev/null 2>&1 </dev/null || true
    done
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    unset SCITQ_TOKEN_FILE # so that the programs below are not taken for such processes
    # Their supervisor leaves by itself when it has none left.
    for ((i = 0; i < 50; i++)); do
      [[ -n $(own_processes) ]] || break
      sleep 0.1
    done
    own_processes | xargs -r kill -KILL 2>/dev/null || true
  fi
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() { printf '\n== %s\n' "$*"; }

# Shows a command as one would type it.
show() {
  local word line="\$ scitq"
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=,-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
    line+=" $word"
  done
  printf '%s\n' "$line"
}

# Queues a task and remembers its id.
queue() {
  show launch "$@"
  tasks+=("$("$scitq" launch "$@" </dev/null)")
  echo "${tasks[-1]}"
}

# Queues a task and shows its output as it comes.
queue_and_follow() {
  show launch --follow "$@"
  "$scitq" launch --follow "$@" </dev/null
}

say "Starting a server with a worker of two slots"
show serve --with-agent=2 --listen 127.0.0.1:0 --data "$folder/data"
# In a session of its own, so that Ctrl-C comes to this script alone.
SCITQ_QUICKSTART=$folder setsid "$scitq" serve --with-agent=2 --listen 127.0.0.1:0 \
  --data "$folder/data" >"$folder/server.log" 2>&1 </dev/null &
server=$!
until [[ -s $folder/data/server.json ]]; do
  if ! kill -0 "$server" 2>/dev/null; then
    echo "error: the server did not start:" >&2
    cat "$folder/server.log" >&2
    exit 1
  fi
  sleep 0.05
done
SCITQ_SERVER=$(sed -n 's/.*"address" *: *"\([^"]*\)".*/\1/p' "$folder/data/server.json")
export SCITQ_SERVER SCITQ_TOKEN_FILE="$folder/data/admin.token"
"$scitq" manage server status

say "Queueing four tasks; each estimates pi from random points and leaves a file"
cp "$here/pi.awk" "$here/mean.sh" "$folder"
# $INPUT and $OUTPUT are folders that the worker makes for each task.
for part in 1 2 3 4; do
  queue --name "pi-$part" --input "file://$folder/pi.awk" --output "file://$folder/parts/" \
    --shell "awk -v seed=$part -f \$INPUT/pi.awk >\$OUTPUT/part-$part"
done

say "Queueing one that waits for the four, and following what it writes while it runs"
queue_and_follow --name mean --after "${tasks[*]}" \
  --input "file://$folder/parts/" --input "file://$folder/mean.sh" --output "file://$folder/result/" \
  --shell "sh \$INPUT/mean.sh \$INPUT \$OUTPUT/pi.txt"

say "What was done, and what came out"
show manage task list
"$scitq" manage task list
echo "\$ cat $folder/result/pi.txt"
cat "$folder/result/pi.txt"

say "That is all: the server and its files are removed now. To go on"
cat <<TXT
$scitq serve --with-agent
    a server with a worker, in a terminal of its own; then, in another one:
$scitq launch --follow -- COMMAND
    queues a command and shows what it writes
$scitq manage task list
    what became of it
$scitq --help, README.md, examples/qc/README.md
    all the rest
TXT
