//! Live figures of the machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::Monotonic;
use crate::domain::worker::{Rate, WorkerStats};

use super::memory::{MemoryGroup, effective_memory, memory_groups};
use super::proc::{
    CpuTimes, Flow, Mount, find_mount, is_local, parse_cpu_times, parse_disk_flows, parse_load,
    parse_memory, parse_mounts, parse_network_flows, select_disks,
};

/// Takes the figures and remembers what rates and totals are measured from.
///
/// Only local disks are asked for their free space, so a dead network file
/// system does not block a sample; such mounts are not shown. The disk of
/// the agent's directory is always shown, unless it is remote.
#[derive(Debug)]
pub struct Sampler {
    workdir: PathBuf,
    memory_groups: Vec<MemoryGroup>,
    taken_at: Monotonic,
    cpu: CpuTimes,
    disks: FlowMeter,
    networks: FlowMeter,
}

/// Bytes that flowed since the start, over devices that come and go.
#[derive(Debug)]
struct FlowMeter {
    last: BTreeMap<String, Flow>,
    total: Flow,
}

impl Sampler {
    /// Totals and the first rates count from now on.
    #[must_use]
    pub fn new(workdir: &Path, now: Monotonic) -> Self {
        Self {
            workdir: fs::canonicalize(workdir).unwrap_or_else(|_| workdir.to_owned()),
            memory_groups: memory_groups(),
            taken_at: now,
            cpu: read_cpu_times(),
            disks: FlowMeter::new(read_disk_flows()),
            networks: FlowMeter::new(read_network_flows()),
        }
    }

    /// The figures of this moment. Rates are means since the sample before,
    /// zero when no time has passed. A figure that cannot be had is zero.
    pub fn sample(&mut self, now: Monotonic) -> WorkerStats {
        let elapsed = now.since(std::mem::replace(&mut self.taken_at, now));
        let cpu = read_cpu_times();
        let cpu_before = std::mem::replace(&mut self.cpu, cpu);
        let disk = self.disks.advance(read_disk_flows());
        let network = self.networks.advance(read_network_flows());
        WorkerStats {
            cpu_user_percent: share_of_time(cpu_before, cpu, |times| times.user),
            cpu_iowait_percent: share_of_time(cpu_before, cpu, |times| times.iowait),
            memory_percent: self.memory_percent(),
            load: read_proc("loadavg").and_then(|text| parse_load(&text)).unwrap_or_default(),
            disk_percent: self.disk_percents(),
            disk_read: rate(disk.incoming, self.disks.total.incoming, elapsed),
            disk_write: rate(disk.outgoing, self.disks.total.outgoing, elapsed),
            network_sent: rate(network.outgoing, self.networks.total.outgoing, elapsed),
            network_received: rate(network.incoming, self.networks.total.incoming, elapsed),
        }
    }

    fn memory_percent(&self) -> f64 {
        let Some(machine) = read_proc("meminfo").and_then(|text| parse_memory(&text)) else {
            return 0.0;
        };
        let memory = effective_memory(machine, &self.memory_groups);
        percent(memory.total.saturating_sub(memory.available), memory.total)
    }

    fn disk_percents(&self) -> BTreeMap<String, f64> {
        let mounts = read_proc("self/mounts").map(|text| parse_mounts(&text)).unwrap_or_default();
        disks_to_show(&mounts, &self.workdir)
            .into_iter()
            .filter_map(|point| Some((point.to_string_lossy().into_owned(), used_percent(point)?)))
            .collect()
    }
}

impl FlowMeter {
    fn new(flows: BTreeMap<String, Flow>) -> Self {
        Self { last: flows, total: Flow::default() }
    }

    /// What flowed since the time before.
    fn advance(&mut self, flows: BTreeMap<String, Flow>) -> Flow {
        let mut delta = Flow::default();
        for (name, flow) in &flows {
            // A device that is new, or whose counters went back since it was
            // taken out and put in again, has counted from zero since then.
            let before = self
                .last
                .get(name)
                .filter(|last| last.incoming <= flow.incoming && last.outgoing <= flow.outgoing)
                .copied()
                .unwrap_or_default();
            delta.incoming += flow.incoming - before.incoming;
            delta.outgoing += flow.outgoing - before.outgoing;
        }
        self.total.incoming += delta.incoming;
        self.total.outgoing += delta.outgoing;
        self.last = flows;
        delta
    }
}

/// The mount points of all local disks, and that of the agent's directory.
fn disks_to_show<'a>(mounts: &'a [Mount], workdir: &Path) -> Vec<&'a Path> {
    let disks = select_disks(mounts);
    let own = find_mount(mounts, workdir)
        .filter(|own| is_local(own) && disks.iter().all(|disk| disk.source != own.source));
    disks.into_iter().chain(own).map(|mount| mount.point.as_path()).collect()
}

/// As `df` has it: what is used of that which is used or can be had by users.
fn used_percent(point: &Path) -> Option<f64> {
    let disk = rustix::fs::statvfs(point).ok()?;
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    (disk.f_blocks > 0).then(|| percent(used, used.saturating_add(disk.f_bavail)))
}

fn share_of_time(before: CpuTimes, now: CpuTimes, part: impl Fn(CpuTimes) -> u64) -> f64 {
    // The time spent waiting for input and output can go back (proc(5)).
    percent(part(now).saturating_sub(part(before)), now.total.saturating_sub(before.total))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 * 100.0 / whole as f64).min(100.0) }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn rate(bytes: u64, total_bytes: u64, elapsed: Duration) -> Rate {
    let seconds = elapsed.as_secs_f64();
    let bytes_per_second = if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 };
    Rate { bytes_per_second, total_bytes }
}

fn read_cpu_times() -> CpuTimes {
    read_proc("stat").and_then(|text| parse_cpu_times(&text)).unwrap_or_default()
}

fn read_disk_flows() -> BTreeMap<String, Flow> {
    // Partitions are no entries of `/sys/block`; loop, RAM, RAID and mapped
    // devices have no hardware. Names with a slash have a `!` there instead.
    let is_whole_disk =
        |name: &str| Path::new("/sys/block").join(name.replace('/', "!")).join("device").exists();
    read_proc("diskstats").map(|text| parse_disk_flows(&text, is_whole_disk)).unwrap_or_default()
}

fn read_network_flows() -> BTreeMap<String, Flow> {
    let has_hardware = |name: &str| Path::new("/sys/class/net").join(name).join("device").exists();
    read_proc("net/dev").map(|text| parse_network_flows(&text, has_hardware)).unwrap_or_default()
}

/// Mount points may have any bytes in their names.
fn read_proc(file: &str) -> Option<String> {
    let bytes = fs::read(Path::new("/proc").join(file)).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(Duration::from_secs(seconds))
    }

    fn flows(flows: &[(&str, u64, u64)]) -> BTreeMap<String, Flow> {
        flows
            .iter()
            .map(|&(name, incoming, outgoing)| (name.to_owned(), Flow { incoming, outgoing }))
            .collect()
    }

    #[test]
    fn this_machine_gives_figures() {
        let workdir = tempfile::tempdir().unwrap();
        let mut sampler = Sampler::new(workdir.path(), at(0));
        let stats = sampler.sample(at(5));
        assert!(stats.memory_percent > 0.0 && stats.memory_percent <= 100.0, "{stats:?}");
        assert!(!stats.disk_percent.is_empty(), "{stats:?}");
        assert!(stats.disk_percent.values().all(|percent| (0.0..=100.0).contains(percent)));
        let percents = [stats.cpu_user_percent, stats.cpu_iowait_percent];
        assert!(percents.iter().all(|percent| (0.0..=100.0).contains(percent)), "{stats:?}");
    }

    #[test]
    fn a_sample_at_the_same_moment_has_no_rate() {
        assert_eq!(rate(10, 20, Duration::ZERO), Rate { bytes_per_second: 0.0, total_bytes: 20 });
        assert_eq!(
            rate(10, 20, Duration::from_secs(4)),
            Rate { bytes_per_second: 2.5, total_bytes: 20 }
        );
    }

    #[test]
    fn totals_outlive_devices_and_grow_only_by_what_flows() {
        let mut meter = FlowMeter::new(flows(&[("sda", 1000, 100), ("sdb", 5, 5)]));
        let first = meter.advance(flows(&[("sda", 1500, 100)]));
        assert_eq!(first, Flow { incoming: 500, outgoing: 0 });
        let replaced_and_new = meter.advance(flows(&[("sda", 10, 200), ("sdc", 7, 8)]));
        assert_eq!(replaced_and_new, Flow { incoming: 17, outgoing: 208 });
        assert_eq!(meter.total, Flow { incoming: 517, outgoing: 208 });
    }

    #[test]
    fn shares_of_time_never_leave_their_range() {
        let before = CpuTimes { user: 100, iowait: 50, total: 1000 };
        let now = CpuTimes { user: 150, iowait: 40, total: 1200 };
        assert!((share_of_time(before, now, |times| times.user) - 25.0).abs() < 1e-9);
        assert!(share_of_time(before, now, |times| times.iowait).abs() < 1e-9);
        assert!(share_of_time(now, now, |times| times.user).abs() < 1e-9);
    }

    #[test]
    fn in_a_container_the_disk_of_the_agent_is_shown() {
        let mounts = parse_mounts("overlay / overlay rw 0 0\nproc /proc proc rw 0 0\n");
        assert_eq!(disks_to_show(&mounts, Path::new("/var/lib/scitq")), [Path::new("/")]);
        let remote = parse_mounts("/dev/sda1 / ext4 rw 0 0\nhead:/home /home nfs4 rw 0 0\n");
        assert_eq!(disks_to_show(&remote, Path::new("/home/ann")), [Path::new("/")]);
    }
}
