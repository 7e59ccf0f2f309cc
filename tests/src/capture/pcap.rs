use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};

/// Where COPS is spoken in the capture (RFC 2748 section 2.3), whatever port the test really used.
const COPS_PORT: u16 = 3288;
/// Ends of the made-up connections; the port of the client's end tells the connections apart.
const PEP_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const PDP_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// The same over IPv6, of its documentation range.
const PEP_ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const PDP_ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// First client port; connection n has this plus n.
const FIRST_CLIENT_PORT: u16 = 20_000;
/// Largest payload of one segment: an IPv4 packet holds 65,535 octets with its headers.
const MAX_SEGMENT: usize = 60_000;
/// Classic pcap with microseconds, and packets that begin with their IP header.
const PCAP_MAGIC: u32 = 0xa1b2_c3d4;
const LINKTYPE_RAW: u32 = 101;

/// Which end sent a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the PEP to the PDP.
    ToPdp,
    /// From the PDP to the PEP.
    ToPep,
}

/// Next sequence numbers of one connection.
#[derive(Debug, Clone, Copy)]
struct Sequence {
    to_pdp: u32,
    to_pep: u32,
}

/// Writes a classic pcap file (libpcap's format, version 2.4).
#[derive(Debug)]
pub struct PcapWriter<W: Write> {
    out: W,
    is_v6: bool,
    connections: BTreeMap<u16, Sequence>,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header. Packets will be IPv4.
    pub fn new(out: W) -> io::Result<Self> {
        Self::of_family(out, PDP_ADDRESS.into())
    }

    /// Writes the file header. Packets will be of the family of `address`.
    pub fn of_family(mut out: W, address: IpAddr) -> io::Result<Self> {
        out.write_all(&PCAP_MAGIC.to_le_bytes())?;
        out.write_all(&2u16.to_le_bytes())?;
        out.write_all(&4u16.to_le_bytes())?;
        out.write_all(&[0; 8])?;
        out.write_all(&0xffff_u32.to_le_bytes())?;
        out.write_all(&LINKTYPE_RAW.to_le_bytes())?;
        Ok(Self {
            out,
            is_v6: address.is_ipv6(),
            connections: BTreeMap::new(),
        })
    }

    /// Writes the three-way handshake of connection number `connection`.
    pub fn open(&mut self, connection: u16, at: Duration) -> io::Result<()> {
        self.connections
            .insert(connection, Sequence { to_pdp: 1, to_pep: 1 });
        let port = client_port(connection);
        let syn = ip(self.is_v6, Direction::ToPdp).tcp(port, COPS_PORT, 0, 65_535);
        self.packet(at, syn.syn(), &[])?;
        let answer = ip(self.is_v6, Direction::ToPep).tcp(COPS_PORT, port, 0, 65_535);
        self.packet(at, answer.syn().ack(1), &[])
    }

    /// Writes `payload` as segments of a connection that was opened.
    pub fn data(
        &mut self,
        connection: u16,
        direction: Direction,
        payload: &[u8],
        at: Duration,
    ) -> io::Result<()> {
        let is_v6 = self.is_v6;
        for piece in payload.chunks(MAX_SEGMENT) {
            let Some(sequence) = self.connections.get_mut(&connection) else {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    "the connection was never opened",
                ));
            };
            let port = client_port(connection);
            let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            let segment = match direction {
                Direction::ToPdp => {
                    let number = sequence.to_pdp;
                    sequence.to_pdp = number.wrapping_add(length);
                    ip(is_v6, direction)
                        .tcp(port, COPS_PORT, number, 65_535)
                        .ack(sequence.to_pep)
                }
                Direction::ToPep => {
                    let number = sequence.to_pep;
                    sequence.to_pep = number.wrapping_add(length);
                    ip(is_v6, direction)
                        .tcp(COPS_PORT, port, number, 65_535)
                        .ack(sequence.to_pdp)
                }
            };
            self.packet(at, segment.psh(), piece)?;
        }
        Ok(())
    }

    fn packet(
        &mut self,
        at: Duration,
        builder: etherparse::PacketBuilderStep<etherparse::TcpHeader>,
        payload: &[u8],
    ) -> io::Result<()> {
        let mut packet = Vec::with_capacity(builder.size(payload.len()));
        builder.write(&mut packet, payload).map_err(io::Error::other)?;
        let length = u32::try_from(packet.len()).map_err(io::Error::other)?;
        let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        for field in [seconds, at.subsec_micros(), length, length] {
            self.out.write_all(&field.to_le_bytes())?;
        }
        self.out.write_all(&packet)?;
        self.out.flush()
    }
}

fn ip(is_v6: bool, direction: Direction) -> PacketBuilderStep<IpHeaders> {
    match (is_v6, direction) {
        (false, Direction::ToPdp) => PacketBuilder::ipv4(PEP_ADDRESS.octets(), PDP_ADDRESS.octets(), 64),
        (false, Direction::ToPep) => PacketBuilder::ipv4(PDP_ADDRESS.octets(), PEP_ADDRESS.octets(), 64),
        (true, Direction::ToPdp) => PacketBuilder::ipv6(PEP_ADDRESS_V6.octets(), PDP_ADDRESS_V6.octets(), 64),
        (true, Direction::ToPep) => PacketBuilder::ipv6(PDP_ADDRESS_V6.octets(), PEP_ADDRESS_V6.octets(), 64),
    }
}

fn client_port(connection: u16) -> u16 {
    FIRST_CLIENT_PORT.saturating_add(connection)
}
