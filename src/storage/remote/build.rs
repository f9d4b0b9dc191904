//! Makes the client of a section, key by key.

use std::path::PathBuf;

use reqwest::Url;

use super::super::settings::{Origin, Section, SettingsError};
use super::backend::Backend;
use super::error::{RemoteError, Result};
use super::ftp::{FtpLogin, FtpRemote};
use super::http::{Base, HttpRemote, Login, parse_headers};
use super::net::client;
use super::object::{ObjectKind, ObjectRemote, finish};
use super::open::build_web;
use super::rclone::RcloneRemote;
use super::sftp::{SftpLogin, SftpRemote};
use super::webdav::WebdavRemote;

/// Why there is no client.
pub(super) enum BuildError {
    Settings(SettingsError),
    Remote(RemoteError),
}

impl From<SettingsError> for BuildError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error)
    }
}

impl From<RemoteError> for BuildError {
    fn from(error: RemoteError) -> Self {
        Self::Remote(error)
    }
}

type Built = std::result::Result<Backend, BuildError>;

/// The keys that we obey, and those that make no difference to us.
const S3_KEYS: [&str; 22] = [
    "provider",
    "env_auth",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "profile",
    "region",
    "endpoint",
    "location_constraint",
    "acl",
    "bucket_acl",
    "storage_class",
    "server_side_encryption",
    "sse_kms_key_id",
    "force_path_style",
    "chunk_size",
    "upload_cutoff",
    "upload_concurrency",
    "no_check_bucket",
    "disable_checksum",
    "memory_pool_flush_time",
    "memory_pool_use_mmap",
];
const AZURE_KEYS: [&str; 8] = [
    "account",
    "key",
    "sas_url",
    "endpoint",
    "env_auth",
    "chunk_size",
    "upload_concurrency",
    "no_check_container",
];
const FTP_KEYS: [&str; 9] = [
    "host",
    "user",
    "port",
    "pass",
    "concurrency",
    "idle_timeout",
    "shut_timeout",
    "close_timeout",
    "disable_mlsd",
];
const SFTP_KEYS: [&str; 16] = [
    "host",
    "user",
    "port",
    "key_file",
    "known_hosts_file",
    "key_use_agent",
    "shell_type",
    "md5sum_command",
    "sha1sum_command",
    "disable_hashcheck",
    "set_modtime",
    "idle_timeout",
    "chunk_size",
    "concurrency",
    "skip_links",
    "use_fstat",
];
const WEBDAV_KEYS: [&str; 6] = ["url", "vendor", "user", "pass", "bearer_token", "headers"];
const HTTP_KEYS: [&str; 8] =
    ["url", "headers", "user", "pass", "bearer_token", "no_slash", "no_head", "no_escape"];

/// `bucket` is for object storage.
pub(super) async fn build(section: &Section, bucket: &str) -> Built {
    let known: &[&str] = match section.kind.as_str() {
        "url" => return Ok(build_web(&section.name)?),
        "s3" => &S3_KEYS,
        "azureblob" => &AZURE_KEYS,
        "ftp" => &FTP_KEYS,
        "sftp" => &SFTP_KEYS,
        "webdav" => &WEBDAV_KEYS,
        "http" => &HTTP_KEYS,
        _ => return by_rclone(section, None, bucket).await,
    };
    if let Some(key) = section.unknown_key(known) {
        return by_rclone(section, Some(key), bucket).await;
    }
    match section.kind.as_str() {
        "s3" => Ok(Backend::Object(build_s3(section, bucket)?)),
        "azureblob" => build_azure(section, bucket),
        "ftp" => build_ftp(section),
        "sftp" => build_sftp(section),
        "webdav" => {
            let url = web_url(section)?;
            let login = build_login(section)?;
            let http = HttpRemote { client: client()?, base: Base::Url(url), login };
            Ok(Backend::Webdav(WebdavRemote(http)))
        }
        _ => {
            let url = web_url(section)?;
            let login = build_login(section)?;
            Ok(Backend::Http(HttpRemote { client: client()?, base: Base::Url(url), login }))
        }
    }
}

/// Hands what we do not speak to `rclone`. In `storage.toml`, which is ours, an
/// unknown key of a type that we know is a mistake.
async fn by_rclone(section: &Section, key: Option<&str>, bucket: &str) -> Built {
    let kind = section.kind.clone();
    let place = section.place();
    // Passwords of SFTP are a key that we know and cannot use.
    let is_password = section.kind == "sftp" && matches!(key, Some("pass" | "key_pem"));
    let is_ours = matches!(section.origin, Origin::Toml(_)) && !is_password;
    if let Some(key) = key.filter(|_| is_ours) {
        return Err(SettingsError::UnknownKey { place, kind, key: key.to_owned() }.into());
    }
    if !RcloneRemote::is_installed().await {
        return Err(match key {
            Some(key) => SettingsError::UnknownKey { place, kind, key: key.to_owned() },
            None => SettingsError::NeedsRclone { place, kind },
        }
        .into());
    }
    Ok(Backend::Rclone(RcloneRemote::of_section(section)?.within(bucket)))
}

fn build_s3(section: &Section, bucket: &str) -> Result<ObjectRemote> {
    let mut builder = opendal::services::S3::default().bucket(bucket);
    let endpoint = section.get("endpoint");
    if let Some(endpoint) = endpoint {
        builder = builder.endpoint(endpoint);
    }
    match section.get("region") {
        Some(region) => builder = builder.region(region),
        // Servers other than Amazon's have no regions, and want the word.
        None if endpoint.is_some() => builder = builder.region("us-east-1"),
        None => {}
    }
    let keys = (section.get("access_key_id"), section.get("secret_access_key"));
    match keys {
        (Some(id), Some(secret)) => {
            builder = builder.access_key_id(id).secret_access_key(secret);
            builder = builder.disable_config_load().disable_ec2_metadata();
            if let Some(token) = section.get("session_token") {
                builder = builder.session_token(token);
            }
        }
        _ if section.is_on("env_auth") || section.get("profile").is_some() => {
            if let Some(profile) = section.get("profile") {
                builder = builder.profile(profile);
            }
        }
        _ => {
            builder = builder.skip_signature().disable_config_load().disable_ec2_metadata();
            builder = builder.region(section.get("region").unwrap_or("us-east-1"));
        }
    }
    if section.get("force_path_style") == Some("false") {
        builder = builder.enable_virtual_host_style();
    }
    if let Some(class) = section.get("storage_class") {
        builder = builder.default_storage_class(class);
    }
    if let Some(acl) = section.get("acl") {
        builder = builder.default_acl(acl);
    }
    if let Some(encryption) = section.get("server_side_encryption") {
        builder = builder.server_side_encryption(encryption);
    }
    if let Some(key) = section.get("sse_kms_key_id") {
        builder = builder.server_side_encryption_aws_kms_key_id(key);
    }
    let has_sums = section.get("server_side_encryption") != Some("aws:kms")
        && section.get("sse_kms_key_id").is_none()
        && !section.is_on("disable_checksum");
    let kind = if has_sums { ObjectKind::S3 } else { ObjectKind::S3WithoutSums };
    let part = section.get("chunk_size").and_then(parse_size);
    Ok(ObjectRemote { operator: finish(builder, client()?)?, kind, part })
}

fn build_azure(section: &Section, container: &str) -> Built {
    let mut builder = opendal::services::Azblob::default().container(container);
    if let Some(url) = section.get("sas_url") {
        let unusable = || SettingsError::Unusable { place: section.place(), key: "sas_url" };
        let (base, token) = url.split_once('?').ok_or_else(unusable)?;
        // The URL may be that of the container.
        let base = base.trim_end_matches('/');
        let base = base.strip_suffix(&format!("/{container}")).unwrap_or(base);
        builder = builder.endpoint(base).sas_token(token);
    } else {
        let account = require(section, "account")?;
        builder = builder.account_name(account);
        builder = match section.get("endpoint") {
            Some(endpoint) => builder.endpoint(endpoint),
            None => builder.endpoint(&format!("https://{account}.blob.core.windows.net")),
        };
        if let Some(key) = section.get("key") {
            builder = builder.account_key(key);
        } else if !section.is_on("env_auth") {
            builder = builder.skip_signature();
        }
    }
    let part = section.get("chunk_size").and_then(parse_size);
    let operator = finish(builder, client()?)?;
    Ok(Backend::Object(ObjectRemote { operator, kind: ObjectKind::Azure, part }))
}

fn build_ftp(section: &Section) -> Built {
    let login = FtpLogin {
        host: require(section, "host")?.to_owned(),
        port: port(section)?.unwrap_or(21),
        user: section.get("user").unwrap_or("anonymous").to_owned(),
        password: section.password("pass")?.unwrap_or_else(|| "scitq@".to_owned()),
    };
    Ok(Backend::Ftp(FtpRemote::new(login)))
}

fn build_sftp(section: &Section) -> Built {
    let path = |key| section.get(key).map(PathBuf::from);
    let login = SftpLogin {
        host: require(section, "host")?.to_owned(),
        user: section.get("user").map(str::to_owned),
        port: port(section)?,
        key_file: path("key_file"),
        known_hosts_file: path("known_hosts_file"),
    };
    Ok(Backend::Sftp(SftpRemote::new(login)))
}

fn build_login(section: &Section) -> std::result::Result<Login, BuildError> {
    let password = section.password("pass")?;
    Ok(Login {
        user: section.get("user").map(|user| (user.to_owned(), password)),
        bearer: section.get("bearer_token").map(str::to_owned),
        headers: section.get("headers").map(parse_headers).transpose()?.unwrap_or_default(),
    })
}

/// The `url` with a final slash.
fn web_url(section: &Section) -> std::result::Result<Url, SettingsError> {
    let url = require(section, "url")?;
    let unusable = || SettingsError::Unusable { place: section.place(), key: "url" };
    Url::parse(&format!("{}/", url.trim_end_matches('/'))).map_err(|_| unusable())
}

fn require<'a>(
    section: &'a Section,
    key: &'static str,
) -> std::result::Result<&'a str, SettingsError> {
    section.get(key).ok_or_else(|| SettingsError::Missing {
        place: section.place(),
        kind: section.kind.clone(),
        key,
    })
}

fn port(section: &Section) -> std::result::Result<Option<u16>, SettingsError> {
    let unusable = || SettingsError::Unusable { place: section.place(), key: "port" };
    section.get("port").map(|port| port.parse().map_err(|_| unusable())).transpose()
}

/// `64M`, `64Mi`, `64MiB`, or KiB where no letter says what.
fn parse_size(text: &str) -> Option<u64> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let shift = match text.get(digits.len()..)?.chars().next().map(|c| c.to_ascii_uppercase()) {
        Some('B') => 0,
        None | Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        Some(_) => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_rclone() {
        for (text, bytes) in [("64M", 64 << 20), ("5Mi", 5 << 20), ("16", 16 << 10), ("7B", 7)] {
            assert_eq!(parse_size(text), Some(bytes));
        }
        assert_eq!(parse_size("big"), None);
    }
}
