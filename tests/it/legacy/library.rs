//! Each call of `scitq.lib.Server`, in each of its styles: see `library.py`.

use super::Old;
use crate::harness::AgentOptions;
use crate::world::Ran;

fn calls_work(style: &str, mode: &str) {
    let Some(mut old) = Old::start_with(&["--v1-remote", "file:///shared/"]) else { return };
    old.server.agent(AgentOptions { batch: Some("lib".to_owned()), ..AgentOptions::default() });
    let ran = Ran::of(old.script("library.py", &[style, mode])).ok();
    assert!(ran.text().ends_with("all of it"), "{ran}");
}

#[test]
fn every_call_of_the_library_works_with_objects() {
    calls_work("object", "async");
}

#[test]
fn every_call_of_the_library_works_with_objects_one_after_the_other() {
    calls_work("object", "sync");
}

#[test]
fn every_call_of_the_library_works_with_dictionaries() {
    calls_work("dict", "async");
}

#[test]
fn every_call_of_the_library_works_with_dictionaries_one_after_the_other() {
    calls_work("dict", "sync");
}
