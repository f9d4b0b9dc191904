//! Machines of an OpenStack cloud: Keystone says who we are and where the other services
//! are, Nova makes machines, Glance has their images and Neutron their networks.
//!
//! A machine carries the tag of its head and the name of its worker in its metadata. Its
//! user data bring the agent onto it at its first start.

mod api;
mod clouds_yaml;
mod credentials;
mod error;
mod flavors;
mod machines;
mod resources;
mod session;
mod settings;
mod source;

pub use settings::make;
