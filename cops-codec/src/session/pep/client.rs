//! One client-type of a PEP, and its request-states.

use std::collections::BTreeMap;

use super::{
    accounting::Accounting,
    command::{ClientOpening, HeldRequestState},
    event::ClientEnd,
    sync::Synchronizations,
};
use crate::{
    framing::Frame,
    session::{command::ReportRule, fault::CloseCause, in_order::InOrder},
    wire::{AccountingTimer, ClientHandle, ClientType, Context, KaTimer},
};

/// One client-type, from its first OPN to its CC.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) phase: Phase,
    /// OPNs that are not answered.
    pub(super) pending_opens: usize,
    pub(super) reports: ReportRule,
    pub(super) states: BTreeMap<ClientHandle, State>,
    pub(super) synchronizations: Synchronizations,
    /// Whether the decisions that are held are this PDP's. For states of an earlier connection that is so only if this PDP
    /// is the one they came from, or after it has synchronised them (RFC 2748 2.5).
    pub(super) established: bool,
}

/// How far the opening got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// OPN went, no CAT came.
    Opening,
    /// CAT came.
    Open {
        ka_timer: KaTimer,
        accounting_timer: Option<AccountingTimer>,
    },
}

/// A request-state.
#[derive(Debug)]
pub(super) struct State {
    /// Of the last REQ that was decided; of the first one before that.
    pub(super) context: Context,
    /// Whether the PDP has decided on it.
    pub(super) installed: bool,
    /// The REQ that waits for its decision. At most one (RFC 2748 3.2).
    pub(super) open_request: Option<OpenRequest>,
    /// Whether the program was told to wait with another REQ.
    pub(super) wanted: bool,
    /// The decisions that are to be reported on, with the reports that are ready before their turn.
    pub(super) unreported: InOrder<(), Frame>,
    pub(super) accounting: Accounting,
}

/// What the session remembers of a REQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenRequest {
    pub(super) context: Context,
    pub(super) full_state: bool,
    pub(super) more_follows: bool,
}

impl Client {
    pub(super) fn new(opening: &ClientOpening, resumes: bool) -> Self {
        Self {
            phase: Phase::Opening,
            pending_opens: 0,
            reports: opening.reports,
            states: opening
                .held
                .iter()
                .map(|held| {
                    let mut state = State::new(held.context);
                    state.installed = held.confirmed;
                    (held.handle.detached(), state)
                })
                .collect(),
            synchronizations: Synchronizations::new(),
            established: resumes || opening.held.is_empty(),
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    pub(super) const fn ka_timer(&self) -> Option<KaTimer> {
        match self.phase {
            Phase::Open { ka_timer, .. } => Some(ka_timer),
            Phase::Opening => None,
        }
    }

    pub(super) const fn accounting_timer(&self) -> Option<AccountingTimer> {
        match self.phase {
            Phase::Open { accounting_timer, .. } => accounting_timer,
            Phase::Opening => None,
        }
    }

    /// Whether the PDP's complete set of decisions is here (RFC 2748 4.3). Without a state there is none.
    fn in_sync(&self) -> bool {
        self.is_open()
            && self.established
            && !self.states.is_empty()
            && self.synchronizations.is_empty()
            && self
                .states
                .values()
                .all(|state| state.is_confirmed() && state.unreported.is_empty())
    }

    pub(super) fn end(self, client_type: ClientType, cause: CloseCause) -> ClientEnd {
        ClientEnd {
            client_type,
            cause,
            accepted: self.is_open(),
            in_sync: self.in_sync(),
            states: self
                .states
                .into_iter()
                .map(|(handle, state)| HeldRequestState {
                    handle,
                    context: state.context,
                    confirmed: state.is_confirmed(),
                })
                .collect(),
        }
    }
}

impl State {
    pub(super) const fn new(context: Context) -> Self {
        Self {
            context,
            installed: false,
            open_request: None,
            wanted: false,
            unreported: InOrder::new(),
            accounting: Accounting::new(),
        }
    }

    const fn is_confirmed(&self) -> bool {
        self.installed && self.open_request.is_none()
    }
}
