//! How much memory the agent and its tasks may use: a control group (a
//! container, a batch system's job, a systemd slice) may allow less than the
//! machine has.

use std::fs;
use std::path::{Path, PathBuf};

use super::proc::MemoryInfo;

/// Where control groups are mounted.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// The files of one control group that tell its memory; they differ between
/// the two versions of the interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemoryGroup {
    directory: PathBuf,
    limit: &'static str,
    usage: &'static str,
    /// Line of `memory.stat` with the part of the usage that is cache and is
    /// dropped when memory gets short.
    cache: &'static str,
}

/// The memory that counts: of the tightest control group, else the machine's.
pub(super) fn effective_memory(machine: MemoryInfo, groups: &[MemoryGroup]) -> MemoryInfo {
    let limits = groups.iter().filter_map(|group| Some((group.read_limit()?, group)));
    let tightest = limits.min_by_key(|(limit, _)| *limit);
    let Some((limit, group)) = tightest.filter(|(limit, _)| *limit < machine.total) else {
        return machine;
    };
    let used = group.read_usage().unwrap_or(0);
    MemoryInfo { total: limit, available: limit.saturating_sub(used).min(machine.available) }
}

/// The control groups of this process, from its own up to the root.
pub(super) fn memory_groups() -> Vec<MemoryGroup> {
    fs::read_to_string("/proc/self/cgroup").map(|text| parse_groups(&text)).unwrap_or_default()
}

/// `/proc/self/cgroup`: lines of hierarchy number, controllers and path. The
/// unified hierarchy has number 0 and names no controllers.
pub(super) fn parse_groups(text: &str) -> Vec<MemoryGroup> {
    let mut groups = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let is_v1 = controllers.split(',').any(|controller| controller == "memory");
        if !is_v1 && !controllers.is_empty() {
            continue;
        }
        for ancestor in Path::new(path).ancestors() {
            let relative = ancestor.strip_prefix("/").unwrap_or(ancestor);
            groups.push(if is_v1 { v1_group(relative) } else { v2_group(relative) });
        }
    }
    groups
}

fn v1_group(relative: &Path) -> MemoryGroup {
    MemoryGroup {
        directory: Path::new(CGROUP_ROOT).join("memory").join(relative),
        limit: "memory.limit_in_bytes",
        usage: "memory.usage_in_bytes",
        cache: "total_inactive_file",
    }
}

fn v2_group(relative: &Path) -> MemoryGroup {
    MemoryGroup {
        directory: Path::new(CGROUP_ROOT).join(relative),
        limit: "memory.max",
        usage: "memory.current",
        cache: "inactive_file",
    }
}

impl MemoryGroup {
    /// None without a limit: the word `max` in version 2; a number beyond any
    /// machine's memory in version 1, which the caller compares.
    fn read_limit(&self) -> Option<u64> {
        self.read(self.limit)?.trim().parse().ok()
    }

    /// What is in use and could not be dropped.
    fn read_usage(&self) -> Option<u64> {
        let usage: u64 = self.read(self.usage)?.trim().parse().ok()?;
        let cache = self.read("memory.stat").and_then(|stat| parse_stat_line(&stat, self.cache));
        Some(usage.saturating_sub(cache.unwrap_or(0)))
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.directory.join(file)).ok()
    }
}

fn parse_stat_line(stat: &str, name: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn directories(text: &str) -> Vec<PathBuf> {
        parse_groups(text).into_iter().map(|group| group.directory).collect()
    }

    /// A version 2 group in a directory of the test.
    fn group(directory: &Path, files: &[(&str, &str)]) -> MemoryGroup {
        for (name, text) in files {
            fs::write(directory.join(name), text).unwrap();
        }
        MemoryGroup { directory: directory.to_owned(), ..v2_group(Path::new("")) }
    }

    #[test]
    fn the_unified_hierarchy_is_climbed_to_its_root() {
        assert_eq!(
            directories("0::/system.slice/scitq.service\n"),
            [
                "/sys/fs/cgroup/system.slice/scitq.service",
                "/sys/fs/cgroup/system.slice",
                "/sys/fs/cgroup/"
            ]
            .map(PathBuf::from)
        );
    }

    #[test]
    fn in_a_hybrid_hierarchy_the_memory_controller_is_found() {
        let text = "9:name=systemd:/\n4:hugetlb,memory:/slurm/job_7\n2:cpuacct:/x\nnonsense\n";
        assert_eq!(
            directories(text),
            [
                "/sys/fs/cgroup/memory/slurm/job_7",
                "/sys/fs/cgroup/memory/slurm",
                "/sys/fs/cgroup/memory/"
            ]
            .map(PathBuf::from)
        );
    }

    #[test]
    fn the_tightest_limit_counts_and_cache_is_not_used_memory() {
        let (inner, outer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let groups = [
            group(inner.path(), &[("memory.max", "max\n")]),
            group(
                outer.path(),
                &[
                    ("memory.max", "4294967296\n"),
                    ("memory.current", "3221225472\n"),
                    ("memory.stat", "anon 5\ninactive_file 1073741824\nactive_file 9\n"),
                ],
            ),
        ];
        let machine = MemoryInfo { total: 16 * GIB, available: 8 * GIB };
        let expected = MemoryInfo { total: 4 * GIB, available: 2 * GIB };
        assert_eq!(effective_memory(machine, &groups), expected);
    }

    #[test]
    fn a_limit_beyond_the_machine_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let unlimited = group(directory.path(), &[("memory.max", "9223372036854771712\n")]);
        let machine = MemoryInfo { total: 16 * GIB, available: 8 * GIB };
        assert_eq!(effective_memory(machine, &[unlimited]), machine);
    }
}
