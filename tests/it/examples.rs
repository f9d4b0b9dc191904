//! The examples, run as a user runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::engine::Engine;
use crate::harness::{AgentOptions, Ran, SCITQ, Server, World, until};
use crate::storage::peers;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// Whether the sequencing example can run here. Says what is missing; with `CI=true` that fails.
fn can_run_qc() -> bool {
    let mut missing: Vec<&str> = ["fastp", "bowtie2", "samtools", "seqtk"]
        .into_iter()
        .filter(|program| {
            let paths = std::env::var_os("PATH").unwrap_or_default();
            !std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
        })
        .collect();
    if !Path::new("/usr/share/doc/bowtie2/examples/reads/reads_1.fq.gz").exists() {
        missing.push("bowtie2-examples");
    }
    if missing.is_empty() {
        return true;
    }
    let said = format!("SKIPPED: the sequencing example needs the packages {}", missing.join(" "));
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!is_ci, "{said}");
    eprintln!("{said}");
    false
}

/// The reads in a compressed file, as text.
fn reads(file: &Path) -> Vec<u8> {
    let output = Command::new("gzip").arg("-dc").arg(file).output().unwrap();
    assert!(output.status.success(), "{}: {output:?}", file.display());
    output.stdout
}

#[test]
fn the_pipeline_finds_the_reads_that_the_same_programs_find_by_hand() {
    if !can_run_qc() {
        return;
    }
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let folder = server.path().join("qc");
    let script = |name: &str| {
        let mut command = server.program(example("qc").join(name));
        command.arg(&folder).env("SCITQ_BIN", SCITQ);
        Ran::of(command).ok()
    };
    script("make-reads.sh");
    let by_hand = script("by-hand.sh");
    let with_scitq = script("run.sh");
    assert_eq!(with_scitq.text(), by_hand.text());
    assert_eq!(with_scitq.text().lines().count(), 9, "{with_scitq}");
    // Sample k has 100·k pairs that are not the host's.
    for (line, sample) in with_scitq.text().lines().skip(1).zip(1..) {
        let columns: Vec<u32> =
            line.split('\t').skip(1).take(4).map(|number| number.parse().unwrap()).collect();
        let [raw, clean, nohost, sampled] = columns[..] else { panic!("{line}") };
        assert_eq!(raw, 1250 + 100 * sample);
        assert!(nohost < clean && clean < raw, "{line}");
        assert!((100 * sample..100 * sample + 20).contains(&nohost), "{line}");
        assert_eq!(sampled, nohost.min(150));
    }
    for stage in ["clean", "nohost", "sample"] {
        for (sample, mate) in (1..=8).flat_map(|sample| [(sample, 1), (sample, 2)]) {
            let name = format!("s{sample}.{stage}_{mate}.fq.gz");
            let one = reads(&folder.join(stage).join(&name));
            let other = reads(&folder.join("by-hand").join(&name));
            assert!(one == other, "{name} differs");
        }
    }
}

/// The table as the example's own page has it.
fn told_table() -> String {
    let page = fs::read_to_string(example("qc/README.md")).unwrap();
    let (_, rest) = page.split_once("```\nsample\traw").unwrap();
    let (table, _) = rest.split_once("\n```").unwrap();
    format!("sample\traw{table}")
}

#[test]
fn the_pipeline_finds_the_same_in_containers_with_its_data_in_s3() {
    if !can_run_qc() {
        return;
    }
    let Some(engine) = Engine::of_this_machine() else { return };
    let Some(store) = peers::s3() else { return };
    let mut server = Server::start();
    let settings = store.path("rclone.conf").display().to_string();
    let mut options = engine.agent();
    options.env.insert("RCLONE_CONFIG".to_owned(), settings.clone());
    let agent = server.agent(options);
    let folder = server.path().join("qc");
    let folder = folder.to_str().unwrap();
    let image = format!("scitq-test:qc-{}", std::process::id());
    let address = format!("{}qc/", store.base);
    let script = |name: &str, arguments: &[&str]| {
        let mut command = server.program(example("qc").join(name));
        command.args(arguments).env("SCITQ_BIN", SCITQ).env("RCLONE_CONFIG", &settings);
        command.env("DOCKER_HOST", engine.address());
        Ran::of(command).ok()
    };
    script("make-reads.sh", &[folder]);
    script("put-data.sh", &[folder, &address]);
    script("make-image.sh", &[&image]);
    let ran = script("run-in-containers.sh", &[&address, &image]);
    engine.docker(&["rmi", &image]);
    assert_eq!(ran.text(), told_table());
    // All eight tasks had one and the same unpacked index.
    let resources = server.workdir(agent).join("resources");
    assert_eq!(fs::read_dir(resources).unwrap().count(), 1);
    assert_eq!(engine.count(server.world()), 0, "no container is left");
}

#[test]
fn the_pipeline_says_what_is_missing() {
    let world = World::new();
    let bin = world.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["bash", "dirname", "sort", "tr"] {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(name), bin.join(name)).unwrap();
    }
    let mut command = world.command("/bin/bash");
    command.arg(example("qc/run.sh")).arg(world.path()).env("PATH", &bin);
    let ran = Ran::of(command).refused(78, "program fastp is missing (Debian package fastp)");
    assert!(ran.stderr.contains("apt-get install bowtie2 fastp samtools seqtk"), "{ran}");
}

#[test]
fn the_pipeline_says_that_there_is_no_server() {
    if !can_run_qc() {
        return;
    }
    let world = World::new();
    let mut command = world.command(example("qc/run.sh"));
    command.arg(world.path()).env("SCITQ_BIN", SCITQ).env("SCITQ_SERVER", "http://127.0.0.1:1");
    let ran = Ran::of(command).refused(69, "127.0.0.1:1");
    assert!(ran.stderr.contains("serve --with-agent"), "{ran}");
}

/// Nothing of the quickstart is left: no process, no file.
fn assert_clean(world: &World) {
    assert_eq!(world.command_lines(), Vec::<String>::new());
    let left: Vec<PathBuf> = fs::read_dir(world.path().join("tmp"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

fn quickstart(world: &World) -> Command {
    let mut command = world.command(example("quickstart/run.sh"));
    command.env("SCITQ_BIN", SCITQ);
    command
}

#[test]
fn the_quickstart_shows_a_result_and_leaves_nothing() {
    let world = World::new();
    let ran = Ran::of(quickstart(&world)).ok();
    assert!(ran.text().contains("\npi is about 3.14"), "{ran}");
    assert!(ran.text().contains("scitq serve --with-agent"), "{ran}");
    assert_clean(&world);
}

#[test]
fn the_quickstart_leaves_nothing_when_it_is_interrupted() {
    let world = World::new();
    let mut process = world.spawn("quickstart", quickstart(&world));
    let log = world.path().join("logs/quickstart");
    until("the quickstart to follow a task", || {
        fs::read_to_string(&log).unwrap().contains("== Queueing one").then_some(())
    });
    kill_process_group(Pid::from_child(&process), Signal::INT).unwrap();
    let status = until("the quickstart to end", || process.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    assert_clean(&world);
}
