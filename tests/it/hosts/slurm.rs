//! Workers that are jobs of a real Slurm cluster.

use std::fs;
use std::time::Duration;

use scitq::domain::flavor::{FlavorName, RegionName};
use scitq::server::hiring::provider::{ErrorClass, MachineId, MachineStatus};

use super::bench::{Log, hire, hired, is_running, order, provider, until_worker};
use super::cluster::Cluster;
use crate::harness::{Server, until, until_within};

/// Half a node.
const SMALL: &str = "[flavors.small]\ncpu = 1\nram = 0.25\n";

const DEBUG: (&str, &str) = ("small", "debug");

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_a_worker_until_it_is_destroyed() {
    let Some(cluster) = Cluster::start(1, "") else { return };
    let server = Server::start();
    let hpc = provider("slurm", cluster.world().path(), &(cluster.keys() + SMALL)).unwrap();
    let flavors = hpc.flavors().await.unwrap();
    assert_eq!(flavors.len(), 1);
    assert_eq!((flavors[0].name.as_str(), flavors[0].region.as_str()), DEBUG);

    let order = order(&server, "head-node1", DEBUG);
    let log = Log::default();
    let machine = hire(&*hpc, &order, &log).await;
    log.says("is submitted to partition debug");
    log.says("runs on n1");
    let worker = until_worker(&server, "head-node1", "running");
    let machine_told = &worker["machine"];
    assert_eq!(
        (&machine_told["flavor"], &machine_told["region"]),
        (&"small".into(), &"debug".into())
    );
    let id = server.launch(&["--", "echo", "hello"]);
    server.wait_for(&id, &["succeeded"]);

    let hired = hired(&order, Some(machine.clone()));
    assert!(is_running(&*hpc, &hired).await);
    assert_eq!(hpc.list(&order.tag).await.unwrap(), std::slice::from_ref(&hired));
    // Asked again, as after a kill of the server, it is the same job.
    assert_eq!(hpc.create(&order, &Log::default()).await.unwrap(), machine);
    let unknown = super::bench::hired(&order, None);
    assert!(is_running(&*hpc, &unknown).await);

    hpc.destroy(&unknown, &Log::default()).await.unwrap();
    assert_eq!(hpc.list(&order.tag).await.unwrap(), []);
    assert_eq!(hpc.status(&hired).await.unwrap(), MachineStatus::Gone);
    hpc.destroy(&hired, &Log::default()).await.unwrap();
    let folder = cluster.world().path().join("scratch/scitq-head-node1");
    until("the files of the job to be gone", || (!folder.exists()).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_nodes_are_offered_where_no_shapes_are_set() {
    let Some(cluster) = Cluster::start(1, "PartitionName=closed Nodes=ALL State=DOWN\n") else {
        return;
    };
    let hpc = provider("slurm", cluster.world().path(), &cluster.keys()).unwrap();
    let flavors = hpc.flavors().await.unwrap();
    let [flavor] = &flavors[..] else { panic!("{flavors:?}") };
    assert_eq!((flavor.name.as_str(), flavor.region.as_str()), ("node-2c-1g", "debug"));
    assert_eq!((flavor.cpu, flavor.cost), (2, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_time_is_up_gives_back_what_it_runs() {
    let Some(cluster) = Cluster::start(1, "") else { return };
    let server = Server::start();
    // Slurm says so at its next look at time limits, which it takes twice a minute.
    let keys = cluster.keys() + "notice_seconds = 1000\n" + SMALL + "hours = 0.2\n";
    let hpc = provider("slurm", cluster.world().path(), &keys).unwrap();
    let order = order(&server, "head-node1", DEBUG);
    let machine = hire(&*hpc, &order, &Log::default()).await;
    until_worker(&server, "head-node1", "running");
    let id = server.launch(&["--retry", "0", "--shell", "--", "sleep 1000; true"]);
    server.wait_for(&id, &["running"]);
    let task = until_within(Duration::from_mins(2), "the task to be given back", || {
        let task = server.task(&id);
        (task["state"] == "pending").then_some(task)
    });
    let failure = &task["executions"][0]["outcome"]["failure"];
    assert_eq!(failure["class"], "evicted", "{failure}");
    assert!(failure["reason"].to_string().contains("SIGUSR2"), "{failure}");
    until_worker(&server, "head-node1", "evicted");
    // The agent leaves long before the end of its job.
    until("the job to be over", || cluster.job(&machine.0).starts_with("COMPLETED").then_some(()));
    assert_eq!(hpc.status(&hired(&order, Some(machine))).await.unwrap(), MachineStatus::Gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_warned_or_cancelled_from_outside_gives_back_what_it_runs() {
    let Some(cluster) = Cluster::start(2, "") else { return };
    let server = Server::start();
    let hpc = provider("slurm", cluster.world().path(), &(cluster.keys() + SMALL)).unwrap();
    for (worker, scancel) in [
        // As Slurm itself does before the time limit.
        ("head-node1", &["--batch", "--signal=USR2"][..]),
        ("head-node2", &[]),
    ] {
        let order = order(&server, worker, DEBUG);
        let machine = hire(&*hpc, &order, &Log::default()).await;
        until_worker(&server, worker, "running");
        let id = server.launch(&["--retry", "0", "--shell", "--", "sleep 1000; true"]);
        server.wait_for(&id, &["running"]);
        cluster.run("scancel", &[scancel, &[machine.0.as_str()]].concat()).ok();
        let task = server.wait_for(&id, &["pending", "failed"]);
        assert_eq!(task["state"], "pending", "{task}");
        // Another one may have been given to the same worker in its last moments.
        let first = task["executions"].as_array().unwrap().last().unwrap().clone();
        let class = &first["outcome"]["failure"]["class"];
        assert!(*class == "evicted" || *class == "lost", "{task}");
        until_worker(&server, worker, "evicted");
        let hired = hired(&order, Some(machine));
        until("the job to be over", || {
            let job = cluster.job(&hired.machine.as_ref()?.0);
            ["COMPLETED", "CANCELLED", "FAILED"]
                .iter()
                .any(|end| job.starts_with(end))
                .then_some(())
        });
        assert_eq!(hpc.status(&hired).await.unwrap(), MachineStatus::Gone);
        server.scitq(&["manage", "task", "delete", &id, "--yes"]).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_drained_and_a_queue_that_is_full_are_a_want_of_capacity() {
    let Some(cluster) = Cluster::start(1, "") else { return };
    let server = Server::start();
    let keys = cluster.keys() + "queue_minutes = 0.02\n" + SMALL + "[flavors.node]\ncpu = 2\n";
    let hpc = provider("slurm", cluster.world().path(), &keys).unwrap();

    // Somebody else has the whole node.
    let other =
        cluster.run("sbatch", &["--parsable", "-c2", "-o", "/dev/null", "--wrap", "sleep 1000"]);
    let other = other.ok().text().to_owned();
    until("the other job to run", || cluster.job(&other).starts_with("RUNNING").then_some(()));
    let order_small = order(&server, "head-node1", DEBUG);
    let log = Log::default();
    let error = hpc.create(&order_small, &log).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Capacity, "{error}");
    assert!(error.message.contains("is taken back: Resources"), "{error}");
    assert_eq!(hpc.list(&order_small.tag).await.unwrap(), [], "no job is left in the queue");
    cluster.run("scancel", &[&other]).ok();
    cluster.until_idle(1);

    cluster.run("scontrol", &["update", "nodename=n1", "state=drain", "reason=broken"]).ok();
    let error = hpc.create(&order_small, &Log::default()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Capacity, "{error}");
    assert_eq!(hpc.list(&order_small.tag).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_takes_no_more_jobs_says_so_at_once() {
    let Some(cluster) = Cluster::start(1, "MaxJobCount=2\n") else { return };
    cluster.run("sbatch", &["-H", "-o", "/dev/null", "--wrap", "true"]).ok();
    let server = Server::start();
    let hpc = provider("slurm", cluster.world().path(), &(cluster.keys() + SMALL)).unwrap();
    let order = order(&server, "head-node1", DEBUG);
    let error = hpc.create(&order, &Log::default()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Capacity, "{error}");
    assert!(error.message.contains("sbatch: Slurm temporarily unable to accept job"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_does_not_have_is_refused_for_good() {
    let Some(cluster) = Cluster::start(1, "") else { return };
    let server = Server::start();
    let keys =
        cluster.keys() + SMALL + "[flavors.odd]\ncpu = 1\noptions = [\"--constraint=none\"]\n";
    let hpc = provider("slurm", cluster.world().path(), &keys).unwrap();
    let mut order = order(&server, "head-node1", DEBUG);
    for (flavor, region, part) in [
        (
            "small",
            "nope",
            "there is no flavor `small` in partition `nope`; partitions that take jobs: debug",
        ),
        ("huge", "debug", "there is no flavor `huge`"),
        ("odd", "debug", "sbatch: Batch job submission failed: Invalid feature specification"),
    ] {
        order.flavor = FlavorName::new(flavor);
        order.region = RegionName::new(region);
        let error = hpc.create(&order, &Log::default()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unsupported, "{error}");
        assert!(error.message.contains(part), "{error}");
    }
    let gone = hired(&order, Some(MachineId("4711".to_owned())));
    assert_eq!(hpc.status(&gone).await.unwrap(), MachineStatus::Gone);
    hpc.destroy(&gone, &Log::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_start_its_agent_is_told_with_its_last_words() {
    let Some(cluster) = Cluster::start(1, "") else { return };
    let server = Server::start();
    let program = super::bench::small_program().display().to_string();
    let keys = cluster.keys().replace(&program, "/nonexistent/scitq") + SMALL;
    let hpc = provider("slurm", cluster.world().path(), &keys).unwrap();
    let order = order(&server, "head-node1", DEBUG);
    let made = hpc.create(&order, &Log::default()).await;
    let error = match made {
        // It ended before it was seen to run.
        Err(error) => error,
        Ok(machine) => {
            until("the job to be over", || {
                cluster.job(&machine.0).starts_with("FAILED").then_some(())
            });
            hpc.deploy(&order, &machine, &Log::default()).await.unwrap_err()
        }
    };
    assert!(
        error.message.contains("there is no program /nonexistent/scitq on this node"),
        "{error}"
    );
    let scripts = fs::read_dir(cluster.world().path().join("scratch")).unwrap();
    assert_eq!(scripts.count(), 0, "nothing is left on the node");
}
