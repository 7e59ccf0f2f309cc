//! COPS (RFC 2748) and COPS-PR (RFC 3084) as data: messages, provisioning rows and sans-IO sessions of both roles.
//!
//! Nothing here reads a clock, a socket or a random number: what comes from outside is an argument.
//!
//! | module | holds |
//! |---|---|
//! | [`wire`] | numbers, header, object walk, one type an object (RFC 2748 2.1, 2.2) |
//! | [`framing`] | where a message ends in the octet stream, from its header alone |
//! | [`decode`] | a [`Frame`] read as a borrowed [`MessageRef`] or an owned [`Message`] |
//! | [`encode`] | a [`Message`], or loose objects, written as a [`Frame`] |
//! | [`message`] | the ten messages and their grammars (RFC 2748 3) |
//! | [`error`] | what was wrong, at which octet, and what the RFC answers to it |
//! | [`limits`] | every bound of this crate |
//! | [`integrity`] | message Integrity: keys, digests, initial sequence numbers (RFC 2748 2.2.16, 4.2, 5) |
//! | [`provisioning`], [`client_type`] | COPS-PR instances and the rows of the client-types known here |
//! | `tokio_codec` | the framing as a `tokio_util` codec (feature `tokio`) |
//! | `tls` | certificates and TLS 1.3 for COPS over TLS, RFC 4261 (feature `tls`) |
//! | [`session`] | the protocol's behaviour at either end, as a value that is fed and drained |
//!
//! ```
//! use cops_codec::{Limits, Message, message::KeepAlive};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limits = Limits::default();
//! let frame = Message::from(KeepAlive { integrity: None }).encode(&limits)?;
//! assert_eq!(&frame[..], [0x10, 9, 0, 0, 0, 0, 0, 8]);
//! assert_eq!(Message::decode(&frame, &limits)?, Message::KeepAlive(KeepAlive { integrity: None }));
//! # Ok(())
//! # }
//! ```

pub mod client_type;
pub mod decode;
pub mod encode;
pub mod error;
pub mod framing;
pub mod integrity;
pub mod limits;
pub mod message;
pub mod provisioning;
pub mod session;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "tokio")]
pub mod tokio_codec;
pub mod wire;

pub use decode::MessageRef;
pub use error::{Answer, DecodeError, EncodeError, Fault, FaultKind};
pub use framing::{Frame, Framer};
pub use limits::Limits;
pub use message::Message;
