//! Rows in object contents of legal size.
//!
//! A Named ClientSI and a Named Decision Data have a 16-bit length that counts their header. A REQ and an RPT take any
//! number of the first (RFC 3084 sections 3.1 and 3.3); a DEC takes any number of decisions with one of the second
//! each. A row (PRID and EPD) never spans two objects.

use bytes::Bytes;

/// Largest contents of a Named ClientSI or Named Decision Data that we send: 65535 octets less the header, rounded down
/// to whole inner objects, which are multiples of 4.
pub const MAX_NAMED_CONTENTS_OCTETS: usize = 65528;

/// A piece that must stay whole is larger than the contents of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a row of {octets} octets does not fit an object, which holds at most 65528")]
pub struct PieceTooLong {
    /// Octets of the piece.
    pub octets: usize,
}

/// Fills contents one after another, each with as many whole pieces as fit.
#[derive(Debug, Default)]
pub struct Packer {
    full: Vec<Bytes>,
    current: Vec<u8>,
}

impl Packer {
    /// Nothing packed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one piece: a row, or an error with its instance and details.
    ///
    /// # Errors
    ///
    /// The piece alone is too long. Rows of this crate never are.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), PieceTooLong> {
        self.write(|current| current.extend_from_slice(piece))
    }

    /// Adds one piece that `put` appends.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push); nothing was added then.
    pub fn write(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), PieceTooLong> {
        let start = self.current.len();
        put(&mut self.current);
        let octets = self.current.len() - start;
        if octets > MAX_NAMED_CONTENTS_OCTETS {
            self.current.truncate(start);
            return Err(PieceTooLong { octets });
        }
        if self.current.len() > MAX_NAMED_CONTENTS_OCTETS {
            let piece = self.current.split_off(start);
            self.full.push(std::mem::replace(&mut self.current, piece).into());
        }
        Ok(())
    }

    /// The contents, one for each object; none if nothing was added.
    pub fn finish(mut self) -> Vec<Bytes> {
        if !self.current.is_empty() {
            self.full.push(self.current.into());
        }
        self.full
    }
}

/// Packs all `pieces`.
///
/// # Errors
///
/// One of them alone is too long.
pub fn pack<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Result<Vec<Bytes>, PieceTooLong> {
    let mut packer = Packer::new();
    for piece in pieces {
        packer.push(piece.as_ref())?;
    }
    Ok(packer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_never_spans_two_objects() {
        let pieces: Vec<Vec<u8>> = (0..900).map(|index| vec![index as u8; 124]).collect();
        let contents = pack(&pieces).unwrap();
        assert_eq!(
            contents.iter().map(Bytes::len).collect::<Vec<_>>(),
            [528 * 124, 372 * 124]
        );
        assert!(
            contents
                .iter()
                .all(|contents| contents.len() <= MAX_NAMED_CONTENTS_OCTETS)
        );
        assert_eq!(contents.concat(), pieces.concat());
    }

    #[test]
    fn the_bound_itself_fits() {
        assert_eq!(pack([vec![0; MAX_NAMED_CONTENTS_OCTETS]]).unwrap().len(), 1);
        assert_eq!(pack([vec![0; 65532]]), Err(PieceTooLong { octets: 65532 }));
        assert!(pack(Vec::<Vec<u8>>::new()).unwrap().is_empty());
    }
}
