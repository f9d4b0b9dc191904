
# --- What the steps share ------------------------------------------------------------

STEP=start
say() { printf '%s\n' "$*"; }
step() {
  STEP=$2
  say "== $1 $2"
}
skip() { say "   skipped: $*"; }
note() { say "   $*"; }
# The exit code says what kind of failure it is: 28 no room, 69 the head cannot be
# reached, 77 not allowed, 1 anything else.
fail() {
  code=$1
  shift
  say "error: $*" >&2
  exit "$code"
}
on_exit() {
  code=$?
  if [ "$code" -ne 0 ]; then
    say "error: the step \"$STEP\" ended with $code; run the script again, it goes on from there" >&2
  fi
}
trap on_exit EXIT

is_root() { [ "$(id -u)" -eq 0 ]; }
has() { command -v "$1" >/dev/null 2>&1; }
has_systemd() { [ "$SERVICE" != detached ] && [ -d /run/systemd/system ] && has systemctl && is_root; }

# Installs Debian packages that are missing. Other installations may be under way on a
# machine that has just started.
install_packages() {
  missing=
  for package in "$@"; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
      missing="$missing $package"
    fi
  done
  [ -n "$missing" ] || return 0
  has apt-get || fail 1 "there is no apt-get to install$missing with: choose an image that has them"
  note "installing$missing"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null >/dev/null \
    && apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing \
      </dev/null >/dev/null || fail 1 "cannot install$missing"
}

# Puts standard input into a file, if it says something else than the file; mode first.
# Succeeds when the file was changed.
write_if_changed() {
  umask_before=$(umask)
  umask 077
  cat >"$2.new"
  umask "$umask_before"
  if [ -e "$2" ] && cmp -s "$2" "$2.new"; then
    rm -f "$2.new"
    return 1
  fi
  chmod "$1" "$2.new"
  mv -f "$2.new" "$2"
}

in_fstab() { awk -v place="$1" '$1 !~ /^#/ && $2 == place { found = 1 } END { exit !found }' /etc/fstab; }
add_to_fstab() { in_fstab "$2" || printf '%s %s %s %s 0 0\n' "$1" "$2" "$3" "$4" >>/etc/fstab; }

# --- The machine ---------------------------------------------------------------------

# NVMe disks that nothing uses: no partition, no file system, not part of anything.
free_nvme_disks() {
  has lsblk || return 0
  lsblk -dnpo NAME,TYPE | awk '$2 == "disk" && $1 ~ /nvme/ { print $1 }' | while read -r disk; do
    used=$(lsblk -npo NAME,FSTYPE,MOUNTPOINT "$disk" | awk 'NR > 1 || NF > 1')
    [ -n "$used" ] || say "$disk"
  done
}

# Where there is most room among the disks that are mounted.
roomiest_mount() {
  df -PkT 2>/dev/null | awk '
    NR > 1 && $2 ~ /^(ext[234]|xfs|btrfs|zfs|f2fs|overlay)$/ && $7 !~ /^\/boot/ && $5 > most {
      most = $5; place = $7
    }
    END { print place }'
}

prepare_scratch() {
  step 10 "scratch space"
  if mountpoint -q /scratch; then
    skip "/scratch is mounted"
    return
  fi
  disks=$(free_nvme_disks)
  # shellcheck disable=SC2086
  set -- $disks
  if [ $# -eq 0 ]; then
    scratch_on_a_mount
    return
  fi
  if [ $# -eq 1 ]; then
    device=$1
    note "one NVMe disk: $device"
  else
    device=/dev/md/scratch
    note "$# NVMe disks become one: $*"
    has mdadm || install_packages mdadm
    [ -e "$device" ] || mdadm --create "$device" --level=0 --raid-devices=$# --run --quiet "$@"
  fi
  has mkfs.xfs || install_packages xfsprogs
  # Without -f it refuses a disk on which there is something.
  mkfs.xfs -q "$device"
  mkdir -p /scratch
  uuid=$(blkid -s UUID -o value "$device")
  add_to_fstab "UUID=$uuid" /scratch xfs defaults,nofail
  mount "$device" /scratch
  chmod 1777 /scratch
}

scratch_on_a_mount() {
  if [ -e /scratch ]; then
    skip "/scratch is there, and no free NVMe disk"
    return
  fi
  place=$(roomiest_mount)
  if [ -z "$place" ] || [ "$place" = / ]; then
    note "no free NVMe disk: /scratch is a folder"
    mkdir -p /scratch
  else
    note "no free NVMe disk: /scratch is on $place, which has most room"
    mkdir -p /scratch "$place/scratch"
    add_to_fstab "$place/scratch" /scratch none bind,nofail
    mount --bind "$place/scratch" /scratch
  fi
  chmod 1777 /scratch
}

prepare_swap() {
  step 20 "swap"
  file=/scratch/swapfile
  if grep -qs "^$file " /proc/swaps; then
    skip "$file is in use"
    return
  fi
  [ -d /scratch ] || mkdir -p /scratch
  if ! [ -e "$file" ]; then
    room=$(df -Pk /scratch | awk 'NR == 2 { print $4 }')
    megabytes=$(awk -v room="$room" -v share="$SWAP_SHARE" 'BEGIN { printf "%d", room * share / 1024 }')
    if [ "$megabytes" -lt 64 ]; then
      skip "there is too little room on /scratch"
      return
    fi
    note "$megabytes MiB in $file"
    umask_before=$(umask)
    umask 077
    # Holes are not allowed in it, and not every file system can allocate without writing.
    fallocate -l "${megabytes}M" "$file" 2>/dev/null \
      || dd if=/dev/zero of="$file" bs=1M count="$megabytes" 2>/dev/null \
      || { rm -f "$file"; fail 28 "there is no room for $megabytes MiB in $file"; }
    umask "$umask_before"
    mkswap "$file" >/dev/null
  fi
  swapon "$file"
  add_to_fstab "$file" none swap sw,nofail
  printf 'vm.swappiness = 1\n' | write_if_changed 644 /etc/sysctl.d/60-scitq.conf || true
  sysctl -q -w vm.swappiness=1 || note "swappiness stays as it is"
}

prepare_engine() {
  step 35 "container engine"
  if has podman && ! has dockerd; then
    skip "podman is there"
    return
  fi
  mkdir -p /etc/docker
  changed=
  if [ -e /etc/docker/daemon.json ]; then
    note "/etc/docker/daemon.json is there and stays as it is"
  else
    folder=/scratch/docker
    [ -d /scratch ] || folder=/var/lib/docker
    registries=
    for registry in $INSECURE_REGISTRIES; do
      registries="$registries${registries:+, }\"$registry\""
    done
    note "its data is in $folder"
    printf '{\n  "data-root": "%s",\n  "insecure-registries": [%s]\n}\n' "$folder" "$registries" \
      | write_if_changed 644 /etc/docker/daemon.json && changed=yes
  fi
  if has dockerd; then
    note "it is installed"
  else
    # Configured before it is started for the first time.
    install_packages docker.io
    changed=
  fi
  if has_systemd; then
    systemctl -q enable docker
    if [ -n "$changed" ]; then systemctl restart docker; else systemctl start docker; fi
  else
    note "there is no systemd to start it"
  fi
}

prepare_registries() {
  step 50 "registry logins"
  if ! [ -e "$REGISTRY_LOGINS" ]; then
    skip "no $REGISTRY_LOGINS"
    return
  fi
  mkdir -p ~root/.docker
  chmod 700 ~root/.docker
  if write_if_changed 600 ~root/.docker/config.json <"$REGISTRY_LOGINS"; then
    note "written to ~root/.docker/config.json"
  else
    skip "they are there"
  fi
}

prepare_nfs() {
  step 55 "shared disk"
  if mountpoint -q /data; then
    skip "/data is mounted"
    return
  fi
  has mount.nfs || install_packages nfs-common
  mkdir -p /data
  add_to_fstab "$NFS" /data nfs defaults,nofail,_netdev
  mount /data || fail 1 "cannot mount $NFS on /data: see what that server exports to this machine"
}

prepare_nvidia() {
  step 60 "NVIDIA runtime"
  if ! grep -qsx 0x10de /sys/bus/pci/devices/*/vendor; then
    skip "no NVIDIA device"
    return
  fi
  has nvidia-smi || fail 1 "the NVIDIA driver is missing: choose an image that has it"
  if docker info 2>/dev/null | grep -q 'Runtimes:.*nvidia'; then
    skip "containers have it"
    return
  fi
  has nvidia-ctk || install_packages nvidia-container-toolkit
  nvidia-ctk runtime configure --runtime=docker
  if has_systemd; then systemctl restart docker; fi
}

prepare_machine() {
  if ! is_root; then
    step 10 "the machine"
    skip "only root prepares a machine"
    return
  fi
  [ -z "$SCRATCH" ] || prepare_scratch
  [ -z "$SWAP_SHARE" ] || prepare_swap
  [ -z "$ENGINE" ] || prepare_engine
  [ -z "$REGISTRY_LOGINS" ] || prepare_registries
  [ -z "$NFS" ] || prepare_nfs
  [ -z "$NVIDIA" ] || prepare_nvidia
}
