//! One client-type of a PEP at the PDP, and its request-states.

use std::collections::{BTreeMap, VecDeque};

use super::{held::HeldState, sync::Synchronizations};
use crate::{
    framing::Frame,
    session::{
        command::{DecisionId, ReportRule},
        in_order::InOrder,
        time::Moment,
    },
    wire::{AccountingTimer, ClientHandle, ClientType, Context, KaTimer, PdpAddress, PepId},
};

/// One client-type, from its first OPN to its CC.
#[derive(Debug)]
pub(super) struct Client {
    /// The KA Timer that it was accepted with; `None` before that.
    pub(super) ka_timer: Option<KaTimer>,
    /// The Last PDP Addresses of OPNs that are not answered, oldest first.
    pub(super) pending_opens: VecDeque<Option<PdpAddress>>,
    pub(super) accounting_timer: Option<AccountingTimer>,
    pub(super) reports: ReportRule,
    /// Boxed, since a node of the map has room for eleven, and most PEPs have one.
    pub(super) states: BTreeMap<ClientHandle, Box<State>>,
    pub(super) synchronizations: Synchronizations,
}

/// A request-state.
#[derive(Debug)]
pub(super) struct State {
    /// Of the last REQ that was decided; of the first one before that.
    pub(super) context: Context,
    /// Whether a decision was sent for it. A REQ that is answered with an Error object installs nothing.
    pub(super) installed: bool,
    /// REQs whose solicited DEC has not gone, each with its context.
    pub(super) undecided: InOrder<Context, Answer>,
    /// Decisions that went and whose RPT has not come, oldest first.
    pub(super) unreported: VecDeque<DecisionId>,
}

/// A solicited DEC that is ready.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) frame: Frame,
    /// The context of its REQ, if it holds decisions: it is then the state's.
    pub(super) installs: Option<Context>,
    pub(super) report: Option<DecisionId>,
}

impl Client {
    pub(super) const fn new() -> Self {
        Self {
            ka_timer: None,
            pending_opens: VecDeque::new(),
            accounting_timer: None,
            reports: ReportRule::ConfigurationOnly,
            states: BTreeMap::new(),
            synchronizations: Synchronizations::new(),
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.ka_timer.is_some()
    }

    /// What is left of it after the connection was lost. A state without a decision is not worth holding: the PEP asks
    /// again.
    pub(super) fn into_held(self, pep_id: PepId, client_type: ClientType, lost_at: Moment) -> HeldState {
        let complete = self.synchronizations.is_empty()
            && self
                .states
                .values()
                .all(|state| state.unreported.is_empty() && state.undecided.is_empty());
        HeldState {
            pep_id,
            client_type,
            lost_at,
            complete,
            states: self
                .states
                .into_iter()
                .filter(|(_, state)| state.installed)
                .map(|(handle, state)| (handle, state.context))
                .collect(),
        }
    }
}

impl State {
    pub(super) const fn new(context: Context) -> Self {
        Self {
            context,
            installed: false,
            undecided: InOrder::new(),
            unreported: VecDeque::new(),
        }
    }

    pub(super) const fn held(context: Context) -> Self {
        let mut state = Self::new(context);
        state.installed = true;
        state
    }
}
