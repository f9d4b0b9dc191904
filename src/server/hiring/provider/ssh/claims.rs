//! Which host is whose: one file for each host that is in use.
//!
//! Files of the head, and not of the hosts: what is in use must be known while a host is
//! down, and two jobs must never choose the same host.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::hosts::Host;

/// A folder with claims.
#[derive(Debug, Clone)]
pub struct Claims {
    folder: PathBuf,
}

/// For whom a host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub host: String,
    pub worker: String,
    pub tag: String,
    pub region: String,
}

impl Claims {
    /// Makes the folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    /// Claims a host, if nobody has it.
    ///
    /// # Errors
    /// The claim cannot be written down, and does not stand.
    pub fn take(&self, host: &Host, claim: &Claim) -> io::Result<Taken> {
        // Written whole under another name: a claim that is there is whole.
        let path = self.path(host);
        let draft = path.with_extension(format!("new-{}", claim.worker));
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec(claim)?)?;
        file.sync_all()?;
        let linked = fs::hard_link(&draft, &path);
        fs::remove_file(&draft)?;
        match linked {
            Ok(()) => {
                sync_folder(&self.folder)?;
                Ok(Taken::Yes)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Taken::InUse),
            Err(error) => Err(error),
        }
    }

    /// Gives a host back. One that nobody has stays so.
    ///
    /// # Errors
    /// The claim stands.
    pub fn release(&self, host: &Host) -> io::Result<()> {
        match fs::remove_file(self.path(host)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => sync_folder(&self.folder),
        }
    }

    /// All claims, by host.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn list(&self) -> io::Result<Vec<Claim>> {
        let mut claims = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "claim") {
                continue;
            }
            match fs::read(&path) {
                Ok(bytes) => claims.push(serde_json::from_slice(&bytes)?),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        claims.sort_by(|one: &Claim, other: &Claim| one.host.cmp(&other.host));
        Ok(claims)
    }

    fn path(&self, host: &Host) -> PathBuf {
        self.folder.join(format!("{host}.claim"))
    }
}

/// What became of the wish for a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Yes,
    InUse,
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(host: &Host, worker: &str) -> Claim {
        Claim {
            host: host.to_string(),
            worker: worker.to_owned(),
            tag: "tag".to_owned(),
            region: "lab".to_owned(),
        }
    }

    #[test]
    fn a_host_is_claimed_once() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::open(folder.path().join("claims")).unwrap();
        let hosts: Vec<Host> =
            ["ada@a.lab:22", "b.lab"].iter().map(|text| text.parse().unwrap()).collect();
        let first = claim(&hosts[0], "w1");
        assert_eq!(claims.take(&hosts[0], &first).unwrap(), Taken::Yes);
        assert_eq!(claims.take(&hosts[0], &claim(&hosts[0], "w2")).unwrap(), Taken::InUse);
        assert_eq!(claims.take(&hosts[1], &claim(&hosts[1], "w2")).unwrap(), Taken::Yes);
        let again = Claims::open(folder.path().join("claims")).unwrap();
        assert_eq!(again.list().unwrap()[0], first);
        claims.release(&hosts[0]).unwrap();
        claims.release(&hosts[0]).unwrap();
        assert_eq!(claims.list().unwrap(), [claim(&hosts[1], "w2")]);
    }
}
