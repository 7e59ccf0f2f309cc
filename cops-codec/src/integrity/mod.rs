//! Message Integrity (RFC 2748 2.2.16, 4.1, 4.2, 5): keys, and the Integrity object made and checked over the octets of a
//! frame.
//!
//! | file | holds |
//! |---|---|
//! | `key` | one key: Key ID, algorithm, secret, lifetime |
//! | `ring` | the keys between a PEP and a PDP: which one to send with, which ones to take |
//! | `object` | the last 24 octets of a message, written and checked |
//! | `start` | initial sequence numbers that rise and never come again |
//! | [`key_file`] | keys as TOML (feature `key-file`) |
//!
//! Nothing here knows of connections: which number is next, and what is answered, is the [session](crate::session)'s.
//! HMAC-MD5-96 is what RFC 2748 makes mandatory. RFC 6151 finds no practical attack on HMAC-MD5 and advises against it in
//! new designs: where there is a choice, use TLS.

mod key;
#[cfg(feature = "key-file")]
pub mod key_file;
mod object;
mod ring;
mod start;

pub use key::{Algorithm, Key, KeyError, Lifetime, Secret, UnixTime, wipe};
pub use object::{INTEGRITY_OCTETS, IntegrityFault, hmac_md5_96, sign, verify};
pub use ring::{KeyRing, KeyRingError, KeyTable};
pub use start::StartNumbers;
