//! PDP Redirect Address and Last PDP Address (RFC 2748 2.2.13, 2.2.14).

use std::net::{IpAddr, SocketAddr};

use bytes::BufMut;

use super::{
    object::{CType, RawObject},
    parse::{self, be_u16, ipv4, ipv6},
};
use crate::error::Fault;

/// Where a PDP listens: PDP Redirect Address (13,1), (13,2) in CC, or Last PDP Address (14,1), (14,2) in OPN.
///
/// ```text
///  +--------------+--------------+--------------+--------------+
///  |          IPv4 (4 octets) or IPv6 (16 octets) address      |
///  +--------------+--------------+--------------+--------------+
///  |  /////////////////////////  |       TCP Port Number       |
///  +-----------------------------+-----------------------------+
/// ```
///
/// Not a [`SocketAddr`], because that holds an IPv6 scope and flow label which the wire has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PdpAddress {
    /// The address; its family chooses the C-Type.
    pub address: IpAddr,
    /// The TCP port.
    pub port: u16,
}

impl PdpAddress {
    /// The address to connect to.
    #[must_use]
    pub const fn to_socket_addr(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    pub(super) fn c_type(&self) -> CType {
        CType::of_family(&self.address)
    }

    pub(super) fn decode_ipv4(object: &RawObject<'_>) -> Result<Self, Fault> {
        let (address, _reserved, port) = parse::contents(object, (ipv4, be_u16, be_u16))?;
        Ok(Self {
            address: address.into(),
            port,
        })
    }

    pub(super) fn decode_ipv6(object: &RawObject<'_>) -> Result<Self, Fault> {
        let (address, _reserved, port) = parse::contents(object, (ipv6, be_u16, be_u16))?;
        Ok(Self {
            address: address.into(),
            port,
        })
    }

    pub(super) fn put(&self, out: &mut impl BufMut) {
        match self.address {
            IpAddr::V4(address) => out.put_slice(&address.octets()),
            IpAddr::V6(address) => out.put_slice(&address.octets()),
        }
        out.put_u16(0);
        out.put_u16(self.port);
    }
}

impl From<SocketAddr> for PdpAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            address: address.ip(),
            port: address.port(),
        }
    }
}

impl core::fmt::Display for PdpAddress {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.to_socket_addr().fmt(f)
    }
}
