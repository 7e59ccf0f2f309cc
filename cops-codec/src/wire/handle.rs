//! Client handle (RFC 2748 2.2.1).

use bytes::Bytes;

/// Handle, (1,1): names one request-state of a PEP, per connection and client-type (RFC 2748 2.2.1, 2.4).
///
/// The PEP chooses it; to the PDP it is octets that are equal or not, of whatever length: `00` and `00 00` are two
/// handles. An empty one is well formed as an object; whether it can name a state is for the session to say.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientHandle(pub Bytes);

impl ClientHandle {
    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no octet in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same handle in memory of its own.
    ///
    /// A decoded handle is a slice of the received message and keeps all of that in memory; a table of states that lives
    /// for hours should not.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl From<&[u8]> for ClientHandle {
    fn from(octets: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(octets))
    }
}

impl From<u32> for ClientHandle {
    /// Four octets, most significant first: enough for a PEP that numbers its states.
    fn from(number: u32) -> Self {
        Self::from(&number.to_be_bytes()[..])
    }
}

impl core::fmt::Display for ClientHandle {
    /// Hexadecimal. A handle may be 64 KiB of a stranger's making, so a long one is cut short.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        const SHOWN_OCTETS: usize = 16;
        for octet in self.0.iter().take(SHOWN_OCTETS) {
            write!(f, "{octet:02x}")?;
        }
        if self.0.len() > SHOWN_OCTETS {
            write!(f, "... ({} octets)", self.0.len())?;
        }
        Ok(())
    }
}

impl core::fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ClientHandle({self})")
    }
}
