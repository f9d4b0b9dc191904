//! The words of actions.

use std::path::{Component, Path, PathBuf};

use crate::domain::uri::Uri;

use super::super::address::shown;
use super::super::error::StorageError;

/// One action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) enum Action {
    Gunzip,
    Zstd,
    Untar,
    Unzip,
    /// Into this folder.
    Move(PathBuf),
    Rename(String),
}

/// The actions of an address, in their order.
pub(in crate::storage) fn parse_actions(uri: &Uri) -> Result<Vec<Action>, StorageError> {
    let unknown =
        |action: &String| StorageError::Action { uri: shown(uri), action: action.clone() };
    uri.actions.iter().map(|text| parse_action(text).ok_or_else(|| unknown(text))).collect()
}

fn parse_action(text: &str) -> Option<Action> {
    Some(match text {
        "gunzip" => Action::Gunzip,
        "zstd" => Action::Zstd,
        "untar" => Action::Untar,
        "unzip" => Action::Unzip,
        _ => match text.split_once(':')? {
            ("mv", folder) => Action::Move(inner_path(folder)?),
            ("rename", name) => {
                let path = inner_path(name)?;
                (path.components().count() == 1).then(|| Action::Rename(name.to_owned()))?
            }
            _ => return None,
        },
    })
}

/// A path that leads nowhere but down.
fn inner_path(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let is_inner = !text.is_empty()
        && !text.contains('\0')
        && path.components().all(|part| matches!(part, Component::Normal(_)));
    is_inner.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_read_in_order() {
        let uri: Uri = "s3://b/x.tgz|untar|mv:a/b|rename:c d".parse().unwrap();
        let expected =
            [Action::Untar, Action::Move(PathBuf::from("a/b")), Action::Rename("c d".to_owned())];
        assert_eq!(parse_actions(&uri).unwrap(), expected);
    }

    #[test]
    fn what_is_no_action_is_named() {
        for action in ["Untar", "mv", "mv:", "mv:/a", "mv:../a", "mv:a/../..", "rename:a/b"] {
            let uri: Uri = format!("s3://b/x|{action}").parse().unwrap();
            let message = parse_actions(&uri).unwrap_err().to_string();
            assert!(message.contains(&format!("`|{action}`")), "{message}");
        }
    }
}
