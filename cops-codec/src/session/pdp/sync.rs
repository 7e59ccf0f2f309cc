//! The PDP's part of synchronisation: mark and sweep (RFC 2748 3.5, 3.10).
//!
//! The RFC does not say what becomes of states that the PEP does not send again. They are not there any more, or it would
//! have: they are dropped at SSC.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::ClientHandle;

/// The SSQs whose SSC has not come: for one state each, or for all (no handle), with the states not seen since.
#[derive(Debug)]
pub(super) struct Synchronizations {
    running: BTreeMap<Option<ClientHandle>, BTreeSet<ClientHandle>>,
}

impl Synchronizations {
    pub(super) const fn new() -> Self {
        Self {
            running: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    pub(super) fn is_running(&self, scope: &Option<ClientHandle>) -> bool {
        self.running.contains_key(scope)
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = &Option<ClientHandle>> {
        self.running.keys()
    }

    /// Begins one. `unseen` are the states that the PEP has to send: not those with an open REQ, which a PEP may count as
    /// sent already (it must not send another).
    pub(super) fn begin(&mut self, scope: Option<ClientHandle>, unseen: BTreeSet<ClientHandle>) {
        self.running.insert(scope, unseen);
    }

    /// A REQ came, or a DRQ: this state needs no sweeping.
    pub(super) fn seen(&mut self, handle: &ClientHandle) {
        for unseen in self.running.values_mut() {
            unseen.remove(handle);
        }
    }

    /// Ends one, and gives the states that were not seen; `None` if it was not running.
    pub(super) fn end(&mut self, scope: &Option<ClientHandle>) -> Option<BTreeSet<ClientHandle>> {
        self.running.remove(scope)
    }
}
