//! What an engine tells of itself.

use std::path::PathBuf;

use bollard::models::SystemInfo;

/// What of an engine matters to tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineFacts {
    pub users: Users,
    /// Its containers go on while it is restarted.
    pub restores: bool,
    /// Where it keeps images and containers.
    pub root: Option<PathBuf>,
}

/// Who the users in containers are outside of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Users {
    /// Those of the same number.
    #[default]
    Same,
    /// `root` is the user of the engine, others have numbers from a range of that user.
    Rootless,
    /// All have numbers from a range that the engine was given.
    Remapped,
}

impl EngineFacts {
    #[must_use]
    pub fn of(info: &SystemInfo) -> Self {
        let options = info.security_options.as_deref().unwrap_or_default();
        let has = |name: &str| options.iter().any(|option| option.split(',').any(|o| o == name));
        let users = if has("name=rootless") {
            Users::Rootless
        } else if has("name=userns") {
            Users::Remapped
        } else {
            Users::Same
        };
        let root = info.docker_root_dir.as_ref().filter(|path| !path.is_empty());
        Self {
            users,
            restores: info.live_restore_enabled.unwrap_or(false),
            root: root.map(PathBuf::from),
        }
    }

    /// What people are told beside the engine's name and version.
    #[must_use]
    pub fn remarks(&self) -> String {
        let users = match self.users {
            Users::Same => "",
            Users::Rootless => ", rootless",
            Users::Remapped => ", users remapped",
        };
        let restores = if self.restores { ", live restore" } else { "" };
        format!("{users}{restores}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of `docker info` that count, as engines have answered.
    const PLAIN: &str = r#"{"DockerRootDir": "/var/lib/docker", "LiveRestoreEnabled": false,
        "SecurityOptions": ["name=seccomp,profile=default"], "ServerVersion": "20.10.24+dfsg1"}"#;
    const ROOTLESS: &str = r#"{"DockerRootDir": "/home/ada/.local/share/docker",
        "LiveRestoreEnabled": false, "SecurityOptions":
        ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"]}"#;
    const REMAPPED: &str = r#"{"DockerRootDir": "/var/lib/docker/231072.231072",
        "LiveRestoreEnabled": true, "SecurityOptions":
        ["name=apparmor", "name=seccomp,profile=builtin", "name=userns", "name=cgroupns"]}"#;
    const PODMAN: &str = r#"{"DockerRootDir": "/home/ada/.local/share/containers/storage",
        "LiveRestoreEnabled": false, "SecurityOptions":
        ["name=seccomp,profile=default", "name=rootless"], "ProductLicense": "Apache-2.0"}"#;

    fn facts(info: &str) -> EngineFacts {
        EngineFacts::of(&serde_json::from_str(info).unwrap())
    }

    #[test]
    fn an_engine_tells_who_its_users_are() {
        assert_eq!(facts(PLAIN).remarks(), "");
        assert_eq!(facts(PLAIN).root, Some("/var/lib/docker".into()));
        assert_eq!(facts(ROOTLESS).users, Users::Rootless);
        assert_eq!(facts(ROOTLESS).remarks(), ", rootless");
        assert_eq!(facts(REMAPPED).remarks(), ", users remapped, live restore");
        assert_eq!(facts(PODMAN).remarks(), ", rootless");
        assert_eq!(facts("{}"), EngineFacts::default());
    }
}
