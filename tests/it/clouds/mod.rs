//! Machines of clouds: an OpenStack and an Azure, real or made here, whose machines are
//! processes of this machine.

mod arm;
mod arm_lists;
mod arm_shapes;
mod azure;
mod azure_faults;
mod desk;
mod machine;
mod nova;
mod openstack;
mod openstack_faults;
mod openstack_real;
mod web;
mod whole;
