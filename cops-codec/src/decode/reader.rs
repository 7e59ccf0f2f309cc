//! What the ten grammars have in common.

use bytes::Bytes;

use super::{MessageRef, TypedObjects};
use crate::{
    error::{Fault, FaultKind},
    framing::Frame,
    limits::Limits,
    wire::{ClientHandle, ClientSi, Header, Integrity, ObjectId, ObjectRef},
};

/// Gives a message's objects one by one, and keeps the rules that hold in every message: unknown objects are faults, and
/// Integrity comes once, last.
pub(crate) struct Reader<'a> {
    frame: &'a Bytes,
    objects: TypedObjects<'a>,
    integrity: Option<Integrity>,
    pub(crate) header: Header,
    pub(crate) limits: &'a Limits,
}

/// An object, and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Located<'a> {
    pub(crate) offset: usize,
    pub(crate) object: ObjectRef<'a>,
}

impl Located<'_> {
    pub(crate) const fn fault(&self, kind: FaultKind) -> Fault {
        Fault::new(self.offset, kind)
    }

    pub(crate) fn repeated(&self) -> Fault {
        self.fault(FaultKind::RepeatedObject {
            object: self.object.id(),
        })
    }

    pub(crate) fn out_of_order(&self, expected: &'static str) -> Fault {
        self.fault(FaultKind::Order {
            expected,
            object: self.object.id(),
        })
    }

    pub(crate) fn check_count(&self, what: &'static str, limit: usize, found: usize) -> Result<(), Fault> {
        if found > limit {
            Err(self.fault(FaultKind::OverLimit { what, limit, found }))
        } else {
            Ok(())
        }
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(frame: &'a Frame, limits: &'a Limits) -> Self {
        let message = MessageRef::of_frame(frame, limits);
        Self {
            frame: frame.octets(),
            objects: message.objects(),
            integrity: None,
            header: message.header(),
            limits,
        }
    }

    /// The next object but Integrity, which is kept for [`Self::integrity`].
    pub(crate) fn next(&mut self) -> Result<Option<Located<'a>>, Fault> {
        while let Some(item) = self.objects.next() {
            let (offset, object) = item?;
            let located = Located { offset, object };
            if self.integrity.is_some() {
                return Err(located.out_of_order("the end of the message after Integrity"));
            }
            self.integrity = Some(match object {
                ObjectRef::IntegrityHmac {
                    key_id,
                    sequence_number,
                    digest,
                } => Integrity::Hmac {
                    key_id,
                    sequence_number,
                    digest: self.bytes(digest),
                },
                ObjectRef::IntegrityTls(flags) => Integrity::Tls { flags },
                ObjectRef::Unknown { id, .. } => {
                    return Err(located.fault(FaultKind::UnknownObject { object: id }));
                }
                _ => return Ok(Some(located)),
            });
        }
        Ok(None)
    }

    /// The Integrity object, once all others were read.
    pub(crate) fn integrity(&mut self) -> Option<Integrity> {
        self.integrity.take()
    }

    /// Contents as a slice of the frame.
    pub(crate) fn bytes(&self, contents: &'a [u8]) -> Bytes {
        // `slice_ref` wants a part of the same memory, and all contents are parts of the frame that is being read.
        self.frame.slice_ref(contents)
    }

    pub(crate) fn handle(&self, contents: &'a [u8]) -> ClientHandle {
        ClientHandle(self.bytes(contents))
    }

    /// ClientSI of either kind; `None` for another object.
    pub(crate) fn client_si(&self, object: ObjectRef<'a>) -> Option<ClientSi> {
        match object {
            ObjectRef::SignaledClientSi(contents) => Some(ClientSi::Signaled(self.bytes(contents))),
            ObjectRef::NamedClientSi(contents) => Some(ClientSi::Named(self.bytes(contents))),
            _ => None,
        }
    }

    /// A known object that this message does not have.
    pub(crate) fn unexpected(&self, located: Located<'_>) -> Fault {
        let object: ObjectId = located.object.id();
        located.fault(FaultKind::UnexpectedObject {
            object,
            op_code: self.header.op_code,
        })
    }

    /// What has to be there, once all objects were read.
    pub(crate) fn required<T>(&self, slot: Option<T>, expected: &'static str) -> Result<T, Fault> {
        slot.ok_or_else(|| self.missing(expected))
    }

    pub(crate) fn missing(&self, expected: &'static str) -> Fault {
        Fault::new(self.frame.len(), FaultKind::MissingObject { expected })
    }
}

/// Fills the place of an object that may be there once.
pub(crate) fn once<T>(slot: &mut Option<T>, value: T, located: Located<'_>) -> Result<(), Fault> {
    match slot {
        Some(_) => Err(located.repeated()),
        None => {
            *slot = Some(value);
            Ok(())
        }
    }
}
