//! A machine of a cloud that is made here: a process that runs the machine's user data.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::world::World;

/// One such machine, with all that runs on it; dropped, it is switched off.
#[derive(Debug)]
pub struct Machine {
    process: Child,
    folder: PathBuf,
}

impl Machine {
    /// Switches it on for the first time.
    pub fn start(world: &Arc<World>, name: &str, user_data: &[u8]) -> Self {
        let folder = world.path().join("machines").join(name);
        fs::create_dir_all(&folder).unwrap();
        let script = folder.join("user-data");
        fs::write(&script, user_data).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        let mut command =
            world.command(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openstack/machine"));
        command.arg(&script);
        command.env("MACHINE", &folder).env("MACHINE_NAME", name).current_dir(&folder);
        Self { process: world.spawn(name, command), folder }
    }

    pub fn user_data(&self) -> String {
        fs::read_to_string(self.folder.join("user-data")).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It has a process group of its own; all of it may have ended already.
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }
}
