#!/usr/bin/env bash
# How fast data moves, beside rclone with as many files at a time: 2,000 files of 100 KB and 4 files
# of 1 GiB, from and to S3 (SeaweedFS, installed by tests/peers) and between folders. Prints a table
# with seconds, seconds of processor time, and the most memory that was taken.
#   cargo build --release && examples/bench/storage.sh
# SMALL, LARGE and LARGE_MIB make it shorter. Needs 20 GiB of disk as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scitq=${SCITQ:-$PWD/target/release/scitq}
weed=$PWD/target/peers/python/bin/weed
small=${SMALL:-2000} large=${LARGE:-4} mib=${LARGE_MIB:-1024} parallel=${PARALLEL:-16}
for program in "$scitq" "$weed"; do
  [[ -x $program ]] || { echo "there is no $program" >&2; exit 1; }
done
command -v rclone >/dev/null || { echo "rclone is not installed" >&2; exit 1; }

place=$(mktemp -d)
trap 'kill -9 $server 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$place"' EXIT
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# SeaweedFS listens on each port plus 10,000 too.
port() { local p; until p=$(free) && ((p < 55000)); do :; done; echo "$p"; }
master=$(port) volume=$(port) filer=$(port) s3=$(port)
mkdir "$place/weed"
cat >"$place/weed/s3.json" <<'JSON'
{"identities":[{"name":"scitq","credentials":[{"accessKey":"AK","secretKey":"SECRETKEY12345"}],"actions":["Admin","Read","Write","List"]}]}
JSON
"$weed" server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir="$place/weed" -master.port="$master" -volume.port="$volume" \
  -filer -filer.port="$filer" -s3 -s3.port="$s3" -s3.config="$place/weed/s3.json" -volume.max=40 \
  -master.volumeSizeLimitMB=1024 -master.telemetry=false -s3.port.iceberg=0 -s3.port.lance=0 \
  -filer.localSocket="$place/filer.sock" -s3.localSocket="$place/s3.sock" >"$place/weed.log" 2>&1 &
server=$!
until curl -sf -m 5 -o /dev/null -X POST "http://127.0.0.1:$filer/buckets/bucket/"; do sleep 0.2; done
until curl -s -m 5 -o /dev/null "http://127.0.0.1:$s3/"; do sleep 0.2; done
cat >"$place/rclone.conf" <<CONF
[store]
type = s3
provider = Other
access_key_id = AK
secret_access_key = SECRETKEY12345
endpoint = http://127.0.0.1:$s3
CONF
export RCLONE_CONFIG=$place/rclone.conf
# Old versions of rclone fail where this is set.
unset AWS_CA_BUNDLE

mkdir "$place/small" "$place/large"
python3 - "$place" "$small" "$large" "$mib" <<'PY'
import os, sys
place, small, large, mib = sys.argv[1], *map(int, sys.argv[2:])
for number in range(small):
    with open(f"{place}/small/{number:05}", "wb") as file:
        file.write(os.urandom(100_000))
for number in range(large):
    with open(f"{place}/large/{number}", "wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
PY

# One row: what, then the two commands. The caches of the disk are as warm for the one as for the other.
measure() {
  /usr/bin/env python3 - "$@" <<'PY'
import os, subprocess, sys, time
start = time.monotonic()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
said = process.stderr.read()
_, status, usage = os.wait4(process.pid, 0)
if status:
    sys.exit(said.decode(errors="replace"))
print(f"{time.monotonic() - start:.1f} {usage.ru_utime + usage.ru_stime:.1f} {usage.ru_maxrss // 1024}")
PY
}
row() {
  local what=$1 from=$2 to=$3 back=$4 ours theirs
  ours=$(measure "$scitq" manage file copy "$from" "$to")
  theirs=$(measure rclone copy --transfers "$parallel" --checkers "$parallel" "${back%%>*}" "${back##*>}")
  read -r our_time our_cpu our_memory <<<"$ours"
  read -r their_time their_cpu their_memory <<<"$theirs"
  printf '| %-28s | %8s | %8s | %8s | %8s | %8s | %8s |\n' "$what" "$our_time" "$their_time" "$our_cpu" "$their_cpu" "$our_memory" "$their_memory"
}
echo "| data                         | scitq, s | rclone,s | cpu, s   | rclone   | MiB      | rclone   |"
echo "|------------------------------|----------|----------|----------|----------|----------|----------|"
for size in small large; do
  count=${!size}
  row "$count $size files to S3" "$place/$size/" "store://bucket/scitq/$size/" "$place/$size>store:bucket/rclone/$size"
  row "$count $size files from S3" "store://bucket/scitq/$size/" "$place/scitq/$size/" "store:bucket/rclone/$size>$place/rclone/$size"
  rm -rf "$place/scitq" "$place/rclone"
  row "$count $size files, local" "$place/$size/" "$place/scitq/$size/" "$place/$size>$place/rclone/$size"
  rm -rf "$place/scitq" "$place/rclone"
done
