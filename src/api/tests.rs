//! Frames and queries of any content: read or refused, and never a panic.

use proptest::prelude::*;

use super::client::ServerAddress;
use super::link::{Down, OutputChunk, Up};
use super::task::{CountTasks, ListTasks};
use crate::domain::ExecutionId;
use crate::domain::execution::Stream;

/// Frames as they are sent, to be damaged.
const FRAMES: &[&str] = &[
    r#"{"reports":{"number":1,"reports":[{"execution":1,"task":1,"at":"2026-01-01T00:00:00Z","event":"accepted"}]}}"#,
    r#"{"refused":{"reason":"protocol","message":"too old"}}"#,
    r#"{"ack":{"number":7}}"#,
    r#"{"heartbeat":{"number":1,"phases":[[1,"ready"]],"draining":false}}"#,
];

proptest! {
    #[test]
    fn a_chunk_comes_back(execution: u64, stdout: bool, offset: u64, bytes: Vec<u8>) {
        let stream = if stdout { Stream::Stdout } else { Stream::Stderr };
        let chunk = OutputChunk {
            execution: ExecutionId(execution),
            stream,
            offset,
            bytes: bytes::Bytes::from(bytes),
        };
        prop_assert_eq!(OutputChunk::decode(&chunk.encode().into()), Some(chunk));
    }

    #[test]
    fn any_binary_frame_is_a_chunk_or_none(bytes: Vec<u8>) {
        let frame = bytes::Bytes::from(bytes);
        if let Some(chunk) = OutputChunk::decode(&frame) {
            prop_assert_eq!(bytes::Bytes::from(chunk.encode()), frame);
        }
    }

    #[test]
    fn a_damaged_frame_is_read_or_refused(
        frame in prop::sample::select(FRAMES),
        place: prop::sample::Index,
        length in 0..6_usize,
        put in ".{0,6}|[0-9\\[{]{0,9}",
    ) {
        let mut text: Vec<char> = frame.chars().collect();
        let start = place.index(text.len());
        let end = (start + length).min(text.len());
        text.splice(start..end, put.chars());
        let text: String = text.into_iter().collect();
        if let Ok(up) = serde_json::from_str::<Up>(&text) {
            let written = serde_json::to_string(&up).unwrap();
            prop_assert_eq!(serde_json::from_str::<Up>(&written).unwrap(), up);
        }
        let _ = serde_json::from_str::<Down>(&text);
    }

    #[test]
    fn an_address_is_shown_as_what_it_is(text in ".*|(https?://)?[a-z0-9.:\\[\\]/@%-]{0,24}") {
        if let Ok(address) = text.parse::<ServerAddress>() {
            prop_assert_eq!(address.to_string().parse::<ServerAddress>(), Ok(address));
        }
    }

    #[test]
    fn a_count_is_of_what_the_list_has(name in prop::option::of(".*"), tag in prop::option::of(".*")) {
        let list = ListTasks { name: name.clone(), tag: tag.clone(), ..ListTasks::default() };
        let count = CountTasks::from(&list);
        prop_assert_eq!((count.name, count.tag), (name, tag));
    }
}
