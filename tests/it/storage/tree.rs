//! Folders with awkward names, and what became of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::ftruncate;

/// What is below a folder: files with their content, folders with none.
pub type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Names that a protocol may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    WithLineBreaks,
    WithoutLineBreaks,
}

/// Makes a folder with all that a transfer could stumble over.
pub fn make_tree(folder: &Path, names: Names) {
    let big: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for (name, content) in [
        ("a.fq", &b"reads"[..]),
        ("empty file", b""),
        ("sub/b.fq", b"more reads"),
        ("sub/deep/er/c.fq", b"ACGT"),
        ("two  words", b"x"),
        ("quotes ' and \" and `", b"quoted"),
        ("percent %20 & + ? # = ;,", b"signs"),
        ("[brackets] {braces} *", b"brackets"),
        ("ünï/çödé ☃", b"text"),
        (".hidden", b"dot"),
        ("big.bin", &big),
    ] {
        write(&folder.join(name), content);
    }
    if names == Names::WithLineBreaks {
        write(&folder.join("line\nbreak"), b"lines");
    }
    fs::create_dir_all(folder.join("empty folder/inner")).unwrap();
}

pub fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A file of this size that takes no space.
pub fn make_sparse(path: &Path, bytes: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    ftruncate(fs::File::create(path).unwrap(), bytes).unwrap();
}

pub fn read_tree(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(name) = pending.pop() {
        for entry in fs::read_dir(folder.join(&name)).unwrap() {
            let name = name.join(entry.unwrap().file_name());
            let path = folder.join(&name);
            if path.is_dir() {
                pending.push(name.clone());
                tree.insert(name, None);
            } else {
                tree.insert(name, Some(fs::read(path).unwrap()));
            }
        }
    }
    tree
}

/// Without its contents, folders with a final slash.
pub fn names(folder: &Path) -> Vec<String> {
    let show = |(name, content): (PathBuf, Option<Vec<u8>>)| match content {
        None => format!("{}/", name.display()),
        Some(_) => name.display().to_string(),
    };
    read_tree(folder).into_iter().map(show).collect()
}
