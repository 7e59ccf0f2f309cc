//! Records what passes between PEPs and a PDP as a capture file that Wireshark's tools read, without root.
//!
//! [`RecordingProxy`] stands between the two ends and copies octets unchanged; [`PcapWriter`] writes each piece as a
//! TCP segment of a made-up connection to COPS's port 3288, so that dissectors need no hint.

mod pcap;
mod proxy;

pub use pcap::{Direction, PcapWriter};
pub use proxy::RecordingProxy;
