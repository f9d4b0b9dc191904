//! Machines of clouds: an OpenStack and an Azure, real or made here, whose machines are
//! processes of this machine.

mod desk;
mod machine;
mod nova;
mod openstack;
mod openstack_faults;
mod openstack_real;
mod web;
