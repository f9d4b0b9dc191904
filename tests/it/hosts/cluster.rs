//! A real Slurm cluster on this machine, with its controller, nodes and munge on loopback.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use crate::harness::{Ran, until};
use crate::storage::peers::{debian, free_port};
use crate::world::World;

/// A cluster. Dropped, it is gone with all of its jobs.
#[derive(Debug)]
pub struct Cluster {
    /// Its end ends all that was started in it.
    world: World,
}

impl Cluster {
    /// With that many nodes of two cores and 1000 MiB each, all in the partition `debug`;
    /// and further lines of `slurm.conf`. None where Slurm is missing, which is said aloud.
    pub fn start(nodes: usize, more: &str) -> Option<Self> {
        for program in ["munged", "slurmctld", "slurmd", "sbatch"] {
            debian(program)?;
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root starts a Slurm cluster");
            return None;
        }
        let world = World::new();
        let cluster = Self { world };
        cluster.start_munge();
        cluster.write_configuration(nodes, more);
        let mut controller = cluster.command("slurmctld");
        controller.args(["-D", "-c"]);
        cluster.world.spawn("slurmctld", controller);
        for number in 1..=nodes {
            let mut node = cluster.command("slurmd");
            node.args(["-D", "-N", &format!("n{number}")]);
            cluster.world.spawn(&format!("slurmd{number}"), node);
        }
        cluster.until_idle(nodes);
        Some(cluster)
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// One of Slurm's programs with its arguments, run to its end.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        let mut command = self.command(program);
        command.args(arguments);
        Ran::of(command)
    }

    /// The keys of a provider for this cluster; more of them may follow.
    pub fn keys(&self) -> String {
        let path = |name: &str| self.world.path().join(name).display().to_string();
        format!(
            "program = \"{}\"\ndirectory = \"{}\"\nlogs = \"{}\"\nenvironment.SLURM_CONF = \"{}\"\n",
            super::bench::small_program().display(),
            path("scratch"),
            path("logs"),
            path("slurm.conf"),
        )
    }

    /// The state and reason of a job, as Slurm says.
    pub fn job(&self, id: &str) -> String {
        self.run("squeue", &["-h", "-t", "all", "-j", id, "-o", "%T %r"]).text().to_owned()
    }

    pub fn until_idle(&self, count: usize) {
        until("the nodes of the cluster to be idle", || {
            let states = self.run("sinfo", &["-h", "-N", "-p", "debug", "-o", "%t"]);
            let idle = states.text().lines().filter(|state| *state == "idle").count();
            (idle == count).then_some(())
        });
    }

    fn command(&self, program: &str) -> std::process::Command {
        let mut command = self.world.command(debian(program).unwrap());
        command.env("SLURM_CONF", self.world.path().join("slurm.conf"));
        command
    }

    fn start_munge(&self) {
        let folder = self.world.path().join("munge");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        // It looks at all folders above its socket.
        fs::set_permissions(self.world.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        let mut options = fs::OpenOptions::new();
        let mut key = options.write(true).create_new(true).mode(0o600).open(path("key")).unwrap();
        let bytes: Vec<u8> = (0..128).map(|_| getrandom::u64().unwrap().to_le_bytes()[0]).collect();
        key.write_all(&bytes).unwrap();
        let mut munged = self.world.command(debian("munged").unwrap());
        munged.args(["--foreground", "--force", "--num-threads=2"]).args([
            format!("--key-file={}", path("key")),
            format!("--socket={}", path("sock")),
            format!("--pid-file={}", path("pid")),
            format!("--log-file={}", path("log")),
            format!("--seed-file={}", path("seed")),
        ]);
        self.world.spawn("munged", munged);
        until("munge to listen", || folder.join("sock").exists().then_some(()));
    }

    fn write_configuration(&self, nodes: usize, more: &str) {
        let top = self.world.path().display();
        for folder in ["state", "scratch"] {
            fs::create_dir(self.world.path().join(folder)).unwrap();
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let host = host.split('.').next().unwrap();
        let mut conf = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nSlurmdUser=root\n\
             AuthType=auth/munge\nAuthInfo=socket={top}/munge/sock\nCredType=cred/munge\n\
             SlurmctldPort={}\nSlurmctldPidFile={top}/slurmctld.pid\nSlurmdPidFile={top}/slurmd-%n.pid\n\
             StateSaveLocation={top}/state\nSlurmdSpoolDir={top}/spool-%n\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n\
             JobAcctGatherType=jobacct_gather/none\nSwitchType=switch/none\nMpiDefault=none\n\
             ReturnToService=2\nSelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\n\
             SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1\n\
             KillWait=5\nMinJobAge=60\n",
            free_port()
        );
        for number in 1..=nodes {
            conf += &format!(
                "NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={} CPUs=2 RealMemory=1000 State=UNKNOWN\n",
                free_port()
            );
        }
        conf += "PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n";
        conf += more;
        fs::write(self.world.path().join("slurm.conf"), conf).unwrap();
    }
}
