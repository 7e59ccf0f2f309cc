//! What was wrong, at which octet; and the one place that turns it into what the peer is told.

use crate::{
    limits::MAX_OBJECT_CONTENTS_OCTETS,
    wire::{
        CNum, ClientHandle, ClientType, CopsError, ErrorCode, Header, ObjectId, OpCode, Reason, ReasonCode,
        Role, VERSION,
    },
};

/// Something wrong with received octets, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("octet {offset}: {kind}")]
pub struct Fault {
    /// Octets between the start of the message and what is wrong. For something absent: the message's length.
    pub offset: usize,
    /// What was expected, and found.
    pub kind: FaultKind,
}

impl Fault {
    pub(crate) const fn new(offset: usize, kind: FaultKind) -> Self {
        Self { offset, kind }
    }
}

/// What was expected, and found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// Another protocol version (RFC 2748 2.1 has only version 1).
    #[error("expected COPS version {VERSION}, found version {found}")]
    Version {
        /// The version in the header.
        found: u8,
    },
    /// A message length below 8, or not a multiple of 4 (RFC 2748 2.1).
    #[error("expected a message length that is a multiple of 4 and at least 8, found {found}")]
    MessageLength {
        /// The length in the header.
        found: u32,
    },
    /// A message length over [`Limits::max_message_octets`](crate::Limits::max_message_octets).
    #[error("expected a message length of at most {limit}, found {found}")]
    MessageTooLong {
        /// The limit.
        limit: usize,
        /// The length in the header.
        found: u32,
    },
    /// The octets at hand are not as many as the header says.
    #[error("expected a message of {expected} octets, found {found}")]
    MessageOctets {
        /// Octets that there should be.
        expected: usize,
        /// Octets that there are.
        found: usize,
    },
    /// An op code that RFC 2748 does not have.
    #[error("expected an op code from 1 to 10, found {}", found.0)]
    UnknownOpCode {
        /// The op code in the header.
        found: OpCode,
    },
    /// A client-type that the message cannot have: KA belongs to the connection (RFC 2748 3.9).
    #[error("expected client-type {expected} in this message, found {found}")]
    ClientType {
        /// The client-type that the message must have.
        expected: ClientType,
        /// The one in the header.
        found: ClientType,
    },
    /// Too few octets for an object's header.
    #[error("expected an object header of 4 octets, found {found}")]
    ObjectHeader {
        /// Octets left in the message.
        found: usize,
    },
    /// An object length below 4 (RFC 2748 2.2).
    #[error("expected an object length of at least 4, found {found}")]
    ObjectLength {
        /// The stated length.
        found: usize,
    },
    /// An object that ends behind the message.
    #[error(
        "expected {object} to end within the {expected} octets left in the message, found {found} octets with padding"
    )]
    ObjectOverrun {
        /// The object.
        object: ObjectId,
        /// Octets left in the message.
        expected: usize,
        /// Octets that the object takes.
        found: usize,
    },
    /// An object whose stated length is not that of its format (RFC 2748 2.2.1 to 2.2.16).
    #[error("expected {expected} in {object}, found {found}")]
    ObjectSize {
        /// The object.
        object: ObjectId,
        /// The right length, in words.
        expected: &'static str,
        /// The stated length.
        found: usize,
    },
    /// An object that is not known.
    #[error("expected an object of RFC 2748, found {object}")]
    UnknownObject {
        /// The object.
        object: ObjectId,
    },
    /// A known object that has no place in this message (RFC 2748 3).
    #[error("expected an object of {op_code}'s grammar, found {object}")]
    UnexpectedObject {
        /// The object.
        object: ObjectId,
        /// The message.
        op_code: OpCode,
    },
    /// A second copy of an object that may be there once.
    #[error("expected {object} once, found it again")]
    RepeatedObject {
        /// The object.
        object: ObjectId,
    },
    /// An object in the wrong place, where place gives meaning: in a decision, or after Integrity (RFC 2748 3, 3.2).
    #[error("expected {expected}, found {object}")]
    Order {
        /// What has to stand here.
        expected: &'static str,
        /// What stands here.
        object: ObjectId,
    },
    /// All objects parse, and one is missing that the message must have.
    #[error("expected {expected}, found the end of the message")]
    MissingObject {
        /// The missing object.
        expected: &'static str,
    },
    /// A value that its field cannot have.
    #[error("expected {expected} in {object}, found {found:#x}")]
    InvalidValue {
        /// The object.
        object: ObjectId,
        /// What the field may hold.
        expected: &'static str,
        /// What it holds.
        found: u32,
    },
    /// A PEPID without a character in it.
    #[error("expected a PEPID of at least one character, found an empty one")]
    EmptyPepId,
    /// A client handle over [`Limits::max_handle_octets`](crate::Limits::max_handle_octets).
    #[error("expected a client handle of at most {limit} octets, found {found}")]
    HandleTooLong {
        /// The limit.
        limit: usize,
        /// Octets in the handle.
        found: usize,
    },
    /// More of something than [`Limits`](crate::Limits) allows.
    #[error("expected at most {limit} {what}, found {found}")]
    OverLimit {
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The count at which reading stopped.
        found: usize,
    },
}

impl FaultKind {
    /// Whether the message's end cannot be known, so that nothing after it in the stream can be read either.
    #[must_use]
    pub const fn breaks_framing(&self) -> bool {
        matches!(
            self,
            Self::Version { .. }
                | Self::MessageLength { .. }
                | Self::MessageTooLong { .. }
                | Self::MessageOctets { .. }
        )
    }

    /// The Error object that tells of this (RFC 2748 2.2.8).
    ///
    /// What does not parse is a bad message format (3); if everything parses and an object is missing, that is said (7);
    /// an object that is not known is named (13); an unusable handle is a bad handle (1).
    #[must_use]
    pub const fn error(&self) -> CopsError {
        match self {
            Self::UnknownObject { object } => CopsError::unknown_object(*object),
            Self::MissingObject { .. } => CopsError::new(ErrorCode::OBJECT_MISSING),
            Self::HandleTooLong { .. } => CopsError::new(ErrorCode::BAD_HANDLE),
            _ => CopsError::new(ErrorCode::BAD_MESSAGE_FORMAT),
        }
    }

    /// The Reason object that tells of this, if it is in a DEC (RFC 2748 2.2.5, 3.4).
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::UnknownObject { object } => Reason::unknown_object(*object),
            _ => Reason::new(ReasonCode::MALFORMED_DECISION),
        }
    }
}

/// A message that could not be decoded: the fault, and what of the message can be trusted nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What was wrong, and where.
    pub fault: Fault,
    /// The header, unless the fault is in the framing.
    pub header: Option<Header>,
    /// The first Handle object, if the walk reaches one. Also one that is too long: the peer has to be told which.
    pub handle: Option<ClientHandle>,
}

impl DecodeError {
    /// What the RFC has this end answer. `receiver` is this end.
    ///
    /// | fault | answer |
    /// |---|---|
    /// | version, message length | CC for client-type 0, error 3, and the connection ends |
    /// | unknown Integrity C-Type | CC for client-type 0, error 13, and the connection ends (RFC 2748 4.1) |
    /// | unknown op code, wrong direction | CC for that client-type, error 3 |
    /// | in a REQ whose handle is known | DEC with the error (RFC 2748 3.1) |
    /// | in a DEC whose handle is known | DRQ with reason 12 or 13 (RFC 2748 3.4) |
    /// | elsewhere | CC for that client-type with the error (RFC 2748 3.6, 3.7) |
    #[must_use]
    pub fn answer(&self, receiver: Role) -> Answer {
        let error = self.fault.kind.error();
        let Some(header) = self.header else {
            return Answer::CloseConnection { error };
        };
        if let FaultKind::UnknownObject {
            object: ObjectId {
                c_num: CNum::INTEGRITY,
                ..
            },
        } = self.fault.kind
        {
            return Answer::CloseConnection { error };
        }
        if !header.op_code.is_sent_by(receiver.peer()) {
            return Answer::wrong_direction(header.client_type);
        }
        match (header.op_code, &self.handle) {
            (OpCode::REQUEST, Some(handle)) => Answer::ErrorDecision {
                client_type: header.client_type,
                handle: handle.clone(),
                error,
            },
            (OpCode::DECISION, Some(handle)) => Answer::DeleteRequestState {
                client_type: header.client_type,
                handle: handle.clone(),
                reason: self.fault.kind.reason(),
            },
            // KA has no client to close: what is wrong with it is wrong with the connection.
            (OpCode::KEEP_ALIVE, _) => Answer::CloseConnection { error },
            _ => Answer::close(header.client_type, error),
        }
    }
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.header {
            Some(header) => write!(f, "{} for client-type {}", header.op_code, header.client_type)?,
            None => f.write_str("message")?,
        }
        if let Some(handle) = &self.handle {
            write!(f, ", handle {handle}")?;
        }
        write!(f, ": {}", self.fault)
    }
}

impl core::error::Error for DecodeError {}

/// What a peer is told about a message that was wrong. [`Message::from`](crate::Message) makes the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A solicited DEC with the error in place of decisions. The request-state is as before; a new one is not installed.
    ErrorDecision {
        /// The client-type of the REQ.
        client_type: ClientType,
        /// The handle of the REQ.
        handle: ClientHandle,
        /// What was wrong.
        error: CopsError,
    },
    /// A DRQ; no RPT goes with it. The PEP's state is gone, or requested anew.
    DeleteRequestState {
        /// The client-type of the DEC.
        client_type: ClientType,
        /// The handle of the DEC.
        handle: ClientHandle,
        /// What was wrong.
        reason: Reason,
    },
    /// A CC for this client-type; the connection goes on.
    CloseClient {
        /// The client-type, never 0.
        client_type: ClientType,
        /// What was wrong.
        error: CopsError,
    },
    /// A CC for client-type 0, after which the connection is closed.
    CloseConnection {
        /// What was wrong.
        error: CopsError,
    },
}

impl Answer {
    /// To a message that the other end never sends (RFC 2748 does not say; titles of 3.1 to 3.10).
    #[must_use]
    pub const fn wrong_direction(client_type: ClientType) -> Self {
        Self::close(client_type, CopsError::new(ErrorCode::BAD_MESSAGE_FORMAT))
    }

    /// A CC. For client-type 0 it ends the connection.
    #[must_use]
    pub const fn close(client_type: ClientType, error: CopsError) -> Self {
        match client_type {
            ClientType::CONNECTION => Self::CloseConnection { error },
            client_type => Self::CloseClient { client_type, error },
        }
    }

    /// Whether the connection ends once this is sent.
    #[must_use]
    pub const fn closes_connection(&self) -> bool {
        matches!(self, Self::CloseConnection { .. })
    }
}

/// A value that the wire cannot hold. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// An object's length is a 16-bit field (RFC 2748 2.2).
    #[error("expected at most {MAX_OBJECT_CONTENTS_OCTETS} octets in {object}, found {found}")]
    ObjectTooLong {
        /// The object.
        object: ObjectId,
        /// Octets of its contents.
        found: usize,
    },
    /// Over [`Limits::max_message_octets`](crate::Limits::max_message_octets).
    #[error("expected a message of at most {limit} octets, found {found} or more")]
    MessageTooLong {
        /// The limit.
        limit: usize,
        /// Octets up to the object with which it was exceeded.
        found: usize,
    },
    /// More of something than [`Limits`](crate::Limits) allows.
    #[error("expected at most {limit} {what}, found {found}")]
    OverLimit {
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// How many there are.
        found: usize,
    },
    /// A DEC with neither decision nor error (RFC 2748 3.2); a NULL decision serves for "nothing".
    #[error("expected at least one decision in DEC, found none")]
    NoDecision,
    /// A Context that asks for nothing.
    #[error("expected an R-Type with at least one bit set, found 0")]
    EmptyRType,
}
