//! Machines of Azure, by its Resource Manager.
//!
//! Each machine has a resource group of its own, whose name follows from head and worker:
//! a half made machine is found by it, and all of a machine goes with it. The group
//! carries the tag of the head. User data bring the agent onto the machine at its first
//! start, and the agent itself watches for the notice that the machine is taken away.

mod credentials;
mod error;
mod flavors;
mod gpu;
mod machine;
mod prices;
mod session;
mod settings;
mod source;

pub use settings::make;
