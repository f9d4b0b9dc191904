//! Real servers for tests: each listens on a free port of this machine and ends with its test.
//!
//! `tests/run` installs them. A test whose server is missing says so and does nothing; with
//! `CI=true` it fails.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use scitq::domain::uri::Uri;
use scitq::storage::settings::{SettingsFiles, StorageSettings};
use scitq::storage::{self, Listing, Moved, Patience, Placement, Remotes, StorageError, Transfer};
use sha2::{Digest, Sha256};

use crate::world::{World, until};

/// A place for data on a server.
#[derive(Debug)]
pub struct Peer {
    pub world: World,
    pub remotes: Remotes,
    /// Ends in a slash.
    pub base: String,
    /// Where the server's files are on this machine, if they are plain files.
    pub folder: PathBuf,
    server: Option<Child>,
}

/// Account and key that every Azurite has.
const AZURE: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);

pub const S3_SECRET: &str = "SECRETKEY12345";

impl Peer {
    /// A peer with these sections of an `rclone.conf`.
    pub fn new(world: World, conf: &str, base: &str) -> Self {
        let path = world.path().join("rclone.conf");
        fs::write(&path, conf).unwrap();
        let files = SettingsFiles { storage_toml: None, rclone_conf: Some(path) };
        let patience = Patience { tries: 4, first_wait: Duration::from_millis(20) };
        let remotes = Remotes::new(StorageSettings::new(files), patience);
        let folder = world.path().join("served");
        fs::create_dir_all(&folder).unwrap();
        Self { world, remotes, base: base.to_owned(), folder, server: None }
    }

    fn served_by(mut self, server: Child) -> Self {
        self.server = Some(server);
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.world.path().join(name)
    }

    pub fn uri(&self, name: &str) -> Uri {
        format!("{}{name}", self.base).parse().unwrap()
    }

    pub fn transfer(&self) -> Transfer {
        Transfer { remotes: self.remotes.clone(), ..Transfer::default() }
    }

    pub async fn list(&self, name: &str) -> Result<Listing, StorageError> {
        storage::list(&self.uri(name), &self.transfer()).await
    }

    pub async fn fetch(&self, name: &str, to: &str) -> Result<Moved, StorageError> {
        self.fetch_with(name, to, &self.transfer()).await
    }

    pub async fn fetch_with(
        &self,
        name: &str,
        to: &str,
        transfer: &Transfer,
    ) -> Result<Moved, StorageError> {
        let listing = storage::list(&self.uri(name), transfer).await?;
        storage::fetch(listing.into(), &self.path(to), Placement::Input, transfer).await
    }

    pub async fn send(&self, from: &str, name: &str) -> Result<Moved, StorageError> {
        storage::send(&self.path(from), &self.uri(name), &self.transfer()).await
    }

    pub async fn delete(&self, name: &str) -> Result<u64, StorageError> {
        storage::delete(&self.uri(name), &self.transfer()).await
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// A folder of this machine, through a section of the settings.
pub fn local() -> Peer {
    let world = World::new();
    let base = format!("disk://{}/served/", world.path().display());
    Peer::new(world, "[disk]\ntype = local\n", &base)
}

pub fn s3() -> Option<Peer> {
    let weed = pypi("weed")?;
    let world = World::new();
    let folder = world.path().join("weed");
    fs::create_dir(&folder).unwrap();
    let identities = format!(
        r#"{{"identities":[{{"name":"scitq","credentials":[{{"accessKey":"AK","secretKey":"{S3_SECRET}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
    );
    fs::write(folder.join("s3.json"), identities).unwrap();
    let [master, volume, filer, port] = std::array::from_fn(|_| free_port_with_twin());
    let mut command = world.command(weed);
    command
        .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
        .arg(format!("-dir={}", folder.display()))
        .arg(format!("-s3.config={}", folder.join("s3.json").display()))
        .arg(format!("-master.port={master}"))
        .arg(format!("-volume.port={volume}"))
        .arg(format!("-filer.port={filer}"))
        .arg(format!("-s3.port={port}"))
        .arg(format!("-filer.localSocket={}", folder.join("filer.sock").display()))
        .arg(format!("-s3.localSocket={}", folder.join("s3.sock").display()))
        .args(["-volume.max=20", "-master.volumeSizeLimitMB=512", "-master.telemetry=false"])
        // What else it would serve has ports of its own, which two tests cannot share.
        .args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
    let server = world.spawn("weed", command);
    // A bucket is a folder of the filer.
    until("SeaweedFS to make a bucket", || {
        let answer = ask(filer, "POST /buckets/bucket/ HTTP/1.0\r\nContent-Length: 0\r\n\r\n")?;
        answer.contains(" 201 ").then_some(())
    });
    until("SeaweedFS to speak S3", || ask(port, "GET / HTTP/1.0\r\n\r\n"));
    let conf = format!(
        "[store]\ntype = s3\nprovider = Other\naccess_key_id = AK\nsecret_access_key = {S3_SECRET}\nendpoint = http://127.0.0.1:{port}\n\
         [thief]\ntype = s3\naccess_key_id = AK\nsecret_access_key = WRONGSECRET999\nendpoint = http://127.0.0.1:{port}\n"
    );
    Some(Peer::new(world, &conf, "store://bucket/").served_by(server))
}

pub fn azure() -> Option<Peer> {
    let azurite = peers().join("node/node_modules/.bin/azurite-blob");
    if !azurite.exists() {
        return missing("Azurite");
    }
    let world = World::new();
    let folder = world.path().join("azurite");
    fs::create_dir(&folder).unwrap();
    let port = free_port();
    let mut command = world.command(azurite);
    command
        .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--location"])
        .arg(&folder)
        .args(["--skipApiVersionCheck", "--loose", "--silent", "--disableTelemetry"]);
    let server = world.spawn("azurite", command);
    until("Azurite to make a container", || {
        let answer = ask(port, &azure_create_container())?;
        answer.contains(" 201 ").then_some(())
    });
    let (account, key) = AZURE;
    let endpoint = format!("http://127.0.0.1:{port}/{account}");
    let wrong = STANDARD.encode("wrong");
    let conf = format!(
        "[blobs]\ntype = azureblob\naccount = {account}\nkey = {key}\nendpoint = {endpoint}\n\
         [thief]\ntype = azureblob\naccount = {account}\nkey = {wrong}\nendpoint = {endpoint}\n"
    );
    Some(Peer::new(world, &conf, "blobs://box/").served_by(server))
}

pub fn ftp() -> Option<Peer> {
    let python = pypi("python")?;
    let (right, wrong) = (obscure("sesame")?, obscure("WRONGSECRET999")?);
    let world = World::new();
    let port = free_port();
    let folder = world.path().join("served");
    fs::create_dir(&folder).unwrap();
    let mut command = world.command(python);
    command.args(["-m", "pyftpdlib", "-i", "127.0.0.1", "-w", "-u", "joe", "-P", "sesame"]);
    command.args(["-p", &port.to_string(), "-d"]).arg(&folder);
    let server = world.spawn("pyftpdlib", command);
    wait_for_port(port);
    let conf = format!(
        "[lab]\ntype = ftp\nhost = 127.0.0.1\nport = {port}\nuser = joe\npass = {right}\n\
         [thief]\ntype = ftp\nhost = 127.0.0.1\nport = {port}\nuser = joe\npass = {wrong}\n"
    );
    Some(Peer::new(world, &conf, "lab://").served_by(server))
}

/// An FTP server of the old kind, which lists as `ls -l` does; for reading.
pub fn old_ftp() -> Option<Peer> {
    let (world, port, server) = start_vsftpd(World::new(), &debian("vsftpd")?, "");
    let base = format!("ftp://127.0.0.1:{port}/");
    Some(Peer::new(world, "", &base).served_by(server))
}

/// Serves the folder `served` to everybody, with further settings.
fn start_vsftpd(world: World, vsftpd: &Path, more: &str) -> (World, u16, Child) {
    let (port, folder) = (free_port(), world.path().join("served"));
    let empty = world.path().join("empty");
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&empty).unwrap();
    open_to_all(world.path());
    let conf = world.path().join("vsftpd.conf");
    let text = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nanonymous_enable=YES\n\
         no_anon_password=YES\nanon_root={}\nanon_world_readable_only=NO\nallow_writeable_chroot=YES\n\
         secure_chroot_dir={}\nseccomp_sandbox=NO\nutf8_filesystem=YES\n{more}",
        folder.display(),
        empty.display()
    );
    fs::write(&conf, text).unwrap();
    let mut command = world.command(vsftpd);
    command.arg(&conf);
    let server = world.spawn("vsftpd", command);
    wait_for_port(port);
    (world, port, server)
}

pub fn sftp() -> Option<Peer> {
    let sshd = debian("sshd")?;
    let world = World::new();
    let port = free_port();
    let path = |name: &str| world.path().join(name).display().to_string();
    for key in ["host", "id", "other"] {
        let mut command = world.command("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
        assert!(command.status().unwrap().success());
    }
    let conf = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
         StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n",
        path("host"),
        path("id.pub")
    );
    fs::write(path("sshd.conf"), conf).unwrap();
    // sshd wants this folder, and no option names another.
    let _ = fs::create_dir_all("/run/sshd");
    let mut command = world.command(sshd);
    command.args(["-D", "-e", "-f", &path("sshd.conf")]);
    let server = world.spawn("sshd", command);
    wait_for_port(port);
    let section = |name: &str, key: &str| {
        format!(
            "[{name}]\ntype = sftp\nhost = 127.0.0.1\nport = {port}\nkey_file = {}\nknown_hosts_file = {}\n",
            path(key),
            path("known_hosts")
        )
    };
    let conf = section("lab", "id") + &section("thief", "other");
    let base = format!("lab://{}/", path("served"));
    Some(Peer::new(world, &conf, &base).served_by(server))
}

pub fn webdav() -> Option<Peer> {
    let rclone = debian("rclone")?;
    let (right, wrong) = (obscure("sesame")?, obscure("WRONGSECRET999")?);
    let world = World::new();
    let (port, folder) = (free_port(), world.path().join("served"));
    fs::create_dir(&folder).unwrap();
    let mut command = world.command(rclone);
    command.args(["serve", "webdav", "--addr", &format!("127.0.0.1:{port}")]);
    command.args(["--user", "joe", "--pass", "sesame"]).arg(&folder);
    let server = world.spawn("webdav", command);
    wait_for_port(port);
    let conf = format!(
        "[dav]\ntype = webdav\nurl = http://127.0.0.1:{port}\nvendor = other\nuser = joe\npass = {right}\n\
         [thief]\ntype = webdav\nurl = http://127.0.0.1:{port}\nvendor = other\nuser = joe\npass = {wrong}\n"
    );
    Some(Peer::new(world, &conf, "dav://").served_by(server))
}

/// A web server that lists its folders, as far as `rclone` reads such pages.
pub fn http() -> Option<Peer> {
    let nginx = debian("nginx")?;
    let world = World::new();
    let (port, folder) = (free_port(), world.path().join("served"));
    fs::create_dir(&folder).unwrap();
    let top = world.path().display();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let conf = format!(
        "daemon off; {user} pid {top}/nginx.pid; error_log {top}/nginx.log; events {{}}\n\
         http {{ access_log off; default_type application/octet-stream;\n\
         client_body_temp_path {top}/t1; proxy_temp_path {top}/t2; fastcgi_temp_path {top}/t3;\n\
         uwsgi_temp_path {top}/t4; scgi_temp_path {top}/t5;\n\
         server {{ listen 127.0.0.1:{port}; root {top}/served; autoindex on; location /noranges/ {{ max_ranges 0; }}\n\
         location /locked/ {{ return 403; }} }} }}\n"
    );
    fs::write(world.path().join("nginx.conf"), conf).unwrap();
    let mut command = world.command(nginx);
    command.arg("-c").arg(world.path().join("nginx.conf"));
    let server = world.spawn("nginx", command);
    wait_for_port(port);
    Some(Peer::new(world, "", &format!("http://127.0.0.1:{port}/")).served_by(server))
}

/// A kind of storage that only `rclone` speaks: encrypted names on a disk.
pub fn rclone() -> Option<Peer> {
    debian("rclone")?;
    let world = World::new();
    let place = world.path().join("served").display().to_string();
    let conf =
        format!("[vault]\ntype = crypt\nremote = {place}\npassword = {}\n", obscure("sesame")?);
    Some(Peer::new(world, &conf, "vault://"))
}

/// An SFTP server that knows no keys.
pub fn sftp_with_password() -> Option<Peer> {
    let rclone = debian("rclone")?;
    let password = obscure("sesame")?;
    let world = World::new();
    let (port, folder) = (free_port(), world.path().join("served"));
    fs::create_dir(&folder).unwrap();
    let mut command = world.command(rclone);
    command.args(["serve", "sftp", "--addr", &format!("127.0.0.1:{port}")]);
    command.args(["--user", "joe", "--pass", "sesame"]).arg(&folder);
    let server = world.spawn("sftp", command);
    wait_for_port(port);
    let conf = format!(
        "[lab]\ntype = sftp\nhost = 127.0.0.1\nport = {port}\nuser = joe\npass = {password}\n"
    );
    Some(Peer::new(world, &conf, "lab://").served_by(server))
}

/// An FTP server that wants TLS; for reading.
pub fn ftps() -> Option<Peer> {
    debian("rclone")?;
    let (vsftpd, openssl, password) = (debian("vsftpd")?, debian("openssl")?, obscure("any")?);
    let world = World::new();
    let (key, certificate) = (world.path().join("key.pem"), world.path().join("cert.pem"));
    let mut command = world.command(openssl);
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=localhost", "-keyout"]).arg(&key).arg("-out").arg(&certificate);
    crate::world::Ran::of(command).ok();
    let tls = format!(
        "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\n\
         require_ssl_reuse=NO\nrsa_cert_file={}\nrsa_private_key_file={}\n",
        certificate.display(),
        key.display()
    );
    let (world, port, server) = start_vsftpd(world, &vsftpd, &tls);
    let conf = format!(
        "[lab]\ntype = ftp\nhost = 127.0.0.1\nport = {port}\nuser = anonymous\npass = {password}\n\
         explicit_tls = true\nno_check_certificate = true\ntls_cache_size = 0\n"
    );
    Some(Peer::new(world, &conf, "lab://").served_by(server))
}

/// Says what is missing; with `CI=true` that fails.
pub fn missing<T>(what: &str) -> Option<T> {
    let said = format!("SKIPPED: the tests need {what} (tests/run installs it)");
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!is_ci, "{said}");
    eprintln!("{said}");
    None
}

pub fn debian(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&paths).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(program)).find(|path| path.is_file());
    found.or_else(|| missing(program))
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn wait_for_port(port: u16) {
    until(&format!("a server on port {port}"), || TcpStream::connect(("127.0.0.1", port)).ok());
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}

fn pypi(program: &str) -> Option<PathBuf> {
    let path = peers().join("python/bin").join(program);
    if path.exists() { Some(path) } else { missing(program) }
}

/// SeaweedFS listens on the port plus 10,000 as well.
fn free_port_with_twin() -> u16 {
    loop {
        let port = free_port();
        let twin = port.checked_add(10_000).filter(|twin| *twin < 65_000);
        if twin.is_some_and(|twin| TcpListener::bind(("127.0.0.1", twin)).is_ok()) {
            return port;
        }
    }
}

/// Sends a request as it is; the answer, if there is one.
fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Some(String::from_utf8_lossy(&answer).into_owned()).filter(|answer| !answer.is_empty())
}

fn obscure(password: &str) -> Option<String> {
    let output = std::process::Command::new(debian("rclone")?).args(["obscure", password]).output();
    Some(String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned())
}

/// vsftpd reads as another user.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The request that makes the container `box`, signed as Azure wants it.
fn azure_create_container() -> String {
    let (account, key) = AZURE;
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&jiff::Timestamp::now())
        .unwrap();
    let headers = format!("x-ms-date:{date}\nx-ms-version:2021-08-06\n");
    // Eleven headers that the request does not have.
    let none = "\n".repeat(12);
    let signed = format!("PUT{none}{headers}/{account}/{account}/box\nrestype:container");
    let signature = STANDARD.encode(hmac(&STANDARD.decode(key).unwrap(), signed.as_bytes()));
    format!(
        "PUT /{account}/box?restype=container HTTP/1.0\r\nHost: 127.0.0.1\r\nx-ms-date: {date}\r\n\
         x-ms-version: 2021-08-06\r\nContent-Length: 0\r\nAuthorization: SharedKey {account}:{signature}\r\n\r\n"
    )
}

/// HMAC with SHA-256; the key is at most a block long.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| -> Vec<u8> {
        (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ pad).collect()
    };
    let inner = Sha256::digest([&padded(0x36), text].concat());
    Sha256::digest([padded(0x5c), inner.to_vec()].concat()).to_vec()
}
