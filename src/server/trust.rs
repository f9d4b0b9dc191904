//! Addresses that are let in without a token, as the original's trusted ones.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use super::auth::Principal;
use crate::api::token::Role;

/// Bits in front of an IPv4 address that is written as an IPv6 one (`::ffff:0:0/96`).
const MAPPED_PREFIX: u8 = 96;

/// The trusted networks. None is trusted unless someone says so, not even
/// loopback: on a shared machine everyone comes from there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    networks: Vec<IpNet>,
    roles: Vec<Role>,
}

impl Trust {
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { networks: networks.into_iter().map(unmapped).collect(), roles: vec![Role::User] }
    }

    /// The same with other roles for those who come from there.
    #[must_use]
    pub fn with_roles(self, roles: Vec<Role>) -> Self {
        Self { roles, ..self }
    }

    /// What one from this address may be without a token. None: the address is
    /// not trusted.
    #[must_use]
    pub fn roles(&self, address: IpAddr) -> Option<&[Role]> {
        let address = address.to_canonical();
        let is_trusted = self.networks.iter().any(|network| network.contains(&address));
        is_trusted.then_some(self.roles.as_slice())
    }

    /// Who one from this address is without a token. An IPv4 address counts as
    /// itself also when a socket for both families shows it as an IPv6 one.
    #[must_use]
    pub fn principal(&self, address: IpAddr) -> Option<Principal> {
        let roles = self.roles(address)?;
        // The one that allows most.
        let order = [Role::User, Role::Agent, Role::Read];
        let role = order.into_iter().find(|role| roles.contains(role))?;
        let address = address.to_canonical();
        Some(Principal { token: None, name: format!("trusted:{address}"), role, worker: None })
    }
}

/// A network of mapped IPv4 addresses as the IPv4 network that it is.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(wide) = network else { return network };
    let mapped: Option<Ipv6Addr> =
        Some(wide.network()).filter(|_| wide.prefix_len() >= MAPPED_PREFIX);
    let narrow = mapped
        .and_then(|address| address.to_ipv4_mapped())
        .and_then(|address| Ipv4Net::new(address, wide.prefix_len() - MAPPED_PREFIX).ok());
    narrow.map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(networks: &[&str]) -> Trust {
        Trust::new(networks.iter().map(|network| network.parse().unwrap()))
    }

    fn name(trust: &Trust, address: &str) -> Option<String> {
        trust.principal(address.parse().unwrap()).map(|principal| principal.name)
    }

    #[test]
    fn networks_and_addresses_of_both_families() {
        let cases = [
            ("10.0.0.0/8", "10.1.2.3", Some("trusted:10.1.2.3")),
            ("10.0.0.0/8", "::ffff:10.1.2.3", Some("trusted:10.1.2.3")),
            ("10.0.0.0/8", "11.1.2.3", None),
            ("10.0.0.0/8", "::ffff:11.1.2.3", None),
            ("::ffff:10.0.0.0/104", "10.1.2.3", Some("trusted:10.1.2.3")),
            ("::ffff:10.0.0.0/104", "::ffff:10.1.2.3", Some("trusted:10.1.2.3")),
            ("::ffff:10.0.0.0/104", "11.1.2.3", None),
            ("127.0.0.1/32", "127.0.0.1", Some("trusted:127.0.0.1")),
            ("127.0.0.1/32", "::1", None),
            ("::1/128", "::1", Some("trusted:::1")),
            ("fd00::/8", "fd12::5", Some("trusted:fd12::5")),
            ("fd00::/8", "10.0.0.1", None),
            ("::/0", "fd12::5", Some("trusted:fd12::5")),
            ("::/0", "10.0.0.1", None),
            ("0.0.0.0/0", "fd12::5", None),
        ];
        for (network, address, expected) in cases {
            let found = name(&trust(&[network]), address);
            assert_eq!(found.as_deref(), expected, "{address} in {network}");
        }
    }

    #[test]
    fn nobody_is_trusted_by_default_and_the_trusted_are_users() {
        assert_eq!(name(&Trust::default(), "127.0.0.1"), None);
        let two = trust(&["192.168.0.0/24", "10.0.0.5/32"]);
        let principal = two.principal("10.0.0.5".parse().unwrap()).unwrap();
        assert_eq!((principal.role, principal.token), (Role::User, None));
    }
}
