//! Machines that exist and are hired: hosts over ssh, and jobs of a Slurm cluster, with
//! real `sshd`s and a real cluster on this machine.

mod bench;
mod cluster;
mod hiring;
mod lab;
mod script;
mod slurm;
mod ssh;
mod sshd;
mod systemd;
