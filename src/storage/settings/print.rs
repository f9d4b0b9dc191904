//! Writes sections as an `rclone.conf`.

use std::fmt::Write;

use super::section::{Origin, Section, is_secret};
use super::{SettingsError, obscure};

/// Keys whose values `rclone` wants obscured.
const OBSCURED: [&str; 3] = ["pass", "password", "password2"];

/// Whether passwords and keys are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    Shown,
    LeftOut,
}

/// The sections as `rclone` reads them.
///
/// # Errors
/// A value cannot be written on one line, or a password not obscured.
pub fn as_rclone_conf(sections: &[Section], secrets: Secrets) -> Result<String, SettingsError> {
    let mut text = String::new();
    // What only scitq understands is left out.
    let known = sections.iter().filter(|section| section.kind != "ena");
    for (position, section) in known.enumerate() {
        if position > 0 {
            text.push('\n');
        }
        let _ = writeln!(text, "[{}]\ntype = {}", section.name, section.kind);
        for (key, value) in section.values() {
            let unusable =
                || SettingsError::UnusableValue { place: section.place(), key: key.to_owned() };
            if is_secret(key) && secrets == Secrets::LeftOut {
                let _ = writeln!(text, "# {key} is secret");
                continue;
            }
            let is_plain = !matches!(section.origin, Origin::Rclone(_));
            let value = if is_plain && OBSCURED.contains(&key) {
                obscure::obscure(value).ok_or_else(unusable)?
            } else {
                value.to_owned()
            };
            if value.contains(['\n', '\r']) {
                return Err(unusable());
            }
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::rclone_conf::parse_rclone_conf;
    use super::super::storage_toml::parse_storage_toml;
    use super::*;

    const TOML: &str = "[lab]\ntype = \"sftp\"\nhost = \"lab\"\npass = \"sesame\"\n\n[ena]\ntype = \"ena\"\nurl = \"x\"\n\n[store]\ntype = \"s3\"\naccess_key_id = \"AK\"\nsecret_access_key = \"hush\"\n";

    #[test]
    fn what_is_printed_is_read_again_and_secrets_only_on_request() {
        let origin = Origin::Toml("storage.toml".into());
        let sections = parse_storage_toml(Path::new("storage.toml"), &origin, TOML).unwrap();
        let text = as_rclone_conf(&sections, Secrets::LeftOut).unwrap();
        assert_eq!(
            text,
            "[lab]\ntype = sftp\nhost = lab\n# pass is secret\n\n[store]\ntype = s3\naccess_key_id = AK\n# secret_access_key is secret\n"
        );
        let text = as_rclone_conf(&sections, Secrets::Shown).unwrap();
        assert!(!text.contains("sesame") && text.contains("secret_access_key = hush"), "{text}");
        let read = parse_rclone_conf(Path::new("rclone.conf"), &text).unwrap();
        assert_eq!(read[0].password("pass").unwrap().as_deref(), Some("sesame"));
        // What is obscured already is not obscured twice.
        assert_eq!(as_rclone_conf(&read, Secrets::Shown).unwrap(), text);
    }
}
