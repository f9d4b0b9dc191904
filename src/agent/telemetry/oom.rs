//! Whether the kernel has killed for want of memory.

use std::fs;

/// The kernel's count of processes that it killed for want of memory.
#[derive(Debug)]
pub struct OomCounter {
    seen: u64,
}

impl OomCounter {
    /// Counts from now on.
    #[must_use]
    pub fn start() -> Self {
        Self { seen: count() }
    }

    /// Whether it has killed since the last look. It may have been another
    /// process: this is a hint for people.
    pub fn has_moved(&mut self) -> bool {
        let now = count();
        now > std::mem::replace(&mut self.seen, now)
    }
}

/// Zero where the kernel does not tell (before Linux 4.13).
fn count() -> u64 {
    parse(&fs::read_to_string("/proc/vmstat").unwrap_or_default()).unwrap_or(0)
}

fn parse(vmstat: &str) -> Option<u64> {
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_among_others() {
        assert_eq!(parse("nr_free_pages 5\noom_kill 3\noom_killer 7\n"), Some(3));
        assert_eq!(parse("nr_free_pages 5\n"), None);
    }
}
