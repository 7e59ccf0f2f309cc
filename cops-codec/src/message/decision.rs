//! Decision (RFC 2748 3.2).

use bytes::Bytes;

use super::put_context;
use crate::{
    decode::{Reader, once},
    encode::ObjectWriter,
    error::{EncodeError, Fault},
    wire::{
        ClientHandle, ClientType, CommandCode, Context, CopsError, DecisionDataKind, DecisionFlagBits,
        DecisionFlags, Integrity, ObjectRef,
    },
};

/// DEC: what the PDP decided for a request-state, in answer to a REQ or at any time later (RFC 2748 3.2).
///
/// ```text
/// <Decision Message> ::= <Common Header> <Client Handle> <Decision(s)> | <Error> [<Integrity>]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionMessage {
    /// The client-type.
    pub client_type: ClientType,
    /// The answer to a REQ. False for all further decisions on the handle until its next REQ.
    pub solicited: bool,
    /// The request-state.
    pub handle: ClientHandle,
    /// Decisions, or what was wrong with the REQ.
    pub body: DecisionBody,
    /// Authenticates the message.
    pub integrity: Option<Integrity>,
}

/// What a DEC says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecisionBody {
    /// One or more decisions. None at all is refused both ways; [`Decision::null`] says "nothing".
    Decisions(Vec<Decision>),
    /// A protocol error in the REQ. The request-state is not installed, or stays as it was.
    Error(CopsError),
}

/// One decision: the objects of C-Num 6 that stand under one Context (RFC 2748 2.2.6, 3.2).
///
/// ```text
/// <Decision> ::= <Context> <Decision: Flags> [<Decision: Stateless Data>] [<Decision: Replacement Data>]
///                [<Decision: ClientSI Data>] [<Decision: Named Data>]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Relative to which it is read.
    pub context: Context,
    /// What to do.
    pub flags: DecisionFlags,
    /// Information that the PEP applies to the event that made the request.
    pub stateless: Option<Bytes>,
    /// Replaces data in the signalled message.
    pub replacement: Option<Bytes>,
    /// Client Specific Decision Data.
    pub client_si: Option<Bytes>,
    /// Named configuration; in COPS-PR the rows that are installed or removed (RFC 3084 3.2).
    pub named: Option<Bytes>,
}

impl Decision {
    /// Without data.
    #[must_use]
    pub const fn new(context: Context, flags: DecisionFlags) -> Self {
        Self {
            context,
            flags,
            stateless: None,
            replacement: None,
            client_si: None,
            named: None,
        }
    }

    /// NULL: no configuration is available.
    #[must_use]
    pub const fn null(context: Context) -> Self {
        Self::new(context, DecisionFlags::new(CommandCode::NULL))
    }

    /// Installs named configuration.
    #[must_use]
    pub fn install(context: Context, named: Bytes) -> Self {
        Self {
            named: Some(named),
            ..Self::new(context, DecisionFlags::new(CommandCode::INSTALL))
        }
    }

    /// Removes named configuration.
    #[must_use]
    pub fn remove(context: Context, named: Bytes) -> Self {
        Self {
            named: Some(named),
            ..Self::new(context, DecisionFlags::new(CommandCode::REMOVE))
        }
    }

    /// Whether the Request-State flag of COPS-PR is set: open or delete a request-state (RFC 3084 3.2).
    #[must_use]
    pub const fn is_request_state(&self) -> bool {
        self.flags.flags.contains(DecisionFlagBits::REQUEST_STATE)
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

    fn put_objects(&self, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        put_context(self.context, writer)?;
        writer.put(ObjectRef::DecisionFlags(self.flags))?;
        DecisionDataKind::ALL
            .into_iter()
            .try_for_each(|kind| match self.data(kind) {
                Some(data) => writer.put(ObjectRef::DecisionData(kind, data)),
                None => Ok(()),
            })
    }
}

impl DecisionMessage {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut handle = None;
        let mut error: Option<CopsError> = None;
        let mut decisions: Vec<Decision> = Vec::new();
        // The Context whose Flags have to come next.
        let mut context = None;
        while let Some(located) = reader.next()? {
            if context.is_some() && !matches!(located.object, ObjectRef::DecisionFlags(_)) {
                return Err(located.out_of_order("Decision Flags after Context"));
            }
            let is_decision = matches!(
                located.object,
                ObjectRef::Context(_) | ObjectRef::DecisionFlags(_) | ObjectRef::DecisionData(..)
            );
            if is_decision && error.is_some() {
                return Err(located.out_of_order("no decision beside Error"));
            }
            match located.object {
                ObjectRef::Handle(contents) => once(&mut handle, reader.handle(contents), located)?,
                ObjectRef::Context(value) => context = Some(value),
                ObjectRef::DecisionFlags(flags) => {
                    let context = context
                        .take()
                        .ok_or_else(|| located.out_of_order("Context before Decision Flags"))?;
                    let found = decisions.len() + 1;
                    located.check_count("decisions in a DEC", reader.limits.max_decisions, found)?;
                    decisions.push(Decision::new(context, flags));
                }
                ObjectRef::DecisionData(kind, contents) => {
                    let decision = decisions
                        .last_mut()
                        .ok_or_else(|| located.out_of_order("Decision Flags before decision data"))?;
                    once(decision.data_mut(kind), reader.bytes(contents), located)?;
                }
                ObjectRef::Error(_) if !decisions.is_empty() => {
                    return Err(located.out_of_order("no Error beside decisions"));
                }
                ObjectRef::Error(value) => once(&mut error, value, located)?,
                // A decision's C-Type that is not known never gets here: the reader refuses it as an unknown object.
                _ => return Err(reader.unexpected(located)),
            }
        }
        let handle = reader.required(handle, "Handle")?;
        if context.is_some() {
            return Err(reader.missing("Decision Flags"));
        }
        let body = match error {
            Some(error) => DecisionBody::Error(error),
            None if decisions.is_empty() => {
                return Err(reader.missing("Context and Decision Flags, or Error"));
            }
            None => DecisionBody::Decisions(decisions),
        };
        Ok(Self {
            client_type: reader.header.client_type,
            solicited: reader.header.solicited,
            handle,
            body,
            integrity: reader.integrity(),
        })
    }

    pub(crate) fn put_objects(&self, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        writer.put(ObjectRef::Handle(self.handle.as_bytes()))?;
        match &self.body {
            DecisionBody::Error(error) => writer.put(ObjectRef::Error(*error)),
            DecisionBody::Decisions(decisions) if decisions.is_empty() => Err(EncodeError::NoDecision),
            DecisionBody::Decisions(decisions) => {
                writer.check_count("decisions in a DEC", writer.limits.max_decisions, decisions.len())?;
                decisions
                    .iter()
                    .try_for_each(|decision| decision.put_objects(writer))
            }
        }
    }
}
