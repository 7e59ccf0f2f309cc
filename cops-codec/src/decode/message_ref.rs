//! The borrowed view.

use crate::{
    error::{DecodeError, Fault, FaultKind},
    framing::{self, Frame},
    limits::Limits,
    wire::{CNum, Header, ObjectId, ObjectRef, Objects, parse_header},
};

/// A message, borrowed: its header and the walk over its objects. Nothing is allocated and no grammar is applied, so that
/// also a message with unknown objects, or of an unknown op code, can be looked at.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'a> {
    octets: &'a [u8],
    header: Header,
    limits: Limits,
}

impl<'a> MessageRef<'a> {
    /// All of `octets` as one message.
    ///
    /// # Errors
    /// If version or length are not acceptable, or the length is not that of `octets`.
    pub fn new(octets: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        framing::check(octets, limits).map_err(framing::unframed)?;
        let missing = Fault::new(
            octets.len(),
            FaultKind::MessageOctets {
                expected: 8,
                found: octets.len(),
            },
        );
        let (_, header) = parse_header(octets).ok_or(framing::unframed(missing))?;
        Ok(Self {
            octets,
            header,
            limits: *limits,
        })
    }

    /// The message in a frame, which was checked when it was made.
    #[must_use]
    pub fn of_frame(frame: &'a Frame, limits: &Limits) -> Self {
        Self {
            octets: frame,
            header: frame.header(),
            limits: *limits,
        }
    }

    /// The common header.
    #[must_use]
    pub const fn header(&self) -> Header {
        self.header
    }

    /// The octets, header included.
    #[must_use]
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The objects as they stand, not looked into.
    #[must_use]
    pub const fn raw_objects(&self) -> Objects<'a> {
        Objects::new(self.octets)
    }

    /// The objects, typed. Ends after the first fault.
    #[must_use]
    pub const fn objects(&self) -> TypedObjects<'a> {
        TypedObjects {
            objects: self.raw_objects(),
            limits: self.limits,
            count: 0,
            ended: false,
        }
    }

    /// The first Handle object that the walk reaches, whatever its length.
    #[must_use]
    pub fn handle(&self) -> Option<&'a [u8]> {
        const HANDLE: ObjectId = ObjectId::new(CNum::HANDLE, 1);
        self.raw_objects()
            .take(self.limits.max_objects)
            .map_while(Result::ok)
            .find(|object| object.id == HANDLE)
            .map(|object| object.contents)
    }
}

/// The typed objects of a message, each with the octets between the start of the message and it.
#[derive(Clone, Debug)]
pub struct TypedObjects<'a> {
    objects: Objects<'a>,
    limits: Limits,
    count: usize,
    ended: bool,
}

impl<'a> Iterator for TypedObjects<'a> {
    type Item = Result<(usize, ObjectRef<'a>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.objects.next()?.and_then(|object| {
            self.count += 1;
            if self.count > self.limits.max_objects {
                return Err(object.fault(FaultKind::OverLimit {
                    what: "objects in a message",
                    limit: self.limits.max_objects,
                    found: self.count,
                }));
            }
            object.typed(&self.limits).map(|typed| (object.offset, typed))
        });
        self.ended = item.is_err();
        Some(item)
    }
}

impl core::iter::FusedIterator for TypedObjects<'_> {}
