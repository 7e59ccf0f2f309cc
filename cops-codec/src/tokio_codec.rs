//! [`tokio_util::codec`] over the framing (feature `tokio`).
//!
//! Reading gives frames, not messages: a frame that does not decode is an input that the session has to answer, while an
//! error of a [`Decoder`] ends the stream. What ends it here is what ends the connection: framing that is lost, or octets
//! left over at the end.

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder, Framed};

use crate::{
    error::{DecodeError, EncodeError},
    framing::{self, Frame},
    limits::Limits,
    message::Message,
};

/// Octets of each of a connection's two buffers at first; they grow with what is received and sent.
///
/// [`Framed`]'s own 8 KiB would be 160 MiB for 10,000 PEPs that mostly send keep-alives of 8 octets.
pub const INITIAL_BUFFER_OCTETS: usize = 512;

/// Octets that may wait to be written before sending has to wait for the socket.
pub const WRITE_BOUNDARY_OCTETS: usize = 8 * 1024;

/// Frames in, frames or messages out, within the limits.
#[derive(Clone, Copy, Debug)]
pub struct CopsCodec {
    limits: Limits,
}

impl CopsCodec {
    /// With these limits.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// This codec over a connection, with small buffers to begin with.
    pub fn connection<T>(io: T, limits: Limits) -> Framed<T, Self> {
        let mut framed = Framed::with_capacity(io, Self::new(limits), INITIAL_BUFFER_OCTETS);
        framed.set_backpressure_boundary(WRITE_BOUNDARY_OCTETS);
        framed
    }
}

/// What ends a connection.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The end of a message cannot be found. The peer is told before the connection is closed
    /// ([`DecodeError::answer`]).
    #[error(transparent)]
    Framing(#[from] DecodeError),
    /// The stream ended inside a message.
    #[error("expected a whole message before the end of the stream, found {found} octets of one")]
    CutShort {
        /// Octets of the message that came.
        found: usize,
    },
    /// A message that cannot be encoded; nothing of it was sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl Decoder for CopsCodec {
    type Item = Frame;
    type Error = CodecError;

    fn decode(&mut self, received: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        Ok(framing::take_frame(received, &self.limits).map_err(framing::unframed)?)
    }

    fn decode_eof(&mut self, received: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        match self.decode(received)? {
            Some(frame) => Ok(Some(frame)),
            None if received.is_empty() => Ok(None),
            None => Err(CodecError::CutShort {
                found: received.len(),
            }),
        }
    }
}

impl Encoder<Frame> for CopsCodec {
    type Error = CodecError;

    fn encode(&mut self, frame: Frame, out: &mut BytesMut) -> Result<(), CodecError> {
        out.extend_from_slice(&frame);
        Ok(())
    }
}

impl Encoder<&Message> for CopsCodec {
    type Error = CodecError;

    fn encode(&mut self, message: &Message, out: &mut BytesMut) -> Result<(), CodecError> {
        Ok(message.encode_into(out, &self.limits)?)
    }
}

impl Encoder<Message> for CopsCodec {
    type Error = CodecError;

    fn encode(&mut self, message: Message, out: &mut BytesMut) -> Result<(), CodecError> {
        self.encode(&message, out)
    }
}
