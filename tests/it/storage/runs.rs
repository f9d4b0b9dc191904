//! Sequencing runs, from a server that answers as the European Nucleotide
//! Archive does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use scitq::storage::StorageError;

use super::peers::{self, Peer};
use super::tree::{names, write};
use crate::harness::{AgentOptions, Ran, SCITQ, Server};
use crate::world::World;

/// A file, with its name.
type Named<'a> = (&'a str, &'a [u8]);

const HEAD: &str = "run_accession\tfirst_public\tfastq_ftp\tfastq_md5\tfastq_bytes\tsubmitted_ftp\tsubmitted_md5\tsubmitted_bytes\n";

/// What the archive has, and what it was asked.
#[derive(Default)]
struct Shelf {
    /// Files by their paths, without the first slash.
    files: BTreeMap<String, Vec<u8>>,
    /// Lines of the report by accession.
    reports: BTreeMap<String, String>,
    /// So many of the next requests are answered that it is busy.
    busy: usize,
    requests: Vec<String>,
}

#[derive(Clone)]
struct Archive {
    port: u16,
    shelf: Arc<Mutex<Shelf>>,
}

impl Archive {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let archive = Self { port: listener.local_addr().unwrap().port(), shelf: Arc::default() };
        let own = archive.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let archive = own.clone();
                thread::spawn(move || archive.serve(&stream));
            }
        });
        archive
    }

    fn peer(&self) -> Peer {
        Peer::new(World::new(), &self.conf(), "run+fastq://")
    }

    fn conf(&self) -> String {
        format!("[ena]\ntype = ena\nurl = http://127.0.0.1:{}/api\n", self.port)
    }

    fn change(&self, change: impl FnOnce(&mut Shelf)) {
        change(&mut self.shelf.lock().unwrap());
    }

    /// Adds a run with these files, on this server, to both columns.
    fn add(&self, accession: &str, files: &[(&str, &[u8])]) {
        self.add_at(&format!("127.0.0.1:{}", self.port), accession, files);
    }

    fn add_at(&self, server: &str, accession: &str, files: &[(&str, &[u8])]) {
        let join = |cell: &dyn Fn(&Named<'_>) -> String| {
            files.iter().map(cell).collect::<Vec<_>>().join(";")
        };
        let paths = join(&|(name, _)| format!("{server}/vol1/{name}"));
        let sums = join(&|(_, content)| hexadecimal(&Md5::digest(content)));
        let sizes = join(&|(_, content)| content.len().to_string());
        let cells = format!("{paths}\t{sums}\t{sizes}");
        self.change(|shelf| {
            let line = format!("{accession}\t2020-02-03\t{cells}\t{cells}\n");
            shelf.reports.insert(accession.to_owned(), line);
            for (name, content) in files {
                shelf.files.insert(format!("vol1/{name}"), content.to_vec());
            }
        });
    }

    fn count_asked(&self, what: &str) -> usize {
        let kept = self.shelf.lock().unwrap();
        kept.requests.iter().filter(|request| request.contains(what)).count()
    }

    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream).lines();
        let path = lines.next()?.ok()?.split(' ').nth(1)?.trim_start_matches('/').to_owned();
        let mut from = 0;
        for line in lines {
            let line = line.ok()?.to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(range) = line.strip_prefix("range: bytes=") {
                from = range.trim_end_matches('-').parse().ok()?;
            }
        }
        let answer = self.answer(&path, from);
        let mut stream = stream;
        stream.write_all(&answer).ok()?;
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut [0; 1]);
        Some(())
    }

    fn answer(&self, path: &str, from: usize) -> Vec<u8> {
        let mut kept = self.shelf.lock().unwrap();
        kept.requests.push(path.to_owned());
        let (status, more, body) = if kept.busy > 0 {
            kept.busy -= 1;
            ("503 Service Unavailable", "Retry-After: 0\r\n".to_owned(), Vec::new())
        } else if let Some(query) = path.strip_prefix("api/filereport?") {
            let accession = query.strip_prefix("accession=").unwrap().split('&').next().unwrap();
            match kept.reports.get(accession) {
                Some(line) => ("200 OK", String::new(), format!("{HEAD}{line}").into_bytes()),
                None => ("204 No Content", String::new(), Vec::new()),
            }
        } else {
            match kept.files.get(path) {
                None => ("404 Not Found", String::new(), Vec::new()),
                Some(file) if from > 0 => {
                    let (end, all) = (file.len() - 1, file.len());
                    let range = format!("Content-Range: bytes {from}-{end}/{all}\r\n");
                    ("206 Partial Content", range, file[from..].to_vec())
                }
                Some(file) => ("200 OK", String::new(), file.clone()),
            }
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads of this kind, packed.
fn reads(kind: &str) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    for number in 0..20_000 {
        write!(packer, "@{kind}.{number}\nACGTACGTAC\n+\nIIIIIIIIII\n").unwrap();
    }
    packer.finish().unwrap()
}

fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn single_and_paired_reads_come_with_their_sums() {
    let archive = Archive::start();
    let (one, two, alone) = (reads("1"), reads("2"), reads("alone"));
    archive.add("ERR1", &[("ERR1_1.fastq.gz", &one), ("ERR1_2.fastq.gz", &two)]);
    archive.add("SRR2", &[("SRR2.fastq.gz", &alone)]);
    let peer = archive.peer();
    let moved = peer.fetch("ERR1", "paired").await.unwrap();
    assert_eq!((moved.files, moved.bytes), (2, (one.len() + two.len()) as u64));
    assert_eq!(names(&peer.path("paired")), ["ERR1_1.fastq.gz", "ERR1_2.fastq.gz"]);
    assert_eq!(fs::read(peer.path("paired/ERR1_2.fastq.gz")).unwrap(), two);
    peer.fetch("SRR2", "single").await.unwrap();
    assert_eq!(fs::read(peer.path("single/SRR2.fastq.gz")).unwrap(), alone);
    // What is there is not fetched again.
    let files = archive.count_asked("vol1");
    peer.fetch("SRR2", "single").await.unwrap();
    assert_eq!(archive.count_asked("vol1"), files);
    let uri = "run+fastq@filter_r1://ERR1".parse().unwrap();
    let listing = scitq::storage::list(&uri, &peer.transfer()).await.unwrap();
    let listed: Vec<&Path> = listing.entries().map(|(name, _)| name).collect();
    assert_eq!(listed, [Path::new("ERR1_1.fastq.gz")]);
    let uri = "run+submitted://SRR2".parse().unwrap();
    let listing = scitq::storage::list(&uri, &peer.transfer()).await.unwrap();
    assert_eq!(listing.bytes(), alone.len() as u64);
}

#[tokio::test]
async fn another_sum_is_an_error_after_a_second_try() {
    let archive = Archive::start();
    let whole = reads("1");
    archive.add("ERR1", &[("ERR1.fastq.gz", &whole)]);
    let mut damaged = whole.clone();
    damaged[500] ^= 1;
    archive.change(|kept| drop(kept.files.insert("vol1/ERR1.fastq.gz".to_owned(), damaged)));
    let peer = archive.peer();
    let error = peer.fetch("ERR1", "in").await.unwrap_err();
    assert!(matches!(error, StorageError::Checksum { .. }), "{error}");
    assert_eq!(names(&peer.path("in")), Vec::<String>::new());
    assert_eq!(archive.count_asked("vol1"), 2);
}

#[tokio::test]
async fn an_archive_that_is_busy_is_asked_again() {
    let archive = Archive::start();
    let whole = reads("1");
    archive.add("ERR1", &[("ERR1.fastq.gz", &whole)]);
    archive.change(|kept| kept.busy = 2);
    let peer = archive.peer();
    let uri = peer.uri("ERR1");
    let listing = scitq::storage::list(&uri, &peer.transfer()).await.unwrap();
    assert_eq!((archive.count_asked("filereport"), listing.file_count()), (3, 1));
    archive.change(|kept| kept.busy = 1);
    let uri = "run+fastq@https@filter_r1://ERR1".parse().unwrap();
    let listing = scitq::storage::list(&uri, &peer.transfer()).await.unwrap();
    archive.change(|kept| kept.busy = 2);
    let (placement, transfer) = (scitq::storage::Placement::Input, peer.transfer());
    scitq::storage::fetch(listing.into(), &peer.path("in"), placement, &transfer).await.unwrap();
    assert_eq!(fs::read(peer.path("in/ERR1.fastq.gz")).unwrap(), whole);
    assert_eq!(archive.count_asked("vol1"), 3);
}

#[tokio::test]
async fn files_come_by_ftp_where_the_web_has_none() {
    let Some(server) = peers::old_ftp() else { return };
    let archive = Archive::start();
    let whole = reads("1");
    write(&server.folder.join("vol1/ERR1.fastq.gz"), &whole);
    let place = server.base.trim_start_matches("ftp://").trim_end_matches('/').to_owned();
    archive.add_at(&place, "ERR1", &[("ERR1.fastq.gz", &whole)]);
    let peer = archive.peer();
    // That server does not speak HTTP.
    peer.fetch("ERR1", "either").await.unwrap();
    assert_eq!(fs::read(peer.path("either/ERR1.fastq.gz")).unwrap(), whole);
    let uri = "run+fastq@ftp://ERR1".parse().unwrap();
    let listing = scitq::storage::list(&uri, &peer.transfer()).await.unwrap();
    let (placement, transfer) = (scitq::storage::Placement::Input, peer.transfer());
    scitq::storage::fetch(listing.into(), &peer.path("ftp"), placement, &transfer).await.unwrap();
    assert_eq!(names(&peer.path("ftp")), ["ERR1.fastq.gz"]);
}

#[tokio::test]
async fn a_run_that_nobody_has_is_an_error_that_names_it() {
    let archive = Archive::start();
    let peer = archive.peer();
    for address in ["run+submitted://ERR7", "run+fastq@https@ftp://ERR7"] {
        let uri = address.parse().unwrap();
        let error = scitq::storage::list(&uri, &peer.transfer()).await.unwrap_err();
        assert!(matches!(error, StorageError::NotFound { .. }), "{error}");
        assert!(error.to_string().contains("ERR7"), "{error}");
    }
}

/// Programs that do as the tools of the Sequence Read Archive; `names` stand in `folder`.
fn fake_tools(folder: &Path, programs: &[(&str, &str)]) -> String {
    fs::create_dir_all(folder).unwrap();
    for (name, script) in programs {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\nset -e\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    format!("{}:{}", folder.display(), paths.display())
}

const PREFETCH: &str = r#"[ "$1" = --version ] && exit; [ "$1 $2" = "-O ." ]
mkdir "$3"; echo data >"$3/$3.sra""#;
const DUMP: &str = r#"[ "$1" = --version ] && exit; [ "$1 $2 $3" = "--split-3 -O reads" ]
test -e "$4/$4.sra"; mkdir reads
printf '@r.1\nAC\n+\nII\n' >"reads/$4_1.fastq"; printf '@r.2\nGT\n+\nII\n' >"reads/$4_2.fastq""#;

#[test]
fn reads_that_the_archive_lacks_are_made_by_the_tools_of_the_other() {
    let archive = Archive::start();
    archive.change(|kept| {
        let line = "SRR9\t2020-02-03\t\t\t\t\t\t\n".to_owned();
        drop(kept.reports.insert("SRR9".to_owned(), line));
    });
    let mut server = Server::start();
    let conf = server.path().join("rclone.conf");
    fs::write(&conf, archive.conf()).unwrap();
    let tools = [("prefetch", PREFETCH), ("fasterq-dump", DUMP)];
    let path = fake_tools(&server.path().join("bin"), &tools);
    let env = [("RCLONE_CONFIG".to_owned(), conf.display().to_string()), ("PATH".to_owned(), path)];
    server.agent(AgentOptions { env: env.into(), ..AgentOptions::default() });
    let script = "ls $INPUT; zcat $INPUT/*_2.fastq.gz";
    let task = server.launch(&["-i", "run+fastq://SRR9", "--shell", "--", script]);
    server.wait_for(&task, &["succeeded"]);
    let text = String::from_utf8(server.stdout(&task)).unwrap();
    assert_eq!(text, "SRR9_1.fastq.gz\nSRR9_2.fastq.gz\n@r.2\nGT\n+\nII\n");
}

#[test]
fn the_tools_of_an_image_do_where_none_are_installed() {
    let archive = Archive::start();
    let peer = archive.peer();
    let conf = format!("{}sra_image = tools:1\n", archive.conf());
    fs::write(peer.path("rclone.conf"), conf).unwrap();
    let docker = r#"[ "$1" = --version ] && exit
while [ "$1" != -v ]; do shift; done; place=${2%:/run}; shift 4
[ "$1 $2 $3" = "tools:1 sh -c" ]; echo "$4" | grep -q 'fasterq-dump --split-3 -O reads DRR5'
mkdir "$place/reads"; echo @r >"$place/reads/DRR5.fastq""#;
    // An older tool is not found instead of this one.
    let path = fake_tools(&peer.path("bin"), &[("docker", docker), ("fasterq-dump", "exit 1")]);
    let mut command = peer.world.command(SCITQ);
    command.args(["manage", "file", "copy", "run+fastq@sra@filter_r1://DRR5", "in"]);
    command.env("RCLONE_CONFIG", peer.path("rclone.conf")).env("PATH", path);
    Ran::of(command).ok();
    assert_eq!(unpacked(&peer.path("in/DRR5.fastq.gz")), "@r\n");
    assert_eq!(fs::read_dir(peer.path("tmp")).unwrap().count(), 0);
    assert_eq!(archive.count_asked("filereport"), 0);
}

#[test]
fn a_tool_that_fails_says_why() {
    let archive = Archive::start();
    let peer = archive.peer();
    let tools = [("prefetch", "[ \"$1\" = --version ] || { echo no such run >&2; exit 3; }")];
    let path = fake_tools(&peer.path("bin"), &[tools[0], ("fasterq-dump", "exit 0")]);
    let mut command = peer.world.command(SCITQ);
    command.args(["manage", "file", "list", "run+fastq@sra://DRR5"]);
    command.env("RCLONE_CONFIG", peer.path("rclone.conf")).env("PATH", path);
    Ran::of(command).refused(1, "no such run");
}
