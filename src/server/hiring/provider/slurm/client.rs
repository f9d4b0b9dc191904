//! Slurm's own programs: what they are asked, and what their answers mean.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::super::{ErrorClass, ProviderError};

/// How long one of them may take. `sbatch` itself waits for a controller that is away.
const PATIENCE: Duration = Duration::from_mins(1);

/// What `sbatch` says before it tries for minutes to get into a queue that is full.
const TRIES_AGAIN: &str = "sleeping and retrying";

/// A job, as `squeue` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: String,
    /// As Slurm spells it: `PENDING`, `RUNNING`, …
    pub state: String,
    pub reason: String,
    pub nodes: String,
    pub partition: String,
    pub name: String,
    pub comment: String,
}

/// Kinds of nodes in one partition.
#[derive(Debug, Clone, PartialEq)]
pub struct Nodes {
    pub partition: String,
    pub cpu: u32,
    /// GiB.
    pub ram: f64,
    /// As `sbatch --gres` takes it; none: there is none.
    pub gres: Option<String>,
}

/// How Slurm's programs are run.
#[derive(Debug, Clone)]
pub struct Client {
    environment: BTreeMap<String, String>,
}

impl Job {
    /// Whether it is over, for better or worse.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(
            self.state.as_str(),
            "PENDING"
                | "CONFIGURING"
                | "RUNNING"
                | "COMPLETING"
                | "SUSPENDED"
                | "STOPPED"
                | "RESIZING"
                | "SIGNALING"
                | "STAGE_OUT"
                | "REQUEUED"
                | "REQUEUE_HOLD"
                | "REQUEUE_FED"
                | "SPECIAL_EXIT"
        )
    }

    fn read(line: &str) -> Option<Self> {
        let mut fields = line.splitn(7, '|').map(|field| field.trim().to_owned());
        Some(Self {
            id: fields.next()?,
            state: fields.next()?,
            reason: fields.next()?,
            nodes: fields.next()?,
            partition: fields.next()?,
            name: fields.next()?,
            comment: fields.next()?,
        })
    }
}

impl Nodes {
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split('|').map(str::trim);
        let partition = fields.next()?.to_owned();
        // Where nodes of several sizes are in a line: `16+`.
        let number = |text: &str| text.trim_end_matches('+').parse::<u32>().ok();
        let (cpu, megabytes) = (number(fields.next()?)?, number(fields.next()?)?);
        let gres = fields.next()?;
        // `gpu:a100:4(S:0-1)` says where they are as well.
        let gres = gres.split('(').next().unwrap_or_default();
        Some(Self {
            partition,
            cpu,
            ram: f64::from(megabytes) / 1024.0,
            gres: Some(gres.to_owned()).filter(|gres| !gres.is_empty() && *gres != "null"),
        })
    }
}

impl Client {
    #[must_use]
    pub const fn new(environment: BTreeMap<String, String>) -> Self {
        Self { environment }
    }

    /// The kinds of nodes of all partitions that take jobs, each once.
    ///
    /// # Errors
    /// Slurm does not answer.
    pub async fn nodes(&self) -> Result<Vec<Nodes>, ProviderError> {
        let text = self.run("sinfo", &["-h", "-N", "-o", "%R|%c|%m|%G|%a"], None).await?;
        let mut found: Vec<Nodes> = Vec::new();
        for line in text.lines().filter(|line| line.ends_with("|up")) {
            if let Some(nodes) = Nodes::read(line)
                && !found.contains(&nodes)
            {
                found.push(nodes);
            }
        }
        Ok(found)
    }

    /// The jobs of this user whose end Slurm still remembers.
    ///
    /// # Errors
    /// Slurm does not answer.
    pub async fn jobs(&self) -> Result<Vec<Job>, ProviderError> {
        let arguments = ["-h", "--me", "-t", "all", "-o", "%i|%T|%r|%N|%P|%j|%k"];
        let text = self.run("squeue", &arguments, None).await?;
        Ok(text.lines().filter_map(Job::read).collect())
    }

    /// One job; none where Slurm remembers none of that number.
    ///
    /// # Errors
    /// Slurm does not answer.
    pub async fn job(&self, id: &str) -> Result<Option<Job>, ProviderError> {
        let arguments = ["-h", "-j", id, "-t", "all", "-o", "%i|%T|%r|%N|%P|%j|%k"];
        match self.run("squeue", &arguments, None).await {
            Ok(text) => Ok(text.lines().find_map(Job::read)),
            Err(error) if error.message.contains("Invalid job id") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Submits a script; the number of the job.
    ///
    /// # Errors
    /// Why Slurm does not take it.
    pub async fn submit(&self, script: &str) -> Result<String, ProviderError> {
        let text = self.run("sbatch", &["--parsable"], Some(script)).await?;
        // With several clusters: `17;name`.
        let id = text.trim().split(';').next().unwrap_or_default().to_owned();
        if id.is_empty() || !id.chars().all(|digit| digit.is_ascii_digit()) {
            let message = format!("sbatch answered `{}` and no number of a job", text.trim());
            return Err(ProviderError::new(ErrorClass::Transient, message));
        }
        Ok(id)
    }

    /// Ends a job. One that is over already stays so.
    ///
    /// # Errors
    /// Slurm does not answer, or does not allow it.
    pub async fn cancel(&self, id: &str) -> Result<(), ProviderError> {
        match self.run("scancel", &["-Q", id], None).await {
            Err(error) if !error.message.contains("Invalid job id") => Err(error),
            _ => Ok(()),
        }
    }

    async fn run(
        &self,
        program: &str,
        arguments: &[&str],
        input: Option<&str>,
    ) -> Result<String, ProviderError> {
        let mut command = Command::new(program);
        // Jobs get these variables too: what else the head knows is none of theirs.
        command.args(arguments).env_clear().envs(&self.environment).kill_on_drop(true);
        command.stdin(input.map_or_else(Stdio::null, |_| Stdio::piped()));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut said = String::new();
        match tokio::time::timeout(PATIENCE, answer(command, input, &mut said)).await {
            Ok(Ok(Some(stdout))) => Ok(stdout),
            Ok(Ok(None)) => Err(refusal(program, &said)),
            Ok(Err(error)) => {
                let message = format!(
                    "cannot run `{program}`, which the head needs (Debian: slurm-client): {error}"
                );
                Err(ProviderError::new(ErrorClass::Unsupported, message))
            }
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                let message =
                    format!("{program} has not answered for {seconds} s: {}", said.trim());
                Err(ProviderError::new(ErrorClass::Transient, message))
            }
        }
    }
}

/// What a program prints; none where it fails, or says that it will go on trying.
async fn answer(
    mut command: Command,
    input: Option<&str>,
    said: &mut String,
) -> std::io::Result<Option<String>> {
    let mut child = command.spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let send = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // Its exit code says why, where it does not want to read.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        Ok(())
    };
    let mut text = Vec::new();
    let read = async {
        match stdout {
            Some(mut stdout) => stdout.read_to_end(&mut text).await,
            None => Ok(0),
        }
    };
    let hear = async {
        let Some(stderr) = stderr else { return Ok(()) };
        let mut lines = BufReader::new(stderr).lines();
        while let Some(line) = lines.next_line().await? {
            said.push_str(&line);
            said.push('\n');
            if line.contains(TRIES_AGAIN) {
                return Err(std::io::Error::from(std::io::ErrorKind::ResourceBusy));
            }
        }
        Ok(())
    };
    match tokio::try_join!(send, read, hear) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => return Ok(None),
        Err(error) => return Err(error),
    }
    let is_good = child.wait().await?.success();
    Ok(is_good.then(|| String::from_utf8_lossy(&text).into_owned()))
}

/// What it means that one of Slurm's programs failed with these words.
fn refusal(program: &str, stderr: &str) -> ProviderError {
    let prefixes = [format!("{program}: error: "), format!("{program}: fatal: ")];
    let lines = stderr.lines().map(|line| {
        let line = line.trim();
        prefixes.iter().find_map(|prefix| line.strip_prefix(prefix.as_str())).unwrap_or(line)
    });
    let said = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let class = if has(&["nvalid account", "ermission denied", "not permitted", "uthentication"]) {
        ErrorClass::Authentication
    } else if has(&["violates accounting", "Limit", "limit", "QOS"]) {
        ErrorClass::Quota
    } else if has(&["temporarily unable to accept", "Resource temporarily unavailable"]) {
        ErrorClass::Capacity
    } else if has(&["Unable to contact", "Socket timed out", "onnection", "Zero Bytes"]) {
        ErrorClass::Transient
    } else if has(&[
        "nvalid",
        "not available",
        "nrecognized",
        "can not be satisfied",
        "nable to process configuration",
    ]) {
        ErrorClass::Unsupported
    } else {
        ErrorClass::Transient
    };
    ProviderError::new(class, format!("{program}: {said}"))
}

/// What it means for a job to wait for this reason: none, it is its turn sooner or later.
#[must_use]
pub fn hopeless(reason: &str) -> Option<ErrorClass> {
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has(&[
        "BadConstraints",
        "PartitionTimeLimit",
        "PartitionNodeLimit",
        "InvalidAccount",
        "InvalidQOS",
    ]) {
        Some(ErrorClass::Unsupported)
    } else if has(&["Assoc", "QOS", "MaxJobs", "JobArrayTaskLimit"]) {
        Some(ErrorClass::Quota)
    } else if has(&[
        "DOWN, DRAINED",
        "NodeDown",
        "PartitionDown",
        "PartitionInactive",
        "ReqNodeNotAvail",
    ]) {
        Some(ErrorClass::Capacity)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_squeue_is_a_job() {
        let job = Job::read("17|PENDING|Resources||debug|head-node1|scitq-head=a|b").unwrap();
        assert_eq!((job.id.as_str(), job.nodes.as_str()), ("17", ""));
        assert_eq!(job.comment, "scitq-head=a|b");
        assert!(!job.is_over());
        assert!(Job { state: "TIMEOUT".to_owned(), ..job }.is_over());
        assert_eq!(Job::read("17|PENDING"), None);
    }

    #[test]
    fn a_line_of_sinfo_is_a_kind_of_node() {
        let nodes = Nodes::read("gpu|64|512000|gpu:a100:4(S:0-1)|up").unwrap();
        assert_eq!(
            (nodes.cpu, nodes.ram.floor(), nodes.gres.as_deref()),
            (64, 500.0, Some("gpu:a100:4"))
        );
        assert_eq!(Nodes::read("debug|2+|8000|(null)|up").unwrap().gres, None);
        assert_eq!(Nodes::read("debug|x|8000|(null)|up"), None);
    }

    #[test]
    fn refusals_are_told_apart() {
        // As Slurm 22.05 says them.
        for (stderr, class) in [
            (
                "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed: Invalid partition name specified",
                ErrorClass::Unsupported,
            ),
            (
                "sbatch: error: Batch job submission failed: Requested node configuration is not available",
                ErrorClass::Unsupported,
            ),
            (
                "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
                ErrorClass::Quota,
            ),
            (
                "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
                ErrorClass::Authentication,
            ),
            (
                "sbatch: error: Batch job submission failed: User's group not permitted to use this partition",
                ErrorClass::Authentication,
            ),
            (
                "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
                ErrorClass::Capacity,
            ),
            (
                "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
                ErrorClass::Transient,
            ),
            ("squeue: error: something else", ErrorClass::Transient),
        ] {
            assert_eq!(refusal("sbatch", stderr).class, class, "{stderr}");
        }
        let error = refusal("sbatch", "sbatch: error: one\nsbatch: error: two\n");
        assert_eq!(error.message, "sbatch: one; two");
    }

    #[test]
    fn a_job_that_waits_in_vain_is_seen() {
        assert_eq!(hopeless("Resources"), None);
        assert_eq!(hopeless("Priority"), None);
        assert_eq!(hopeless("BadConstraints"), Some(ErrorClass::Unsupported));
        assert_eq!(hopeless("AssocGrpCpuLimit"), Some(ErrorClass::Quota));
        let drained = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions";
        assert_eq!(hopeless(drained), Some(ErrorClass::Capacity));
    }
}
