//! Decision and LPDP Decision (RFC 2748 2.2.6, 2.2.7).

use bytes::BufMut;

use super::{
    number::{bit_set, number},
    object::{CType, RawObject},
    parse::{self, be_u16},
};
use crate::error::Fault;

number! {
    /// What a decision tells the PEP to do (RFC 2748 2.2.6).
    pub struct CommandCode(u16) {
        /// No configuration data available.
        NULL = 0, "NULL";
        /// Admit the request, or install configuration.
        INSTALL = 1, "Install";
        /// Remove the request, or remove configuration.
        REMOVE = 2, "Remove";
    }
}

bit_set! {
    /// The flags half of Decision Flags. A PEP ignores bits that do not apply to the R-Type or client-type (RFC 2748 2.2.6).
    pub struct DecisionFlagBits {
        /// Send an error message of the signalling protocol (RFC 2748 2.2.6).
        TRIGGER_ERROR = 0x01, "trigger-error";
        /// Open or delete a request-state; COPS-PR only (RFC 3084 3.2).
        REQUEST_STATE = 0x02, "request-state";
    }
}

/// Decision Flags, (6,1) and (7,1) (RFC 2748 2.2.6).
///
/// ```text
///  +--------------+--------------+--------------+--------------+
///  |        Command-Code         |            Flags            |
///  +--------------+--------------+--------------+--------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecisionFlags {
    /// What to do.
    pub command: CommandCode,
    /// How.
    pub flags: DecisionFlagBits,
}

impl DecisionFlags {
    /// This command with no flag set.
    #[must_use]
    pub const fn new(command: CommandCode) -> Self {
        Self {
            command,
            flags: DecisionFlagBits::NONE,
        }
    }

    pub(super) fn decode(object: &RawObject<'_>) -> Result<Self, Fault> {
        let (command, flags) = parse::contents(object, (be_u16, be_u16))?;
        Ok(Self {
            command: CommandCode(command),
            flags: DecisionFlagBits(flags),
        })
    }

    pub(super) fn put(self, out: &mut impl BufMut) {
        out.put_u16(self.command.0);
        out.put_u16(self.flags.0);
    }
}

/// The opaque kinds of decision object; the client-type gives their contents a format (RFC 2748 2.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecisionDataKind {
    /// C-Type 2: stateless information that the PEP applies locally, to the event that made the request.
    Stateless,
    /// C-Type 3: replaces data in the signalled message.
    Replacement,
    /// C-Type 4: Client Specific Decision Data.
    ClientSi,
    /// C-Type 5: named configuration, read relative to context and flags.
    Named,
}

impl DecisionDataKind {
    /// All four, in the order of the grammar.
    pub const ALL: [Self; 4] = [Self::Stateless, Self::Replacement, Self::ClientSi, Self::Named];

    /// The C-Type under C-Num 6 and 7.
    #[must_use]
    pub const fn c_type(self) -> CType {
        match self {
            Self::Stateless => CType(2),
            Self::Replacement => CType(3),
            Self::ClientSi => CType(4),
            Self::Named => CType(5),
        }
    }
}
