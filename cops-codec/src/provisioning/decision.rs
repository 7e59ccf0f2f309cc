//! What a COPS-PR DEC asks for (RFC 3084 section 3.2).

use super::contents::Contents;
use super::error::{GlobalError, GlobalErrorCode};
use crate::message::Decision;
use crate::wire::CommandCode;

/// A DEC as COPS-PR reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction<'a> {
    /// Nothing to install now.
    Null,
    /// Open a further request-state.
    OpenRequestState,
    /// Delete the request-state of this handle.
    DeleteRequestState,
    /// Change the installed rows: all of it or nothing.
    Change(Vec<Operation<'a>>),
}

/// One decision of a [`Transaction::Change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Takes rows away: `*(<PRID> | <PPRID>)`.
    Remove(Contents<'a>),
    /// Makes or replaces rows: `*(<PRID> <EPD>)`.
    Install(Contents<'a>),
}

impl<'a> Transaction<'a> {
    /// Reads the decisions of one DEC. `message` is the frame that they were decoded from, for offsets; empty if there
    /// is none.
    ///
    /// # Errors
    ///
    /// What the Failure report says (RFC 3084 section 4.4), if the decisions break the rules of section 3.2: data of
    /// another kind than Named, a Request-State flag that is not alone or has data, a NULL with data, an Install or
    /// Remove without, an unknown command.
    pub fn read(decisions: &'a [Decision], message: &[u8]) -> Result<Self, GlobalError> {
        let malformed = Err(GlobalErrorCode::MALFORMED_DECISION.into());
        if decisions.iter().any(|decision| {
            decision.stateless.is_some() || decision.replacement.is_some() || decision.client_si.is_some()
        }) {
            return malformed;
        }
        if decisions.iter().any(Decision::is_request_state) {
            return match decisions {
                [
                    Decision {
                        named: None, flags, ..
                    },
                ] if flags.command == CommandCode::INSTALL => Ok(Self::OpenRequestState),
                [
                    Decision {
                        named: None, flags, ..
                    },
                ] if flags.command == CommandCode::REMOVE => Ok(Self::DeleteRequestState),
                _ => malformed,
            };
        }
        let mut operations = Vec::with_capacity(decisions.len());
        for decision in decisions {
            let contents = decision
                .named
                .as_ref()
                .map(|named| Contents::within(message, named));
            match (decision.flags.command, contents) {
                (CommandCode::NULL, None) => {}
                (CommandCode::INSTALL, Some(contents)) => operations.push(Operation::Install(contents)),
                (CommandCode::REMOVE, Some(contents)) => operations.push(Operation::Remove(contents)),
                _ => return malformed,
            }
        }
        Ok(if operations.is_empty() {
            Self::Null
        } else {
            Self::Change(operations)
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::{Context, DecisionFlagBits, DecisionFlags};

    const CONTEXT: Context = Context::CONFIGURATION;

    fn request_state(command: CommandCode) -> Decision {
        Decision::new(
            CONTEXT,
            DecisionFlags {
                command,
                flags: DecisionFlagBits::REQUEST_STATE,
            },
        )
    }

    #[test]
    fn request_state_stands_alone_and_without_data() {
        let open = request_state(CommandCode::INSTALL);
        let read = |decisions: &[Decision]| Transaction::read(decisions, &[]).map(|read| format!("{read:?}"));
        assert_eq!(read(std::slice::from_ref(&open)).unwrap(), "OpenRequestState");
        assert_eq!(
            read(&[request_state(CommandCode::REMOVE)]).unwrap(),
            "DeleteRequestState"
        );
        let malformed = GlobalError {
            code: GlobalErrorCode::MALFORMED_DECISION,
            sub_code: 0,
        };
        let with_data = Decision {
            named: Some(Bytes::new()),
            ..open.clone()
        };
        for decisions in [
            vec![open.clone(), open.clone()],
            vec![open.clone(), Decision::null(CONTEXT)],
            vec![with_data],
            vec![request_state(CommandCode::NULL)],
        ] {
            assert_eq!(read(&decisions), Err(malformed), "{decisions:?}");
        }
    }

    #[test]
    fn data_must_suit_the_command() {
        let named = Bytes::from_static(&[1]);
        let other = |decision: Decision| Transaction::read(&[decision], &[]).is_err();
        assert!(other(Decision {
            named: Some(named.clone()),
            ..Decision::null(CONTEXT)
        }));
        assert!(other(Decision {
            stateless: Some(named.clone()),
            ..Decision::null(CONTEXT)
        }));
        assert!(other(Decision {
            client_si: Some(named.clone()),
            ..Decision::install(CONTEXT, named.clone())
        }));
        assert!(other(Decision::new(
            CONTEXT,
            DecisionFlags::new(CommandCode::INSTALL)
        )));
        assert!(other(Decision::new(CONTEXT, DecisionFlags::new(CommandCode(3)))));
        assert_eq!(
            Transaction::read(&[Decision::null(CONTEXT)], &[]),
            Ok(Transaction::Null)
        );
        let decisions = [
            Decision::remove(CONTEXT, named.clone()),
            Decision::install(CONTEXT, named.clone()),
        ];
        let contents = Contents {
            octets: &named,
            offset: 0,
        };
        assert_eq!(
            Transaction::read(&decisions, &[]),
            Ok(Transaction::Change(vec![
                Operation::Remove(contents),
                Operation::Install(contents)
            ]))
        );
    }
}
