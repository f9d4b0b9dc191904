//! The pictures of the terminal UI show what the program shows.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn no_picture_is_stale() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = tempfile::tempdir().unwrap();
    let made = Command::new("bash").arg(root.join("docs/pictures")).arg(fresh.path()).status();
    assert!(made.unwrap().success());
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(fresh.path()).unwrap() {
        let name = entry.unwrap().file_name();
        let picture = format!("docs/img/{}", name.display());
        let kept = fs::read_to_string(root.join(&picture)).unwrap_or_default();
        let drawn = fs::read_to_string(fresh.path().join(&name)).unwrap();
        assert!(kept == drawn, "{picture} is stale: docs/pictures draws it anew");
        assert!(readme.contains(&format!("({picture})")), "README.md does not show {picture}");
        count += 1;
    }
    assert_eq!(count, 8, "one for each screen");
}
