//! From an order to the request that makes a container.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, HostConfig, HostConfigLogConfig, Mount,
    MountType, ResourcesUlimits,
};

use super::engine::Brand;
use super::order::{Access, ContainerOrder};
use crate::domain::container::{ContainerOptions, Gpus, OptionError};

/// It would run the container, and without them.
const NO_GPUS_BY_PODMAN: &str = "Podman leaves out `--gpus` when it is asked through its Docker \
    API: there are no GPUs for containers here";

/// The request that makes the container of an order.
///
/// # Errors
/// The options are none.
pub fn create_body(
    order: &ContainerOrder,
    brand: Brand,
) -> Result<ContainerCreateBody, OptionError> {
    let options = ContainerOptions::parse(&order.options)?;
    let mut env = order.environment.clone();
    env.extend(options.env.iter().cloned());
    let mut labels: HashMap<String, String> = options.labels.clone().into_iter().collect();
    labels.extend(order.labels.clone());
    let reads = order.stdin.is_some();
    Ok(ContainerCreateBody {
        image: Some(order.image.clone()),
        cmd: Some(order.arguments.clone()),
        env: Some(env),
        labels: Some(labels),
        user: options.user.clone().or_else(|| order.user.clone()),
        entrypoint: options.entrypoint.as_ref().map(|word| vec![word.clone()]),
        working_dir: options.workdir.clone(),
        hostname: options.hostname.clone(),
        stop_signal: options.stop_signal.clone(),
        tty: Some(false),
        attach_stdin: Some(reads),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(reads),
        stdin_once: Some(reads),
        host_config: Some(host_config(order, &options, brand)),
        ..ContainerCreateBody::default()
    })
}

/// What an engine of this brand would leave out without a word.
#[must_use]
pub fn lacking(body: &ContainerCreateBody, brand: Brand) -> Option<&'static str> {
    let wants_gpus = body.host_config.as_ref().is_some_and(|host| host.device_requests.is_some());
    (brand == Brand::Podman && wants_gpus).then_some(NO_GPUS_BY_PODMAN)
}

fn host_config(order: &ContainerOrder, options: &ContainerOptions, brand: Brand) -> HostConfig {
    let switches = options.switches;
    let limit = order.memory.and_then(|bytes| i64::try_from(bytes).ok());
    HostConfig {
        binds: some(&options.volumes),
        mounts: Some(mounts(order, options)),
        tmpfs: (!options.tmpfs.is_empty()).then(|| options.tmpfs.clone().into_iter().collect()),
        log_config: log_config(brand),
        network_mode: options.network.clone(),
        ipc_mode: options.ipc.clone(),
        pid_mode: options.pid.clone(),
        userns_mode: options.userns.clone(),
        runtime: options.runtime.clone(),
        group_add: some(&options.group_add),
        cpuset_cpus: options.cpuset.clone(),
        cpu_shares: options.cpu_shares,
        nano_cpus: options.nano_cpus,
        memory: options.memory.or(limit),
        // Without this a task may use as much swap again.
        memory_swap: options.memory_swap.or_else(|| options.memory.is_none().then_some(limit)?),
        shm_size: options.shm_size,
        pids_limit: options.pids_limit,
        oom_score_adj: options.oom_score_adj,
        ulimits: some(&options.ulimits.iter().map(ulimit).collect::<Vec<_>>()),
        cap_add: some(&options.cap_add),
        cap_drop: some(&options.cap_drop),
        security_opt: some(&options.security),
        sysctls: (!options.sysctls.is_empty())
            .then(|| options.sysctls.clone().into_iter().collect()),
        dns: some(&options.dns),
        extra_hosts: some(&options.hosts),
        privileged: Some(switches.privileged),
        init: Some(switches.init),
        readonly_rootfs: Some(switches.read_only),
        oom_kill_disable: switches.oom_kill_disable.then_some(true),
        devices: some(&options.devices.iter().map(device).collect::<Vec<_>>()),
        device_requests: options.gpus.as_ref().map(|gpus| vec![gpu_request(gpus)]),
        ..HostConfig::default()
    }
}

/// Ours, but for those whose place the options give to something else.
fn mounts(order: &ContainerOrder, options: &ContainerOptions) -> Vec<Mount> {
    let is_taken = |target: &str| {
        let by_volume = options.volumes.iter().any(|volume| {
            let mut parts = volume.split(':');
            let first = parts.next().unwrap_or_default();
            parts.next().unwrap_or(first) == target
        });
        by_volume || options.tmpfs.contains_key(target)
    };
    let own = order.mounts.iter().filter(|mount| !is_taken(&mount.target));
    own.map(|mount| Mount {
        typ: Some(MountType::BIND),
        source: Some(mount.source.to_string_lossy().into_owned()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.access == Access::Read),
        ..Mount::default()
    })
    .collect()
}

/// The engine's own copy of the output is read again after the watcher lost its
/// engine: it must be whole, and keep bytes that are no text.
fn log_config(brand: Brand) -> Option<HostConfigLogConfig> {
    let config = [("max-size", "1024g"), ("max-file", "1"), ("compress", "false")];
    let config = config.map(|(name, value)| (name.to_owned(), value.to_owned()));
    match brand {
        Brand::Docker => Some(HostConfigLogConfig {
            typ: Some("local".to_owned()),
            config: Some(config.into_iter().collect()),
        }),
        Brand::Podman => None,
    }
}

fn ulimit(limit: &crate::domain::container::Ulimit) -> ResourcesUlimits {
    ResourcesUlimits {
        name: Some(limit.name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    }
}

fn device(device: &crate::domain::container::Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(device.source.clone()),
        path_in_container: Some(device.target.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    }
}

fn gpu_request(gpus: &Gpus) -> DeviceRequest {
    let (count, device_ids) = match gpus {
        Gpus::All => (Some(-1), None),
        Gpus::Count(count) => (Some(*count), None),
        Gpus::Named(names) => (None, Some(names.clone())),
    };
    let capabilities = Some(vec![vec!["gpu".to_owned()]]);
    DeviceRequest { count, device_ids, capabilities, ..DeviceRequest::default() }
}

fn some<T: Clone>(values: &[T]) -> Option<Vec<T>> {
    (!values.is_empty()).then(|| values.to_vec())
}
