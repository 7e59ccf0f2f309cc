//! Octets read as a structure.

use bytes::Bytes;

/// Reads numbers, choices and octet strings from an input, front to back. What is missing at the end is zero, so that no
/// input is refused; a target that reads a list of operations ends with the input.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// All of `octets`.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// Whether everything is read.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is not read yet; nothing is left then.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// The next octets, fewer at the end.
    pub fn take(&mut self, octets: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(octets.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.take(N);
        core::array::from_fn(|at| taken.get(at).copied().unwrap_or(0))
    }

    /// One octet.
    pub fn u8(&mut self) -> u8 {
        let [octet] = self.array();
        octet
    }

    /// Two octets, most significant first.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// Four octets.
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    /// Eight octets.
    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// The lowest bit of an octet.
    pub fn bool(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// A number below `bound`, from one octet; 0 if there is no such number.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.u8()).checked_rem(bound).unwrap_or(0)
    }

    /// One of `choices`, or nothing if there is none.
    pub fn choice<'c, T>(&mut self, choices: &'c [T]) -> Option<&'c T> {
        choices.get(self.below(choices.len()))
    }

    /// Something, or nothing.
    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.bool().then(|| read(self))
    }

    /// Fewer than `bound` of something.
    pub fn list<T>(&mut self, bound: usize, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(bound)).map(|_| read(self)).collect()
    }

    /// An octet string: an octet with its length, then its octets. The highest lengths stand for the lengths around which
    /// bounds lie, and are filled with one octet, so that a short input can hold a long string.
    pub fn octets(&mut self) -> Bytes {
        /// For the lengths 240 and up: handles and PEPIDs, digests, objects, messages.
        const LONG: [usize; 16] = [
            255, 256, 1_023, 1_024, 1_025, 4_096, 65_000, 65_520, 65_527, 65_528, 65_529, 65_530, 65_531,
            65_532, 65_535, 70_000,
        ];
        let length = self.u8();
        match length.checked_sub(240).and_then(|at| LONG.get(usize::from(at))) {
            Some(length) => vec![self.u8(); *length].into(),
            None => Bytes::copy_from_slice(self.take(length.into())),
        }
    }
}
