//! In-Interface and Out-Interface (RFC 2748 2.2.3, 2.2.4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::BufMut;

use super::{
    object::{CType, RawObject},
    parse::{self, be_u32, ipv4, ipv6},
};
use crate::error::Fault;

/// In-Interface (3,1), (3,2) or Out-Interface (4,1), (4,2); which of them is said by where it stands.
///
/// As In-Interface: where the message came from, and the interface on which it arrived. As Out-Interface: where the
/// message will be sent, and the interface by which it will leave. The address family chooses the C-Type.
///
/// ```text
///  +--------------+--------------+--------------+--------------+
///  |          IPv4 (4 octets) or IPv6 (16 octets) address      |
///  +--------------+--------------+--------------+--------------+
///  |                          ifindex                          |
///  +--------------+--------------+--------------+--------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    /// The address.
    pub address: IpAddr,
    /// The interface's index: that of MIB-II where the PEP speaks SNMP (RFC 2748 2.2.3, MUST). Taken as the caller gives it.
    pub ifindex: u32,
}

impl Interface {
    /// For messages that the PEP's own host makes or receives: the IPv4 loopback address (RFC 2748 2.2.3, 2.2.4).
    #[must_use]
    pub const fn loopback_ipv4(ifindex: u32) -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ifindex,
        }
    }

    /// For messages that the PEP's own host makes or receives: the IPv6 loopback address (RFC 2748 2.2.3, 2.2.4).
    #[must_use]
    pub const fn loopback_ipv6(ifindex: u32) -> Self {
        Self {
            address: IpAddr::V6(Ipv6Addr::LOCALHOST),
            ifindex,
        }
    }

    pub(super) fn c_type(&self) -> CType {
        CType::of_family(&self.address)
    }

    pub(super) fn decode_ipv4(object: &RawObject<'_>) -> Result<Self, Fault> {
        let (address, ifindex) = parse::contents(object, (ipv4, be_u32))?;
        Ok(Self {
            address: address.into(),
            ifindex,
        })
    }

    pub(super) fn decode_ipv6(object: &RawObject<'_>) -> Result<Self, Fault> {
        let (address, ifindex) = parse::contents(object, (ipv6, be_u32))?;
        Ok(Self {
            address: address.into(),
            ifindex,
        })
    }

    pub(super) fn put(&self, out: &mut impl BufMut) {
        match self.address {
            IpAddr::V4(address) => out.put_slice(&address.octets()),
            IpAddr::V6(address) => out.put_slice(&address.octets()),
        }
        out.put_u32(self.ifindex);
    }
}
