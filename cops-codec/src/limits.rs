//! Every bound of this crate, in one value that is passed in.
//!
//! RFC 2748 bounds nothing but an object (65,535 octets stated); a message may claim 4 GiB. A receiver that takes memory
//! on a peer's word is lost, so each quantity that a peer chooses has a limit here.

/// The largest length that an object can state: header and contents, without padding (RFC 2748 2.2; a 16-bit field).
pub const MAX_OBJECT_OCTETS: usize = 65_535;

/// The largest contents of one object.
pub const MAX_OBJECT_CONTENTS_OCTETS: usize = MAX_OBJECT_OCTETS - 4;

/// What one end accepts and sends. Both ends of a connection are usually configured alike.
///
/// The message and count limits hold in both directions: what this end would not accept it does not send either. The
/// length limits of handle, PEPID and digest hold on receipt only, so that an error can still name the handle that was
/// refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a whole message, header and padding included. Default 1 MiB (1,048,576). Values below 8 allow nothing.
    pub max_message_octets: usize,
    /// Objects in one message. Default 1,024.
    pub max_objects: usize,
    /// ClientSI objects in one REQ or RPT. Default 256 (16 MiB of rows, more than a message holds).
    pub max_client_si: usize,
    /// Decisions (Context and Flags) in one DEC. Default 256.
    pub max_decisions: usize,
    /// LPDP decisions in one REQ. Default 256.
    pub max_lpdp_decisions: usize,
    /// Octets of a client handle. Default 1,024.
    pub max_handle_octets: usize,
    /// Octets of a PEPID without its NUL. Default 255, the longest DNS name.
    pub max_pep_id_octets: usize,
    /// Octets of the digest of an Integrity object. Default 64 (SHA-512); HMAC-MD5-96 has 12.
    pub max_digest_octets: usize,
}

impl Limits {
    /// The documented defaults.
    pub const DEFAULT: Self = Self {
        max_message_octets: 1 << 20,
        max_objects: 1_024,
        max_client_si: 256,
        max_decisions: 256,
        max_lpdp_decisions: 256,
        max_handle_octets: 1_024,
        max_pep_id_octets: 255,
        max_digest_octets: 64,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
