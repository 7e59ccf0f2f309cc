//! Where the contents of an object stand.

use bytes::Bytes;

/// The contents of a Named ClientSI or Named Decision Data, and where they stand in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents<'a> {
    /// The octets: inner objects.
    pub octets: &'a [u8],
    /// Absolute offset of the first of them.
    pub offset: usize,
}

impl<'a> Contents<'a> {
    /// Contents that are a slice of `message`, as those of a decoded message are of its frame: their offset follows
    /// from where they lie. Offset 0 if they lie elsewhere.
    pub fn within(message: &[u8], octets: &'a [u8]) -> Self {
        let distance = (octets.as_ptr() as usize).checked_sub(message.as_ptr() as usize);
        let inside = distance.filter(|offset| offset.saturating_add(octets.len()) <= message.len());
        Self {
            octets,
            offset: inside.unwrap_or(0),
        }
    }
}

/// Contents on their own: offsets count from their first octet.
impl<'a> From<&'a [u8]> for Contents<'a> {
    fn from(octets: &'a [u8]) -> Self {
        Self { octets, offset: 0 }
    }
}

/// Contents on their own: offsets count from their first octet.
impl<'a> From<&'a Bytes> for Contents<'a> {
    fn from(octets: &'a Bytes) -> Self {
        Self { octets, offset: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_the_distance_within_the_message() {
        let message = Bytes::from_static(&[0; 40]);
        let contents = message.slice(12..32);
        assert_eq!(Contents::within(&message, &contents).offset, 12);
        assert_eq!(Contents::within(&message, &message.slice(40..)).offset, 40);
        let elsewhere = vec![0; 8];
        assert_eq!(Contents::within(&contents, &message).offset, 0);
        assert_eq!(Contents::within(&elsewhere, &contents).offset, 0);
    }
}
