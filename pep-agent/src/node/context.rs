//! One context: its handle, the rows that the PDP installed, and what the PDP was told.

use std::collections::BTreeMap;

use cops_codec::client_type::framework::{Longevity, PibIncarnation};
use cops_codec::client_type::power::PlanVersion;
use cops_codec::client_type::store::{InstalledRows, PlanStatus, RowLimits};
use cops_codec::client_type::{Digest, Row, RowId};
use cops_codec::session::Moment;
use cops_codec::wire::ClientHandle;

/// A REQ that waits for its decision.
#[derive(Debug, Clone)]
pub(super) struct Awaiting {
    /// What the PDP knows once it has decided.
    pub(super) told: BTreeMap<RowId, Row>,
}

/// The base context.
#[derive(Debug)]
pub(super) struct BaseContext {
    /// Its handle, once it was asked for.
    pub(super) handle: Option<ClientHandle>,
    /// What the PDP installed.
    pub(super) installed: InstalledRows,
    /// What the PDP was told and has decided on.
    pub(super) told: BTreeMap<RowId, Row>,
    /// The REQ that is open.
    pub(super) awaiting: Option<Awaiting>,
    /// The next REQ tells the whole state.
    pub(super) needs_full: bool,
    /// Nothing is asked before this instant.
    pub(super) retry_at: Option<Moment>,
    /// The plan that the engine was given, by generation and digest.
    pub(super) enforced: Option<(u64, Digest)>,
    ttl_seconds: u32,
    revision: u64,
}

impl BaseContext {
    /// A context that no PDP knows of.
    pub(super) fn new(limits: RowLimits, ttl_seconds: u32) -> Self {
        let incarnation = PibIncarnation::opening(Longevity::ExpireOnTimeout, ttl_seconds);
        Self {
            handle: None,
            installed: InstalledRows::new(limits, incarnation),
            told: BTreeMap::new(),
            awaiting: None,
            needs_full: true,
            retry_at: None,
            enforced: None,
            ttl_seconds,
            revision: 0,
        }
    }

    /// Takes the rows as a decision left them.
    pub(super) fn put(&mut self, installed: InstalledRows) {
        self.installed = installed;
        self.revision += 1;
    }

    /// Rises with every change of the rows.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether the PDP decided on the last REQ.
    pub(super) fn is_confirmed(&self) -> bool {
        self.awaiting.is_none() && !self.needs_full
    }

    /// Whether what is installed is not half of something.
    pub(super) fn is_whole(&self) -> bool {
        self.installed.plan_status() != PlanStatus::Incomplete
    }

    /// How long it is kept without a PDP.
    pub(super) fn ttl_seconds(&self) -> u32 {
        match self.installed.incarnation() {
            Some(incarnation) if incarnation.longevity == Longevity::ExpireOnTimeout => incarnation.ttl,
            _ => self.ttl_seconds,
        }
    }

    /// Whether its plan is to be carried out (RFC 3318 section 2.4).
    pub(super) fn is_active(&self) -> bool {
        self.installed
            .incarnation()
            .is_some_and(|incarnation| incarnation.active)
    }

    /// A new connection: what was open on the old one is told again by what comes now.
    pub(super) fn reopened(&mut self) {
        self.awaiting = None;
        self.retry_at = None;
        if self.handle.is_none() {
            self.needs_full = true;
        }
    }

    /// The PDP decided on the open REQ.
    pub(super) fn answered(&mut self) {
        if let Some(awaiting) = self.awaiting.take() {
            self.told = awaiting.told;
        }
    }

    /// The PDP could not take the open REQ, and has what it had before it (E2). What it took for wrong is not known, so
    /// the whole state is told again, after a while: a PDP that refuses that too is not to be pestered.
    pub(super) fn refused(&mut self, retry_at: Moment) {
        self.awaiting = None;
        self.needs_full = true;
        self.retry_at = Some(retry_at);
    }

    /// The incarnation row as it goes into a REQ.
    pub(super) fn incarnation(&self, full_state: bool) -> PibIncarnation {
        let held = self.installed.incarnation().cloned();
        let row =
            held.unwrap_or_else(|| PibIncarnation::opening(Longevity::ExpireOnTimeout, self.ttl_seconds));
        PibIncarnation { full_state, ..row }
    }

    /// The version of the plan held.
    pub(super) fn highest(&self) -> PlanVersion {
        self.installed.highest()
    }
}
