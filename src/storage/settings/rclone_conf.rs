//! Reads `rclone.conf` as it is.

use std::collections::BTreeMap;
use std::path::Path;

use super::SettingsError;
use super::section::{Origin, Section};

/// How an encrypted file tells that it is one.
const ENCRYPTED: &str = "RCLONE_ENCRYPT_V";

/// The sections of a file. Lines that are neither a section nor a key with its
/// value are an error that does not show them: they may be half a password.
pub(super) fn parse_rclone_conf(path: &Path, text: &str) -> Result<Vec<Section>, SettingsError> {
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if sections.is_empty() && line.starts_with(ENCRYPTED) {
            return Err(SettingsError::Encrypted { path: path.to_owned() });
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push(Section {
                name: name.trim().to_owned(),
                kind: String::new(),
                origin: Origin::Rclone(path.to_owned()),
                values: BTreeMap::new(),
            });
            continue;
        }
        let (Some(section), Some((key, value))) = (sections.last_mut(), line.split_once('='))
        else {
            return Err(SettingsError::Line { path: path.to_owned(), number: number + 1 });
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        if key == "type" {
            section.kind = value;
        } else {
            section.values.insert(key, value);
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Section>, SettingsError> {
        parse_rclone_conf(Path::new("/etc/rclone.conf"), text)
    }

    #[test]
    fn sections_have_their_keys() {
        let text = "# ours\n[lab]\ntype = sftp\nhost = lab\n\n[deep space]\ntype=s3\nendpoint = http://localhost:9/?a=b\nregion =\n";
        let sections = parse(text).unwrap();
        assert_eq!(sections.len(), 2);
        assert_eq!((sections[0].name.as_str(), sections[0].kind.as_str()), ("lab", "sftp"));
        assert_eq!(sections[0].get("host"), Some("lab"));
        assert_eq!(sections[1].name, "deep space");
        assert_eq!(sections[1].get("endpoint"), Some("http://localhost:9/?a=b"));
        assert_eq!(sections[1].get("region"), None);
    }

    #[test]
    fn passwords_are_revealed() {
        let obscured = super::super::obscure::obscure("pw").unwrap();
        let sections = parse(&format!("[lab]\ntype = ftp\npass = {obscured}\n")).unwrap();
        assert_eq!(sections[0].password("pass").unwrap().as_deref(), Some("pw"));
        let sections = parse("[lab]\ntype = ftp\npass = hunter2\n").unwrap();
        let error = sections[0].password("pass").unwrap_err().to_string();
        assert!(error.contains("`pass` of `[lab]`") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn an_encrypted_file_says_so() {
        let text = "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nabc=\n";
        let error = parse(text).unwrap_err();
        assert!(matches!(error, SettingsError::Encrypted { .. }), "{error}");
    }

    #[test]
    fn a_broken_line_is_not_shown() {
        for text in ["key = sesame\n", "[lab]\nsesame\n"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("line") && !error.contains("sesame"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            text in "(\\[[a-z]{0,3}\\]?\n)?(type|pass|[a-z_]{0,8}) ?=? ?.{0,20}\n?.*"
        ) {
            if let Err(error) = parse(&text) {
                proptest::prop_assert!(error.to_string().contains("rclone.conf"), "{error}");
            }
        }
    }
}
