//! Frames of any content: read or refused, and never a panic.

use std::os::unix::ffi::OsStrExt;

use proptest::prelude::*;

use super::super::protocol::{FromSupervisor, SpawnRequest, ToSupervisor};
use super::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1_u8.., 0..9)
}

proptest! {
    #[test]
    fn a_command_of_any_bytes_comes_back(
        arguments in prop::collection::vec(bytes(), 0..4),
        environment in prop::collection::vec((bytes(), bytes()), 0..4),
        directory in bytes(),
        number: u64,
    ) {
        let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        let request = SpawnRequest {
            execution: ExecutionId(7),
            arguments: arguments.into_iter().map(ByteString::from).collect(),
            environment: environment
                .into_iter()
                .map(|(name, value)| (ByteString::from(name), ByteString::from(value)))
                .collect(),
            directory: path(&directory),
            stdout: path(b"\xff"),
            stderr: path(b"err"),
            stdin: Some(path(b"in\xfe")),
            uid: None,
            gid: Some(3),
            group: None,
        };
        let frame = ToSupervisor::Spawn { number, request };
        let line = serde_json::to_string(&frame).unwrap();
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(serde_json::from_str::<ToSupervisor>(&line).unwrap(), frame);
    }

    #[test]
    fn any_line_is_read_or_refused(
        line in ".*|\\{\"(hello|spawn|signal|list|forget|ended|known|goodbye)\":[\\[{]?.{0,20}[\\]}]?\\}",
    ) {
        let _ = serde_json::from_str::<ToSupervisor>(&line);
        let _ = serde_json::from_str::<FromSupervisor>(&line);
    }
}
