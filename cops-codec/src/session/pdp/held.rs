//! Request-states that outlive their connection (RFC 2748 2.5, RFC 3084 7).
//!
//! RFC 2748 2.4 ties a handle to a TCP connection, and 2.3 has the PDP clean up after one ends; yet 2.5 and RFC 3084 7 let a
//! PEP that comes back go on without asking again. So retained state is keyed by PEPID, client-type and handle. It is kept
//! for a hold time; a PEP whose Last PDP Address is this PDP takes it over within that time, and any other is synchronised.

use std::collections::BTreeMap;

use crate::{
    session::time::Moment,
    wire::{ClientHandle, ClientType, Context, PepId},
};

/// The request-states of one client-type of a PEP, after its connection was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldState {
    pub(super) pep_id: PepId,
    pub(super) client_type: ClientType,
    pub(super) lost_at: Moment,
    pub(super) states: BTreeMap<ClientHandle, Context>,
    pub(super) complete: bool,
}

impl HeldState {
    /// Whose they are.
    #[must_use]
    pub const fn pep_id(&self) -> &PepId {
        &self.pep_id
    }

    /// Which client-type they belong to.
    #[must_use]
    pub const fn client_type(&self) -> ClientType {
        self.client_type
    }

    /// When the connection was lost. The hold time counts from here.
    #[must_use]
    pub const fn lost_at(&self) -> Moment {
        self.lost_at
    }

    /// Their handles.
    pub fn handles(&self) -> impl Iterator<Item = &ClientHandle> {
        self.states.keys()
    }

    /// Whether the PEP is known to have all decisions: each was reported on, and no synchronisation was under way. If not,
    /// it is synchronised when it comes back.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }
}
