//! What a client-type is to the PDP: a module that is asked, and that decides.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use cops_codec::message::Request;
use cops_codec::session::pdp::Synchronize;
use cops_codec::session::{CloseCause, DecisionId, Moment, ReportRule, RequestId};
use cops_codec::wire::{
    AccountingTimer, ClientHandle, ClientSi, ClientType, CopsError, ErrorCode, KaTimer, PdpAddress, PepId,
    Reason, ReportType,
};

use super::{ConnectionId, Hosting};

/// One client-type, as a PDP serves it: without IO and without a clock of its own.
///
/// The [`Host`](super::Host) sees to the protocol: framing, handles, order, keep-alives, synchronisation, bounds, and the
/// RFC's answer to whatever is malformed. A module is asked about what is left, which is policy: who is accepted, what is
/// decided on a request, what a report means. It is called in the order in which things happen, never twice at once, and
/// acts through the [`Hosting`] that comes with each call, which reaches the sessions of its own client-type and no other.
///
/// # Contract
///
/// - [`open`](Self::open) decides and changes nothing; [`opened`](Self::opened) follows if CAT went. From there until
///   [`closed`](Self::closed) the connection is the module's to command.
/// - [`request`](Self::request) is answered by [`Hosting::decide`]: in the call if it can be, at once with NULL where
///   nothing is decided yet, since a PEP gives a handle up when it waits too long (RFC 2748 3.2).
/// - After [`closed`](Self::closed) with `held` the request-states are kept for the hold time: either
///   [`opened`](Self::opened) with `resumed` takes them up again, or an [`opened`](Self::opened) without it, or
///   [`forgotten`](Self::forgotten), ends them.
/// - What a PEP sends is bounded before it gets here ([`ModuleLimits`], and the session's own limits); what a module keeps
///   of it is the module's to bound.
///
/// # Example
///
/// A client-type whose every request is admitted, and that counts the reports. `docs/client-types.md` tells the steps;
/// `pdp-server/examples/rsvp_admission` is a whole one.
///
/// ```
/// use cops_codec::message::{Decision, DecisionBody};
/// use cops_codec::wire::{ClientType, CommandCode, DecisionFlags, KaTimer};
/// use pdp_server::host::{Asked, ClientTypeModule, Hosting, Opening, Reported, Terms, Verdict};
///
/// #[derive(Debug, Default)]
/// struct AdmitAll {
///     reports: u64,
/// }
///
/// impl ClientTypeModule for AdmitAll {
///     fn client_type(&self) -> ClientType {
///         ClientType(0x4001)
///     }
///
///     fn open(&mut self, _: &mut Hosting<'_>, _: &Opening) -> Verdict {
///         Verdict::Accept(Terms::new(KaTimer(30)))
///     }
///
///     fn request(&mut self, hosting: &mut Hosting<'_>, asked: Asked<'_>) {
///         let context = asked.message.context;
///         let admit = Decision::new(context, DecisionFlags::new(CommandCode::INSTALL));
///         // A refusal means that the PEP is gone or does not read: the session ends it.
///         let _ = hosting.decide(&asked, DecisionBody::Decisions(vec![admit]));
///     }
///
///     fn report(&mut self, _: &mut Hosting<'_>, _: Reported<'_>) {
///         self.reports += 1;
///     }
/// }
/// ```
pub trait ClientTypeModule {
    /// The client-type, always the same.
    fn client_type(&self) -> ClientType;

    /// Bounds on what its PEPs may hold; enforced by the host.
    fn limits(&self) -> ModuleLimits {
        ModuleLimits::DEFAULT
    }

    /// OPN came, for the first time on this connection or again (RFC 2748 3.6): CAT or CC? Only to be judged; what follows
    /// from it is for [`opened`](Self::opened).
    fn open(&mut self, hosting: &mut Hosting<'_>, opening: &Opening) -> Verdict;

    /// CAT went. `resumed`: the request-states of an earlier connection are in force, and no REQ is to be expected for them.
    fn opened(&mut self, hosting: &mut Hosting<'_>, opening: &Opening, resumed: bool) {
        let _ = (hosting, opening, resumed);
    }

    /// REQ came, for a new request-state or an update.
    fn request(&mut self, hosting: &mut Hosting<'_>, asked: Asked<'_>);

    /// RPT came: on a decision, or unsolicited (accounting, a later failure).
    fn report(&mut self, hosting: &mut Hosting<'_>, reported: Reported<'_>) {
        let _ = (hosting, reported);
    }

    /// The request-state is gone: DRQ came, or a synchronisation ended without it.
    fn state_deleted(
        &mut self,
        hosting: &mut Hosting<'_>,
        id: ConnectionId,
        handle: &ClientHandle,
        why: Deleted,
    ) {
        let _ = (hosting, id, handle, why);
    }

    /// A synchronisation has ended (SSC): of one state, or, without a handle, of all; states that were not sent again have
    /// been told as deleted.
    fn synchronized(&mut self, hosting: &mut Hosting<'_>, id: ConnectionId, handle: Option<&ClientHandle>) {
        let _ = (hosting, id, handle);
    }

    /// SSC did not come in time. By default the client-type is closed on that connection: what a PEP holds that cannot tell
    /// it is not known, and it comes back and tries again.
    fn synchronization_overdue(&mut self, hosting: &mut Hosting<'_>, id: ConnectionId) {
        // It may be closing by itself.
        let _ = hosting.close(id, CopsError::new(ErrorCode::UNSPECIFIED), None);
    }

    /// The client-type is not open on this connection any more. `held`: its request-states are kept for the hold time.
    fn closed(&mut self, hosting: &mut Hosting<'_>, id: ConnectionId, cause: &CloseCause, held: bool) {
        let _ = (hosting, id, cause, held);
    }

    /// A PEP did not come back within the hold time: its request-states are gone.
    fn forgotten(&mut self, hosting: &mut Hosting<'_>, pep_id: &PepId) {
        let _ = (hosting, pep_id);
    }

    /// Something came on a connection on which this client-type is open, and was acted on: a sign of life, and the moment
    /// for what waited for room.
    fn heard(&mut self, hosting: &mut Hosting<'_>, id: ConnectionId) {
        let _ = (hosting, id);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    fn poll_timeout(&self) -> Option<Moment> {
        None
    }

    /// Time has passed. Called when it is due, and also when something else of the PDP was.
    fn handle_timeout(&mut self, hosting: &mut Hosting<'_>) {
        let _ = hosting;
    }
}

/// How much the PEPs of one module may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleLimits {
    /// Connections on which the client-type is open. A further OPN gets CC, error 4. Default 20,000.
    pub max_peps: usize,
    /// Request-states of one PEP. A REQ for a further one gets DEC with error 4. Default 1,024, which is the session's own
    /// bound too: more has no effect.
    pub max_states: usize,
}

impl ModuleLimits {
    /// The documented defaults.
    pub const DEFAULT: Self = Self {
        max_peps: crate::limits::MAX_PEPS,
        max_states: 1_024,
    };
}

impl Default for ModuleLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// An OPN, as a module judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The connection.
    pub connection: ConnectionId,
    /// Its other end.
    pub address: SocketAddr,
    /// The PEP; the same for all client-types of a connection.
    pub pep_id: PepId,
    /// Global information about the PEP.
    pub client_si: Option<ClientSi>,
    /// The PDP whose complete decisions the PEP holds.
    pub last_pdp_address: Option<PdpAddress>,
    /// Whether that is this one.
    pub last_pdp_is_this: bool,
    /// The client-type is open already: nothing but the timers is new.
    pub again: bool,
}

/// Whether an OPN is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// CAT.
    Accept(Terms),
    /// CC.
    Refuse {
        /// Why; [`ErrorCode::REDIRECT`] with `redirect`.
        error: CopsError,
        /// The PDP to go to instead.
        redirect: Option<PdpAddress>,
    },
}

impl Verdict {
    /// CC with this error.
    #[must_use]
    pub const fn refuse(error: ErrorCode) -> Self {
        Self::Refuse {
            error: CopsError::new(error),
            redirect: None,
        }
    }
}

/// What an OPN is accepted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The longest silence. The smallest of a connection's client-types counts.
    pub ka_timer: KaTimer,
    /// The least interval between periodic accounting reports of a handle; no limit where there is none.
    pub accounting_timer: Option<AccountingTimer>,
    /// Which decisions are reported on.
    pub reports: ReportRule,
    /// Whether a PEP that comes back within the hold time, in sync, goes on with the request-states it had (RFC 2748 2.5).
    /// Otherwise it is synchronised.
    pub resume: bool,
    /// Whether SSQ follows CAT.
    pub synchronize: Synchronize,
}

impl Terms {
    /// No accounting limit, reports on configuration decisions, nothing resumed, and SSQ where the PEP holds decisions.
    #[must_use]
    pub const fn new(ka_timer: KaTimer) -> Self {
        Self {
            ka_timer,
            accounting_timer: None,
            reports: ReportRule::ConfigurationOnly,
            resume: false,
            synchronize: Synchronize::WhenNeeded,
        }
    }
}

/// A REQ.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Where it came from, and where its decision goes.
    pub connection: ConnectionId,
    /// Its name for [`Hosting::decide`].
    pub request: RequestId,
    /// Whether it changes a request-state that is installed.
    pub update: bool,
    /// The message: handle, context, interfaces, client specific information, and what the LPDP decided.
    pub message: &'a Request,
}

/// A RPT.
#[derive(Debug, Clone, Copy)]
pub struct Reported<'a> {
    /// Where it came from.
    pub connection: ConnectionId,
    /// The request-state.
    pub handle: &'a ClientHandle,
    /// The decision that it is about; `None` for an unsolicited report.
    pub decision: Option<DecisionId>,
    /// What is reported.
    pub report_type: ReportType,
    /// What the client-type says.
    pub client_si: &'a [ClientSi],
}

/// Why a request-state is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// DRQ, with its reason.
    ByPep(Reason),
    /// It was not sent again in a synchronisation.
    NotSynchronized,
}

/// The modules of a PDP, by client-type.
pub trait Modules {
    /// The client-types that are served.
    fn client_types(&self) -> Vec<ClientType>;

    /// The module of one.
    fn module(&mut self, client_type: ClientType) -> Option<&mut dyn ClientTypeModule>;

    /// When the first of them is due.
    fn poll_timeout(&self) -> Option<Moment>;
}

/// A module that a PDP owns.
pub type BoxedModule = Box<dyn ClientTypeModule + Send>;

/// For a PDP that serves nothing else; each module under its own client-type.
impl Modules for BTreeMap<ClientType, BoxedModule> {
    fn client_types(&self) -> Vec<ClientType> {
        self.keys().copied().collect()
    }

    fn module(&mut self, client_type: ClientType) -> Option<&mut dyn ClientTypeModule> {
        let module = self.get_mut(&client_type)?;
        Some(module.as_mut())
    }

    fn poll_timeout(&self) -> Option<Moment> {
        self.values().filter_map(|module| module.poll_timeout()).min()
    }
}
