//! Where an agent may make groups for its tasks.
//!
//! Nothing is moved and nothing is switched on for processes of others: in
//! version 2 the group above the agent's own is taken if it was left to the
//! agent (systemd's `Delegate=` with `DelegateSubgroup=`), which shows in that
//! no process is in it. Everything else a person has to name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

use super::{TaskGroups, Version};
use crate::agent::supervisor::ENTER_SUBCOMMAND;
use crate::domain::ExecutionId;

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// No execution has this id.
const TRIAL: ExecutionId = ExecutionId(0);

/// Memory that suffices for a trial.
const TRIAL_BYTES: u64 = 1 << 30;

/// Why the kernel does not keep tasks within their memory.
#[derive(Debug, Error)]
pub enum NoGroups {
    #[error("this machine has no control groups for memory")]
    None,
    #[error("control groups of version 1 are used only where `--cgroup` names one")]
    VersionOne,
    #[error("no control group was delegated to the agent, and `--cgroup` names none")]
    NotDelegated,
    #[error("`{}` is no control group for memory", path.display())]
    NoGroup { path: PathBuf },
    #[error("memory cannot be limited below the control group `{}`: {source}", path.display())]
    NoController { path: PathBuf, source: io::Error },
    #[error("cannot make control groups in `{}`: {source}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot enter control groups in `{}`", path.display())]
    Enter { path: PathBuf },
}

/// The place for the groups of an agent: the one that was chosen, else the one
/// that was left to it. It is tried out.
///
/// # Errors
/// There is none.
pub fn find(chosen: Option<&Path>, workdir: &Path, program: &Path) -> Result<TaskGroups, NoGroups> {
    let base = if let Some(path) = chosen {
        path.to_owned()
    } else {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|_| NoGroups::None)?;
        delegated(&own, Path::new(MOUNT))?
    };
    let version = version_of(&base).ok_or_else(|| NoGroups::NoGroup { path: base.clone() })?;
    if version == Version::Two {
        let failed = |source| NoGroups::NoController { path: base.clone(), source };
        switch_on_memory(&base).map_err(failed)?;
    }
    let groups = TaskGroups::new(base, version, workdir);
    try_out(groups, program)
}

/// The group above the agent's own, if no process is in it.
fn delegated(own: &str, mount: &Path) -> Result<PathBuf, NoGroups> {
    let of = |wanted: &dyn Fn(&str) -> bool| {
        own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            wanted(controllers).then_some(path)
        })
    };
    if of(&|controllers| controllers.split(',').any(|name| name == "memory")).is_some() {
        return Err(NoGroups::VersionOne);
    }
    let own = of(&str::is_empty).ok_or(NoGroups::None)?;
    let above = Path::new(own).parent().ok_or(NoGroups::NotDelegated)?;
    if above == Path::new("/") {
        // That one belongs to nobody but the system.
        return Err(NoGroups::NotDelegated);
    }
    let base = mount.join(above.strip_prefix("/").unwrap_or(above));
    match fs::read_to_string(base.join("cgroup.procs")) {
        Ok(processes) if processes.trim().is_empty() => Ok(base),
        _ => Err(NoGroups::NotDelegated),
    }
}

fn version_of(base: &Path) -> Option<Version> {
    let has = |file: &str| base.join(file).exists();
    if has("memory.limit_in_bytes") || has("memory.use_hierarchy") {
        return Some(Version::One);
    }
    has("cgroup.controllers").then_some(Version::Two)
}

/// Lets the groups below have limits on memory.
fn switch_on_memory(base: &Path) -> io::Result<()> {
    let file = base.join("cgroup.subtree_control");
    let is_on = fs::read_to_string(&file)?.split_whitespace().any(|name| name == "memory");
    if is_on { Ok(()) } else { fs::write(&file, "+memory") }
}

fn try_out(mut groups: TaskGroups, program: &Path) -> Result<TaskGroups, NoGroups> {
    let base = || groups.base().to_owned();
    let group = groups
        .make(TRIAL, Some(TRIAL_BYTES))
        .map_err(|source| NoGroups::Make { path: base(), source })?;
    let has_figures = groups.figures(TRIAL).is_some();
    let mut enter = Command::new(program);
    enter.arg(ENTER_SUBCOMMAND).arg("--group").arg(group);
    enter.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let entered = enter.status().is_ok_and(|status| status.success());
    let path = base();
    groups.remove(TRIAL);
    if !has_figures {
        return Err(NoGroups::NoGroup { path });
    }
    if entered { Ok(groups) } else { Err(NoGroups::Enter { path }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_group_above_that_has_no_processes_is_taken() {
        let mount = tempfile::tempdir().unwrap();
        let unit = mount.path().join("system.slice/scitq-agent.service");
        fs::create_dir_all(&unit).unwrap();
        let own = "0::/system.slice/scitq-agent.service/agent\n";
        let processes = unit.join("cgroup.procs");
        fs::write(&processes, "").unwrap();
        assert_eq!(delegated(own, mount.path()).unwrap(), unit);
        fs::write(&processes, "17\n").unwrap();
        for own in [own, "0::/\n", "0::/user.slice\n", "0::/nowhere/agent\n"] {
            let refused = delegated(own, mount.path());
            assert!(matches!(refused, Err(NoGroups::NotDelegated)), "{own}: {refused:?}");
        }
        let hybrid = "4:hugetlb,memory:/x\n0::/system.slice/scitq-agent.service/agent\n";
        assert!(matches!(delegated(hybrid, mount.path()), Err(NoGroups::VersionOne)));
        assert!(matches!(delegated("1:cpu:/\n", mount.path()), Err(NoGroups::None)));
    }

    #[test]
    fn a_folder_is_told_from_a_group() {
        let folder = tempfile::tempdir().unwrap();
        let found = find(Some(folder.path()), Path::new("/w"), Path::new("/bin/true"));
        let told = found.unwrap_err().to_string();
        assert!(told.ends_with("is no control group for memory"), "{told}");
        fs::write(folder.path().join("cgroup.controllers"), "cpu\n").unwrap();
        let found = find(Some(folder.path()), Path::new("/w"), Path::new("/bin/true"));
        assert!(matches!(found, Err(NoGroups::NoController { .. })), "{found:?}");
    }

    #[test]
    fn memory_is_switched_on_where_it_is_not() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("cgroup.subtree_control");
        for (before, after) in [("cpu memory\n", "cpu memory\n"), ("cpu\n", "+memory")] {
            fs::write(&file, before).unwrap();
            switch_on_memory(base.path()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), after);
        }
    }
}
