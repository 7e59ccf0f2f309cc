//! COPS over TLS: the negotiation that comes before a session (RFC 4261 5).
//!
//! TLS begins inside a connection that was made in plain: OPN and CAT for client-type 0 agree on it, then the handshake
//! takes the same connection. What comes after it is a connection like any other, with a session of its own
//! ([`PepSession`](super::PepSession), [`PdpSession`](super::PdpSession)) that begins with the OPN of a client-type: OPN for
//! client-type 0 is not sent again, and there is no HMAC inside TLS.
//!
//! | connection | PDP | PEP |
//! |---|---|---|
//! | begins | [`PdpTls::new`] | [`PepTls::begin`], which gives the OPN to send |
//! | a frame comes | [`PdpTls::handle_frame`] | [`PepTls::handle_frame`] |
//! | `Upgrade` | send the CAT; the next octets are for [`PdpTls::handle_octets`] | nothing may be left unread; begin the handshake |
//! | `Plain` | give the frame, and what follows, to a session | the same |
//! | `Refuse`, `Refused` | send the frame if there is one, and close | the same |
//!
//! Time limits are the caller's. Who is too slow is dropped without a word: it would be the wrong language in the midst of a
//! handshake.

use super::fault::PeerFault;
use crate::{
    error::{Answer, DecodeError, EncodeError},
    framing::Frame,
    limits::Limits,
    message::{ClientAccept, ClientClose, ClientOpen, Message},
    wire::{
        CNum, ClientType, CopsError, ErrorCode, Integrity, IntegrityTlsFlags, KaTimer, ObjectId, PepId, Role,
    },
};

const INTEGRITY_TLS: ObjectId = ObjectId {
    c_num: CNum::INTEGRITY,
    c_type: Integrity::TLS,
};
const START_TLS: Integrity = Integrity::Tls {
    flags: IntegrityTlsFlags::START_TLS,
};

/// The first octet of a TLS handshake: the content type of its record (RFC 8446 5.1). As the first octet of a COPS message it
/// would be version 1 with flags that no message has.
const HANDSHAKE_RECORD: u8 = 22;

/// Error 15 with what is wanted, (16,2): "Integrity-TLS supported/preferred" (RFC 4261 4.2, 10).
pub const TLS_WANTED: CopsError = CopsError {
    code: ErrorCode::AUTHENTICATION_REQUIRED,
    sub_code: INTEGRITY_TLS.as_sub_code(),
};
/// Error 13 with the object that is not known, (16,2): the sender cannot do TLS (RFC 4261 4.2).
pub const TLS_UNSUPPORTED: CopsError = CopsError {
    code: ErrorCode::UNKNOWN_OBJECT,
    sub_code: INTEGRITY_TLS.as_sub_code(),
};
/// Error 15 with (16,0): "No security" (RFC 4261 4.2, 10).
pub const NO_SECURITY: CopsError = CopsError {
    code: ErrorCode::AUTHENTICATION_REQUIRED,
    sub_code: ObjectId::new(CNum::INTEGRITY, 0).as_sub_code(),
};

/// How a PDP stands to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPolicy {
    /// It cannot: whoever asks for it gets error 13, sub-code (16,2).
    Unsupported,
    /// Whoever begins with client-type 0 gets it, others may do without.
    Offered,
    /// Nobody does without: error 15, sub-code (16,2).
    Required,
}

/// What a PDP has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PdpTlsStep {
    /// Send the CAT; then comes the handshake, of which the PEP has the first word.
    Upgrade {
        /// CAT for client-type 0, with StartTLS.
        accept: Frame,
        /// Who the PEP says that it is. Nothing shows it yet.
        pep_id: PepId,
    },
    /// The PEP does without: this is the first frame of its session.
    Plain(Result<Frame, DecodeError>),
    /// Send the CC and close the connection.
    Refuse {
        /// CC for client-type 0; `None` after the PEP's own, which has no answer.
        close: Option<Frame>,
        /// What the PEP did; `None` if it only closed.
        fault: Option<PeerFault>,
    },
}

/// The PDP's end of the negotiation.
#[derive(Clone, Debug)]
pub struct PdpTls {
    policy: TlsPolicy,
    ka_timer: KaTimer,
    limits: Limits,
}

impl PdpTls {
    /// For a connection that was accepted. `ka_timer` goes into the CAT, which RFC 4261 5.1 does not let do without.
    #[must_use]
    pub const fn new(policy: TlsPolicy, ka_timer: KaTimer, limits: Limits) -> Self {
        Self {
            policy,
            ka_timer,
            limits,
        }
    }

    /// The first frame of the connection.
    ///
    /// # Errors
    /// The answer does not fit the limits, so there is none: close the connection.
    pub fn handle_frame(&self, frame: Result<Frame, DecodeError>) -> Result<PdpTlsStep, EncodeError> {
        let decoded = match &frame {
            Ok(frame) => Message::decode(frame, &self.limits),
            Err(error) => Err(error.clone()),
        };
        match decoded {
            Ok(Message::ClientOpen(open)) if open.client_type == ClientType::CONNECTION => {
                self.receive_open(open, frame)
            }
            // RFC 2748 3.8: there is no answer to CC.
            Ok(Message::ClientClose(close)) if close.client_type == ClientType::CONNECTION => {
                Ok(PdpTlsStep::Refuse {
                    close: None,
                    fault: None,
                })
            }
            _ if self.policy == TlsPolicy::Required => self.refuse(TLS_WANTED, PeerFault::TlsRequired),
            _ => Ok(PdpTlsStep::Plain(frame)),
        }
    }

    fn receive_open(
        &self,
        open: ClientOpen,
        frame: Result<Frame, DecodeError>,
    ) -> Result<PdpTlsStep, EncodeError> {
        let wants_tls = match open.integrity {
            Some(Integrity::Tls { flags }) => Some(flags.contains(IntegrityTlsFlags::START_TLS)),
            // RFC 4261 5.2: the PDP initiates.
            None => Some(true),
            Some(Integrity::Hmac { .. }) => None,
        };
        match (self.policy, wants_tls) {
            (TlsPolicy::Unsupported, _) if matches!(open.integrity, Some(Integrity::Tls { .. })) => {
                self.refuse(TLS_UNSUPPORTED, PeerFault::SecurityNotOffered)
            }
            (TlsPolicy::Unsupported, _) | (TlsPolicy::Offered, None) => Ok(PdpTlsStep::Plain(frame)),
            // RFC 4261 4.2: "it MUST send the following error code" where it wishes another mechanism. And an OPN with the
            // object and without its flag asks for nothing that could be begun.
            (TlsPolicy::Required, None) | (_, Some(false)) => self.refuse(TLS_WANTED, PeerFault::TlsRequired),
            (_, Some(true)) => {
                let accept = ClientAccept {
                    client_type: ClientType::CONNECTION,
                    ka_timer: self.ka_timer,
                    accounting_timer: None,
                    integrity: Some(START_TLS),
                };
                Ok(PdpTlsStep::Upgrade {
                    accept: Message::from(accept).encode(&self.limits)?,
                    pep_id: open.pep_id,
                })
            }
        }
    }

    /// The first octets after the OPN: `None` if they begin a handshake, and all of them are for TLS.
    ///
    /// RFC 4261 5.2: "Upon receiving any message from the PEP before the TLS handshake starts, the PDP MUST issue a
    /// Client-Close message with an error code 15".
    ///
    /// # Errors
    /// As [`Self::handle_frame`].
    pub fn handle_octets(&self, octets: &[u8]) -> Result<Option<PdpTlsStep>, EncodeError> {
        match octets.first() {
            Some(&HANDSHAKE_RECORD) | None => Ok(None),
            Some(_) => self.refuse(TLS_WANTED, PeerFault::BeforeHandshake).map(Some),
        }
    }

    fn refuse(&self, error: CopsError, fault: PeerFault) -> Result<PdpTlsStep, EncodeError> {
        Ok(PdpTlsStep::Refuse {
            close: Some(client_close(error, &self.limits)?),
            fault: Some(fault),
        })
    }
}

/// What a PEP has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PepTlsStep {
    /// Begin the handshake, as its client. Nothing else may be sent first (RFC 4261 5.2), and nothing of what came may be
    /// left: it would not be protected.
    Upgrade {
        /// The KA Timer of the CAT.
        ka_timer: KaTimer,
    },
    /// The PDP has no TLS, and may do without. Go on in plain: on this connection if `same_connection`, otherwise on a new
    /// one, since the PDP closes this.
    Plain {
        /// Whether the PDP took the OPN.
        same_connection: bool,
    },
    /// The PDP closes the connection. Where it sends the PEP to instead, nobody vouches for before the handshake.
    Refused {
        /// Why.
        error: CopsError,
    },
    /// Send the CC and close the connection.
    Refuse {
        /// CC for client-type 0.
        close: Frame,
        /// What the PDP did.
        fault: PeerFault,
    },
}

/// The PEP's end of the negotiation.
#[derive(Clone, Debug)]
pub struct PepTls {
    required: bool,
    limits: Limits,
}

impl PepTls {
    /// For a connection that was made. The frame is to be sent first: OPN for client-type 0, with StartTLS.
    ///
    /// Without `required`, a PDP that says that it has no TLS is spoken to in plain (RFC 4261 9). Whoever can change what
    /// is sent can say so in its name (RFC 4261 11).
    ///
    /// # Errors
    /// The OPN does not fit the limits.
    pub fn begin(pep_id: PepId, required: bool, limits: Limits) -> Result<(Self, Frame), EncodeError> {
        let open = ClientOpen {
            client_type: ClientType::CONNECTION,
            pep_id,
            client_si: None,
            last_pdp_address: None,
            integrity: Some(START_TLS),
        };
        let open = Message::from(open).encode(&limits)?;
        Ok((Self { required, limits }, open))
    }

    /// The first frame of the connection.
    ///
    /// # Errors
    /// The answer does not fit the limits, so there is none: close the connection.
    pub fn handle_frame(&self, frame: Result<Frame, DecodeError>) -> Result<PepTlsStep, EncodeError> {
        match frame.and_then(|frame| Message::decode(&frame, &self.limits)) {
            Ok(Message::ClientAccept(accept)) if accept.client_type == ClientType::CONNECTION => {
                match accept.integrity {
                    Some(Integrity::Tls { flags }) if flags.contains(IntegrityTlsFlags::START_TLS) => {
                        Ok(PepTlsStep::Upgrade {
                            ka_timer: accept.ka_timer,
                        })
                    }
                    None if !self.required => Ok(PepTlsStep::Plain {
                        same_connection: true,
                    }),
                    // RFC 4261 5.1: it "MUST close the connection if the Integrity-TLS object is missing".
                    _ => self.refuse(TLS_WANTED, PeerFault::TlsRequired),
                }
            }
            Ok(Message::ClientClose(close)) => {
                let has_none = [TLS_UNSUPPORTED, NO_SECURITY].contains(&close.error);
                if has_none && !self.required {
                    return Ok(PepTlsStep::Plain {
                        same_connection: false,
                    });
                }
                Ok(PepTlsStep::Refused { error: close.error })
            }
            Ok(_) => self.refuse(TLS_WANTED, PeerFault::TlsRequired),
            Err(error) => {
                let answer = match error.answer(Role::Pep) {
                    Answer::CloseClient { error, .. } | Answer::CloseConnection { error } => error,
                    _ => TLS_WANTED,
                };
                self.refuse(answer, error.into())
            }
        }
    }

    fn refuse(&self, error: CopsError, fault: PeerFault) -> Result<PepTlsStep, EncodeError> {
        Ok(PepTlsStep::Refuse {
            close: client_close(error, &self.limits)?,
            fault,
        })
    }
}

fn client_close(error: CopsError, limits: &Limits) -> Result<Frame, EncodeError> {
    let close = ClientClose {
        client_type: ClientType::CONNECTION,
        error,
        pdp_redirect_address: None,
        integrity: None,
    };
    Message::from(close).encode(limits)
}

/// What a session, which begins too late for TLS, says to a message with Integrity-TLS; `None` if it has none.
///
/// RFC 4261 4.1: "It MUST NOT be included in any other COPS message" than OPN and CAT for client-type 0.
pub(super) fn refuse_object(message: &Message) -> Option<(PeerFault, Answer)> {
    let (op_code, client_type) = (message.op_code(), message.client_type());
    match message {
        // Who negotiates answers.
        Message::ClientOpen(open) if open.client_type == ClientType::CONNECTION => None,
        // RFC 2748 3.8: there is no answer to CC.
        Message::ClientClose(_) => None,
        // RFC 4261 4.2, 5.2: a PEP that cannot begin the handshake.
        Message::ClientAccept(accept) if accept.client_type == ClientType::CONNECTION => {
            matches!(accept.integrity, Some(Integrity::Tls { .. })).then_some((
                PeerFault::SecurityNotOffered,
                Answer::close(client_type, TLS_UNSUPPORTED),
            ))
        }
        message => matches!(message.integrity(), Some(Integrity::Tls { .. })).then_some((
            PeerFault::MisplacedTls { op_code, client_type },
            Answer::close(client_type, CopsError::new(ErrorCode::BAD_MESSAGE_FORMAT)),
        )),
    }
}
