//! Sans-IO sessions of both roles (RFC 2748 2.3 to 2.5, 3 and 4; RFC 3084 3 and 7).
//!
//! A session is the protocol's behaviour at one end of one connection, as a value. It owns no socket, reads no clock and
//! draws no random number; it is fed and drained. The same value runs under tokio, in a simulation with thousands of peers,
//! and in a test that sends an octet at a time.
//!
//! # The caller's contract
//!
//! A [`PepSession`] is made when its connection is made, a [`PdpSession`] when one is accepted. Then, for ever:
//!
//! 1. Give the session **one input**:
//!    - `handle_frame(now, ..)` with a [`Frame`](crate::Frame) that came, or with the error of a
//!      [`Framer`](crate::Framer) that can no longer tell where messages end. What cannot be decoded is an input like any
//!      other: the session decides what is answered, and says so.
//!    - `handle_command(now, ..)` with what the program wants. A command is carried out at once or refused with nothing
//!      changed; the error says why, and an event says when it may be tried again, where that is the question.
//!    - `handle_timeout(now)` when the time of `poll_timeout` is reached. Calling it early or twice does no harm.
//!    - `handle_disconnect(..)` when the transport ends or fails.
//! 2. **Drain** it: write each frame of `poll_transmit` to the connection in its order, and act on each event of
//!    `poll_event` in its order, until both give `None`. Acting on an event may be the next input.
//! 3. Ask `poll_timeout` again: each input may move it. `None` means that only input is waited for.
//!
//! When `is_closed` says so (an event `Closed` is the last one), write what `poll_transmit` still has, close the connection,
//! and drop the session. A PDP asks [`PdpSession::take_held`] first, if it wants to resume.
//!
//! Between steps 1 and 2 nothing else may happen: a session that is not drained refuses input ([`Undrained`]) at its bound
//! on events. A peer that does not read fills the transmit queue; commands are then refused, and the connection is given up
//! when obligatory answers fill it too. Stop reading the peer's octets while
//! [`transmit_octets`](PdpSession::transmit_octets) is high, and it never comes to that.
//!
//! `now` is a [`Moment`]: milliseconds of one monotonic clock, the same for all calls of a session. A session runs in real
//! time also where the program scales its own clock, since the other end does not.
//!
//! Both ends of one connection, with a program that accepts and answers NULL. Real callers write the frames' octets to a
//! socket and read them back through a [`Framer`](crate::Framer).
//!
//! ```
//! use cops_codec::message::{Decision, DecisionBody};
//! use cops_codec::session::pdp::{Acceptance, PdpCommand, PdpConfig, PdpEvent, PdpSession};
//! use cops_codec::session::pep::{ClientOpening, PepCommand, PepConfig, PepEvent, PepSession, RequestBody};
//! use cops_codec::session::Moment;
//! use cops_codec::wire::{ClientType, Context, KaTimer, PepId};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Moment(0);
//! let client_type = ClientType(0x4001);
//! let mut pep = PepSession::new(PepConfig::new(PepId::new("node7")?), now, 42);
//! let mut pdp = PdpSession::new(PdpConfig::new(vec![client_type], Vec::new()), now);
//! pep.handle_command(now, PepCommand::Open(ClientOpening::new(client_type)))?;
//! let mut answered = false;
//! while !answered {
//!     while let Some(frame) = pep.poll_transmit() {
//!         pdp.handle_frame(now, Ok(frame))?;
//!     }
//!     while let Some(event) = pdp.poll_event() {
//!         match event {
//!             PdpEvent::OpenRequested { client_type, .. } => {
//!                 pdp.handle_command(now, PdpCommand::Accept(Acceptance::new(client_type, KaTimer(30))))?;
//!             }
//!             PdpEvent::Request { request, message, .. } => {
//!                 let body = DecisionBody::Decisions(vec![Decision::null(message.context)]);
//!                 let handle = message.handle;
//!                 pdp.handle_command(now, PdpCommand::Decide { client_type, handle, request, body })?;
//!             }
//!             _ => {}
//!         }
//!     }
//!     while let Some(frame) = pdp.poll_transmit() {
//!         pep.handle_frame(now, Ok(frame))?;
//!     }
//!     while let Some(event) = pep.poll_event() {
//!         match event {
//!             PepEvent::ClientAccepted { client_type, .. } => {
//!                 let request = RequestBody::configuration(Vec::new());
//!                 pep.handle_command(now, PepCommand::Request { client_type, handle: None, request })?;
//!             }
//!             PepEvent::Decision { solicited: true, decisions, .. } => {
//!                 assert_eq!(decisions, [Decision::null(Context::CONFIGURATION)]);
//!                 answered = true;
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What the session sees to, and what it leaves to the program
//!
//! | the session | the program |
//! |---|---|
//! | who may send what, when, and the RFC's answer to anything else | what rows and decisions mean |
//! | handles; one open REQ each; one DEC a REQ and one RPT a DEC, in order; the solicited flag | contents; coalescing what waits behind an open REQ |
//! | keep-alive, silence, time-outs, the pace of accounting reports | reconnecting, by [`pep::reconnect`] |
//! | SSQ, SSC, and which states did not survive them | keeping [`HeldState`] between connections, by [`pdp::PepRegistry`] |
//! | bounds on all of this ([`SessionLimits`]) | who may connect at all |
//!
//! Message Integrity (RFC 2748 4.1) is between frame and message: [`PepIntegrity`] and [`PdpIntegrity`] turn it on. A PEP's
//! session then begins with OPN for client-type 0 by itself and holds back what is sent after it until the CAT has come, so
//! that a program opens its client-types as it does without. An OPN for client-type 0 that asks for what is not turned on is
//! answered as by a PDP without it.

mod command;
mod fault;
mod guard;
mod handles;
mod in_order;
mod keep_alive;
mod limits;
mod link;
pub mod pdp;
pub mod pep;
mod random;
mod time;
mod timers;
pub mod tls;

pub use self::{
    command::{CommandError, DecisionId, ReportRule, RequestId},
    fault::{CloseCause, Counters, PeerFault},
    guard::{Calendar, IntegrityStatus, PdpIntegrity, PepIntegrity},
    limits::SessionLimits,
    link::Undrained,
    pdp::{HeldState, PdpCommand, PdpConfig, PdpEvent, PdpSession},
    pep::{PepCommand, PepConfig, PepEvent, PepSession},
    time::Moment,
};
