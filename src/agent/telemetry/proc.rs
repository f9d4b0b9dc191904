//! Parsers of the kernel's text files. Lines that make no sense are passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// `/proc/diskstats` counts in these units whatever the disk's own sectors
/// are (Linux: `Documentation/admin-guide/iostats.rst`).
const SECTOR_BYTES: u64 = 512;

/// Mounts of no use to a task: boot loaders, package images, and the single
/// files that container engines mount.
const SYSTEM_MOUNTS: [&str; 3] = ["/boot", "/snap", "/etc"];

/// File systems that have a name under `/dev` as their source and are no
/// local, writable disk: images that are always full, and remote disks.
const NO_LOCAL_DISKS: [&str; 7] =
    ["squashfs", "iso9660", "udf", "erofs", "devtmpfs", "gpfs", "lustre"];

/// CPU time of all cores since the machine started, in clock ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CpuTimes {
    /// User mode, niced processes and guests included.
    pub user: u64,
    pub iowait: u64,
    /// Everything, idle time included.
    pub total: u64,
}

/// Bytes that went into and out of one device since it appeared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flow {
    /// Read from a disk, or received from a network.
    pub incoming: u64,
    /// Written to a disk, or sent to a network.
    pub outgoing: u64,
}

/// Main memory of the machine, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryInfo {
    pub total: u64,
    /// What a new program could have without swapping.
    pub available: u64,
}

/// A line of `/proc/self/mounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub source: String,
    pub point: PathBuf,
    pub file_system: String,
}

/// The first line of `/proc/stat`. Guests are part of user time already.
pub(super) fn parse_cpu_times(stat: &str) -> Option<CpuTimes> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().map_while(|tick| tick.parse().ok()).collect();
    let [user, nice, _system, _idle, iowait, ..] = ticks[..] else { return None };
    Some(CpuTimes { user: user.saturating_add(nice), iowait, total: ticks.iter().take(8).sum() })
}

/// `/proc/meminfo`. Kernels before 3.14 do not say what is available: free
/// memory and caches come close.
pub(super) fn parse_memory(meminfo: &str) -> Option<MemoryInfo> {
    let field = |name: &str| -> Option<u64> {
        let rest = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kibibytes: u64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
        Some(kibibytes.saturating_mul(1024))
    };
    let total = field("MemTotal")?;
    let available = field("MemAvailable").or_else(|| {
        Some(field("MemFree")? + field("Buffers").unwrap_or(0) + field("Cached").unwrap_or(0))
    })?;
    Some(MemoryInfo { total, available: available.min(total) })
}

/// `/proc/loadavg`: means over 1, 5 and 15 minutes.
pub(super) fn parse_load(loadavg: &str) -> Option<[f64; 3]> {
    let mut numbers = loadavg.split_ascii_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next()?])
}

/// `/proc/diskstats`, bytes by device. `is_whole_disk` leaves out partitions
/// and devices that lie on others, which would count twice.
pub(super) fn parse_disk_flows(
    diskstats: &str,
    is_whole_disk: impl Fn(&str) -> bool,
) -> BTreeMap<String, Flow> {
    let parse_line = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let name = *fields.get(2)?;
        let sectors = |column: usize| fields.get(column)?.parse::<u64>().ok();
        let flow = Flow {
            incoming: sectors(5)?.saturating_mul(SECTOR_BYTES),
            outgoing: sectors(9)?.saturating_mul(SECTOR_BYTES),
        };
        is_whole_disk(name).then(|| (name.to_owned(), flow))
    };
    diskstats.lines().filter_map(parse_line).collect()
}

/// `/proc/net/dev`, bytes by interface. Of a machine's interfaces those with
/// hardware behind them count, since bridges, bonds and tunnels carry the same
/// bytes again. In a container none has any: then all but `lo` count.
pub(super) fn parse_network_flows(
    net_dev: &str,
    has_hardware: impl Fn(&str) -> bool,
) -> BTreeMap<String, Flow> {
    let parse_line = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let fields: Vec<u64> =
            counters.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
        let flow = Flow { incoming: *fields.first()?, outgoing: *fields.get(8)? };
        Some((name.trim().to_owned(), flow))
    };
    let mut flows: BTreeMap<String, Flow> =
        net_dev.lines().filter_map(parse_line).filter(|(name, _)| name != "lo").collect();
    let hardware: BTreeSet<String> =
        flows.keys().filter(|name| has_hardware(name)).cloned().collect();
    if !hardware.is_empty() {
        flows.retain(|name, _| hardware.contains(name));
    }
    flows
}

/// `/proc/self/mounts`, in its order.
pub(super) fn parse_mounts(mounts: &str) -> Vec<Mount> {
    let parse_line = |line: &str| {
        let mut fields = line.split(' ');
        Some(Mount {
            source: fields.next()?.to_owned(),
            point: PathBuf::from(OsString::from_vec(unescape_octal(fields.next()?.as_bytes()))),
            file_system: fields.next()?.to_owned(),
        })
    };
    mounts.lines().filter_map(parse_line).collect()
}

/// The mounts to show: local disks, each once, at the shortest of its mount
/// points. No other mount is ever touched, so that a dead network server
/// cannot hold up a heartbeat.
pub(super) fn select_disks(mounts: &[Mount]) -> Vec<&Mount> {
    let mut by_device: BTreeMap<&str, &Mount> = BTreeMap::new();
    for mount in mounts.iter().filter(|mount| is_local_disk(mount)) {
        let shown = by_device.entry(device_of(mount)).or_insert(mount);
        if mount.point.as_os_str().len() < shown.point.as_os_str().len() {
            *shown = mount;
        }
    }
    by_device.into_values().collect()
}

/// The mount on which `path` (absolute, without links) lies.
pub(super) fn find_mount<'a>(mounts: &'a [Mount], path: &std::path::Path) -> Option<&'a Mount> {
    // Of two mounts on one point the later one covers the earlier one.
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.as_os_str().len())
}

/// Whether asking for its free space stays on this machine, also where it is
/// no disk of its own: the layers of a container, or a memory disk.
pub(super) fn is_local(mount: &Mount) -> bool {
    is_local_disk(mount) || matches!(mount.file_system.as_str(), "overlay" | "tmpfs" | "aufs")
}

fn is_local_disk(mount: &Mount) -> bool {
    let is_system = SYSTEM_MOUNTS.iter().any(|point| mount.point.starts_with(point));
    let is_device = mount.source.starts_with("/dev/") && !mount.source.starts_with("/dev/loop");
    let file_system = mount.file_system.as_str();
    let is_remote_or_image =
        NO_LOCAL_DISKS.contains(&file_system) || file_system.starts_with("fuse.");
    !is_system && (file_system == "zfs" || (is_device && !is_remote_or_image))
}

/// What the free space belongs to: all datasets of a ZFS pool share it.
fn device_of(mount: &Mount) -> &str {
    match mount.source.split_once('/') {
        Some((pool, _)) if mount.file_system == "zfs" => pool,
        _ => &mount.source,
    }
}

/// Spaces, tabs, newlines and backslashes in mount points are written as `\040`.
fn unescape_octal(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'\\'
            && let Some((digits, after)) = tail.split_first_chunk::<3>()
            && let Some(value) = parse_octal(*digits)
        {
            bytes.push(value);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    bytes
}

fn parse_octal(digits: [u8; 3]) -> Option<u8> {
    std::str::from_utf8(&digits).ok().and_then(|text| u8::from_str_radix(text, 8).ok())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn cpu_times_have_guests_once() {
        // A virtualisation host: the last two columns are in the first two.
        let stat = "cpu  1000 200 300 5000 40 5 6 7 900 100\ncpu0 1 2 3 4\nintr 5\n";
        let expected = CpuTimes { user: 1200, iowait: 40, total: 6558 };
        assert_eq!(parse_cpu_times(stat), Some(expected));
    }

    #[test]
    fn cpu_times_of_an_old_kernel_and_of_none() {
        let expected = CpuTimes { user: 3, iowait: 5, total: 15 };
        assert_eq!(parse_cpu_times("cpu 1 2 3 4 5\n"), Some(expected));
        assert_eq!(parse_cpu_times("cpu 1 2 3\n"), None);
        assert_eq!(parse_cpu_times("cpu0 1 2 3 4 5\n"), None);
        assert_eq!(parse_cpu_times(""), None);
    }

    #[test]
    fn memory_with_and_without_the_available_line() {
        let meminfo = "MemTotal:       24684084 kB\nMemFree:        23522556 kB\n\
                       MemAvailable:   24063124 kB\nBuffers:           10140 kB\n\
                       Cached:           708244 kB\nHugePages_Total:       0\n";
        let expected = MemoryInfo { total: 24_684_084 << 10, available: 24_063_124 << 10 };
        assert_eq!(parse_memory(meminfo), Some(expected));
        let old = "MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 1 kB\nCached: 20 kB\n";
        let expected = MemoryInfo { total: 100 << 10, available: 31 << 10 };
        assert_eq!(parse_memory(old), Some(expected));
        assert_eq!(parse_memory("MemTotal: many kB\n"), None);
    }

    #[test]
    fn load_is_three_numbers() {
        assert_eq!(parse_load("0.11 0.28 10.32 1/91 12885\n"), Some([0.11, 0.28, 10.32]));
        assert_eq!(parse_load("0.11 0.28"), None);
    }

    const DISKSTATS: &str = "   7       0 loop0 9 0 9 0 0 0 0 0 0 0 0
 254       0 vda 64550 10918 8688642 29345 10579 54352 18096864 74255 0 13444 104136 4939 53 571448 500 789 35
 254       1 vda1 60000 10918 8000000 29345 10579 54352 18000000 74255 0 13444 104136
 259       0 nvme0n1 1 0 16 0 1 0 8 0 0 0 0
 104       0 cciss/c0d0 1 0 2 0 1 0 4 0 0 0 0
   8      16 sdb 1 0 2
";

    #[test]
    fn only_whole_disks_count() {
        let whole = ["vda", "nvme0n1", "cciss/c0d0", "sdb"];
        let flows = parse_disk_flows(DISKSTATS, |name| whole.contains(&name));
        let expected = [
            ("cciss/c0d0", Flow { incoming: 1024, outgoing: 2048 }),
            ("nvme0n1", Flow { incoming: 8192, outgoing: 4096 }),
            ("vda", Flow { incoming: 8_688_642 * 512, outgoing: 18_096_864 * 512 }),
        ];
        assert!(flows.iter().map(|(name, flow)| (name.as_str(), *flow)).eq(expected));
    }

    const NET_DEV: &str = "Inter-|   Receive                  |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs
    lo:    3193      29    0    0    0     0          0         0     3193      29    0
  eth0:202969961   11022    0    0    0     0          0         0   768431    6486    0
docker0:     77       1    0    0    0     0          0         0       88       1    0
eth0.100:     5       1    0    0    0     0          0         0        6       1    0
";

    #[test]
    fn interfaces_with_hardware_count_and_in_containers_all_do() {
        let real = parse_network_flows(NET_DEV, |name| name == "eth0");
        let expected = Flow { incoming: 202_969_961, outgoing: 768_431 };
        assert!(real.into_iter().eq([("eth0".to_owned(), expected)]));
        let contained = parse_network_flows(NET_DEV, |_| false);
        assert_eq!(contained.keys().collect::<Vec<_>>(), ["docker0", "eth0", "eth0.100"]);
    }

    const MOUNTS: &str = "proc /proc proc rw,relatime 0 0
/dev/nvme0n1p2 / ext4 rw,relatime 0 0
tmpfs /run tmpfs rw 0 0
/dev/nvme0n1p1 /boot/efi vfat rw 0 0
/dev/loop3 /snap/core/123 squashfs ro 0 0
/dev/nvme0n1p2 /var/lib/docker/overlay ext4 rw 0 0
overlay /var/lib/docker/overlay2/x/merged overlay rw 0 0
/dev/mapper/data-scratch /scratch xfs rw 0 0
/dev/sdb1 /media/my\\040disk\\134\\011x ext4 rw 0 0
tank/home /home zfs rw 0 0
tank/home/ann /home/ann zfs rw 0 0
head:/export /export nfs4 rw 0 0
//nas/share /nas cifs rw 0 0
/dev/fuse /mnt/s3 fuse.rclone rw 0 0
/dev/gpfs0 /gpfs gpfs rw 0 0
/dev/sr0 /cdrom iso9660 ro 0 0
/dev/sdc1 /etc/hosts ext4 rw 0 0
broken
";

    #[test]
    fn local_disks_are_shown_once_and_nothing_else_is_touched() {
        let mounts = parse_mounts(MOUNTS);
        let mut points: Vec<&Path> =
            select_disks(&mounts).into_iter().map(|mount| mount.point.as_path()).collect();
        points.sort();
        let expected = ["/", "/home", "/media/my disk\\\tx", "/scratch"].map(Path::new);
        assert_eq!(points, expected);
    }

    #[test]
    fn a_path_lies_on_the_innermost_mount() {
        let mounts = parse_mounts(MOUNTS);
        let point = |path: &str| find_mount(&mounts, Path::new(path)).unwrap().point.clone();
        assert_eq!(point("/home/ann/x"), Path::new("/home/ann"));
        assert_eq!(point("/homework"), Path::new("/"));
        assert!(!is_local(find_mount(&mounts, Path::new("/export/x")).unwrap()));
        assert!(is_local(find_mount(&mounts, Path::new("/run/x")).unwrap()));
    }

    #[test]
    fn odd_escapes_stay_as_they_are() {
        assert_eq!(unescape_octal(b"a\\040b"), b"a b");
        assert_eq!(unescape_octal(b"a\\04"), b"a\\04");
        assert_eq!(unescape_octal(b"a\\999"), b"a\\999");
        assert_eq!(unescape_octal(b"a\\777"), b"a\\777");
    }
}
