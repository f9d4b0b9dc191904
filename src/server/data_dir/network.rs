//! Which file systems live on other machines.
//!
//! `SQLite`'s write-ahead log keeps its index in memory that all processes
//! share through the file, and it relies on locks; network file systems give
//! neither reliably (<https://www.sqlite.org/wal.html>, "all processes using a
//! database must be on the same host computer").

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// File systems that are shared with other machines, by the number that
/// `statfs` gives. Sources: `include/uapi/linux/magic.h` of Linux, and for
/// those outside of its tree the table that coreutils' `stat` uses.
const NETWORK: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFE53_4D42, "SMB2"),
    (0xFF53_4D42, "CIFS"),
    (0x0102_1997, "9p"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x00C3_6400, "CephFS"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564C, "NCP"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0xAAD7_AAEA, "PanFS"),
    (0x0131_11A8, "IBRIX"),
    (0xBEEF_DEAD, "StorNext"),
    (0x6163_6673, "ACFS"),
    (0x786F_4256, "VirtualBox shared folder"),
    (0xBACB_ACBC, "VMware shared folder"),
    (0x7C7C_6673, "Parallels shared folder"),
];

/// The number of all FUSE file systems, local ones too (`linux/magic.h`).
const FUSE: u32 = 0x6573_5546;

/// FUSE file systems whose files lie elsewhere, by the name under which they
/// are mounted.
const NETWORK_FUSE: &[&str] = &[
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.glusterfs",
    "fuse.ceph",
    "fuse.ceph-fuse",
    "fuse.juicefs",
    "fuse.mfs",
    "fuse.seaweedfs",
    "fuse.s3fs",
    "fuse.geesefs",
    "fuse.gcsfuse",
    "fuse.blobfuse",
    "fuse.blobfuse2",
    "fuse.curlftpfs",
    "fuse.smbnetfs",
];

/// The network file system on which an existing path lies, if it is one.
pub(super) fn network_file_system(path: &Path) -> io::Result<Option<&'static str>> {
    let kind = file_system_number(rustix::fs::statfs(path)?.f_type);
    if kind != FUSE {
        return Ok(NETWORK.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name));
    }
    let device = fs::metadata(path)?.dev();
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    let mounted = mounted_type(&mounts, device);
    Ok(NETWORK_FUSE.iter().find(|name| mounted == Some(name)).copied())
}

/// The kernel's type for it differs between machines and is signed on some;
/// the numbers have 32 bits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "file system numbers have 32 bits"
)]
const fn file_system_number(f_type: rustix::fs::FsWord) -> u32 {
    f_type as u32
}

/// The type of the file system on a device, from `/proc/self/mountinfo`
/// (proc(5): `36 35 98:0 /root /mount options [optional...] - type source ...`).
fn mounted_type(mounts: &str, (major, minor): (u32, u32)) -> Option<&str> {
    let device = format!("{major}:{minor}");
    mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        (mount.split(' ').nth(2)? == device).then(|| file_system.split(' ').next())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_disk_is_none() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(network_file_system(directory.path()).unwrap(), None);
        assert!(network_file_system(&directory.path().join("missing")).is_err());
    }

    #[test]
    fn numbers_are_those_of_the_kernel_and_named_once() {
        assert_eq!(NETWORK[0].0, file_system_number(rustix::fs::NFS_SUPER_MAGIC));
        assert_eq!(file_system_number(-0x00AC_B2BE), 0xFF53_4D42);
        let mut numbers: Vec<u32> = NETWORK.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), NETWORK.len());
    }

    #[test]
    fn a_fuse_mount_is_told_by_its_device() {
        let mounts = "\
            22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n\
            40 22 0:35 / /mnt/far\\040away rw,nosuid shared:9 master:2 - fuse.sshfs me@host: rw\n\
            41 22 0:36 / /mnt/disk rw - fuseblk /dev/sdb1 rw\n";
        assert_eq!(mounted_type(mounts, (0, 35)), Some("fuse.sshfs"));
        assert_eq!(mounted_type(mounts, (0, 36)), Some("fuseblk"));
        assert_eq!(mounted_type(mounts, (0, 3)), None);
    }
}
