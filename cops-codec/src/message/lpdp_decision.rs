//! A decision of the PEP's own, as a REQ carries it (RFC 2748 2.2.7, 3.1).

use bytes::Bytes;

use super::put_context;
use crate::{
    encode::ObjectWriter,
    error::EncodeError,
    wire::{Context, DecisionDataKind, DecisionFlags, ObjectRef},
};

/// What the local policy decision point (LPDP) decided: objects of C-Num 7 (RFC 2748 2.2.7, 3.1).
///
/// ```text
/// <LPDPDecision> ::= [<Context>] <LPDPDecision: Flags> [<LPDPDecision: Stateless Data>]
///                    [<LPDPDecision: Replacement Data>] [<LPDPDecision: ClientSI Data>]
///                    [<LPDPDecision: Named Data>]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LpdpDecision {
    /// Relative to which it is read; the request's own where there is none.
    pub context: Option<Context>,
    /// What was decided.
    pub flags: DecisionFlags,
    /// Stateless data.
    pub stateless: Option<Bytes>,
    /// Replacement data.
    pub replacement: Option<Bytes>,
    /// Client Specific Decision Data.
    pub client_si: Option<Bytes>,
    /// Named data.
    pub named: Option<Bytes>,
}

impl LpdpDecision {
    /// Under the request's context and without data.
    #[must_use]
    pub const fn new(flags: DecisionFlags) -> Self {
        Self {
            context: None,
            flags,
            stateless: None,
            replacement: None,
            client_si: None,
            named: None,
        }
    }

    /// The data of this kind.
    #[must_use]
    pub const fn data(&self, kind: DecisionDataKind) -> &Option<Bytes> {
        match kind {
            DecisionDataKind::Stateless => &self.stateless,
            DecisionDataKind::Replacement => &self.replacement,
            DecisionDataKind::ClientSi => &self.client_si,
            DecisionDataKind::Named => &self.named,
        }
    }

    /// The place for the data of this kind.
    #[must_use]
    pub const fn data_mut(&mut self, kind: DecisionDataKind) -> &mut Option<Bytes> {
        match kind {
            DecisionDataKind::Stateless => &mut self.stateless,
            DecisionDataKind::Replacement => &mut self.replacement,
            DecisionDataKind::ClientSi => &mut self.client_si,
            DecisionDataKind::Named => &mut self.named,
        }
    }

    pub(super) fn put_objects(&self, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        if let Some(context) = self.context {
            put_context(context, writer)?;
        }
        writer.put(ObjectRef::LpdpDecisionFlags(self.flags))?;
        DecisionDataKind::ALL
            .into_iter()
            .try_for_each(|kind| match self.data(kind) {
                Some(data) => writer.put(ObjectRef::LpdpDecisionData(kind, data)),
                None => Ok(()),
            })
    }
}
