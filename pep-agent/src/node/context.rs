//! The contexts (request-states) of the agent: their handles, the rows that the PDP installed, and what it was told.
//!
//! One is the base context, which the agent opens and which carries its facts; up to three more are contingencies, which
//! the PDP opens (Install with the Request-State flag, RFC 3084 section 3.2), fills, and keeps inactive until they are
//! needed. At most one is active, and only that one is enforced (RFC 3318 section 2.4).

use std::collections::BTreeMap;
use std::time::Duration;

use cops_codec::client_type::framework::{Longevity, PibIncarnation};
use cops_codec::client_type::power::PlanVersion;
use cops_codec::client_type::store::{InstalledRows, PlanStatus, RowLimits};
use cops_codec::client_type::{Row, RowId};
use cops_codec::session::Moment;
use cops_codec::wire::ClientHandle;

/// A REQ that waits for its decision.
#[derive(Debug, Clone)]
pub(super) struct Awaiting {
    /// What the PDP knows once it has decided.
    pub(super) told: BTreeMap<RowId, Row>,
}

/// Which context: a number that no two contexts of a run share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContextKey(u64);

impl ContextKey {
    /// The base context, also after it was made anew.
    pub(super) const BASE: Self = Self(0);
}

/// What becomes of a context while there is no PDP (frwkPibIncarnationLongevity).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// It stays.
    ForEver,
    /// It goes after this time; at once if that is zero.
    Expires(Duration),
}

/// One context.
#[derive(Debug)]
pub(super) struct Context {
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
    /// When it expires, while there is no PDP.
    pub(super) expires: Option<Moment>,
    ttl_seconds: u32,
}

impl Context {
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
            expires: None,
            ttl_seconds,
        }
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
    pub(super) fn lifetime(&self) -> Lifetime {
        let seconds = |seconds: u32| Lifetime::Expires(Duration::from_secs(u64::from(seconds)));
        match self.installed.incarnation() {
            Some(row) => match row.longevity {
                Longevity::ExpireNever => Lifetime::ForEver,
                Longevity::ExpireImmediate => Lifetime::Expires(Duration::ZERO),
                Longevity::ExpireOnTimeout => seconds(row.ttl),
            },
            None => seconds(self.ttl_seconds),
        }
    }

    /// Whether its plan is to be carried out (RFC 3318 section 2.4).
    pub(super) fn is_active(&self) -> bool {
        self.installed
            .incarnation()
            .is_some_and(|incarnation| incarnation.active)
    }

    /// A new connection: what was open on the old one is told again by what comes now.
    fn reopened(&mut self) {
        self.awaiting = None;
        self.retry_at = None;
        self.expires = None;
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

/// All contexts of the agent.
#[derive(Debug)]
pub(super) struct Contexts {
    limits: RowLimits,
    ttl_seconds: u32,
    base: Context,
    contingencies: BTreeMap<ContextKey, Context>,
    next: u64,
    revision: u64,
}

impl Contexts {
    /// A base context that no PDP knows of, and nothing else.
    pub(super) fn new(limits: RowLimits, ttl_seconds: u32) -> Self {
        Self {
            limits,
            ttl_seconds,
            base: Context::new(limits, ttl_seconds),
            contingencies: BTreeMap::new(),
            next: 1,
            revision: 0,
        }
    }

    pub(super) fn base(&self) -> &Context {
        &self.base
    }

    pub(super) fn base_mut(&mut self) -> &mut Context {
        &mut self.base
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        1 + self.contingencies.len()
    }

    pub(super) fn get(&self, key: ContextKey) -> Option<&Context> {
        match key {
            ContextKey::BASE => Some(&self.base),
            key => self.contingencies.get(&key),
        }
    }

    pub(super) fn get_mut(&mut self, key: ContextKey) -> Option<&mut Context> {
        match key {
            ContextKey::BASE => Some(&mut self.base),
            key => self.contingencies.get_mut(&key),
        }
    }

    /// The base context, then the contingencies in the order of their opening.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ContextKey, &Context)> {
        let contingencies = self.contingencies.iter().map(|(key, context)| (*key, context));
        std::iter::once((ContextKey::BASE, &self.base)).chain(contingencies)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Context> {
        std::iter::once(&mut self.base).chain(self.contingencies.values_mut())
    }

    pub(super) fn keys(&self) -> Vec<ContextKey> {
        self.iter().map(|(key, _)| key).collect()
    }

    /// The context of this handle.
    pub(super) fn key_of(&self, handle: &ClientHandle) -> Option<ContextKey> {
        self.iter()
            .find(|(_, context)| context.handle.as_ref() == Some(handle))
            .map(|(key, _)| key)
    }

    /// The one that is active, if one is.
    pub(super) fn active(&self) -> Option<ContextKey> {
        self.iter()
            .find(|(_, context)| context.is_active())
            .map(|(key, _)| key)
    }

    /// A further contingency. The caller sees to the number of them.
    pub(super) fn open(&mut self) -> ContextKey {
        let key = ContextKey(self.next);
        self.next += 1;
        let context = Context::new(self.limits, self.ttl_seconds);
        self.contingencies.insert(key, context);
        self.revision += 1;
        key
    }

    /// A context is gone. There is always a base context: it is made anew.
    pub(super) fn remove(&mut self, key: ContextKey) {
        if key == ContextKey::BASE {
            self.base = Context::new(self.limits, self.ttl_seconds);
        } else {
            self.contingencies.remove(&key);
        }
        self.revision += 1;
    }

    /// Takes the rows of a context as a decision left them. If they make it active, they make all others inactive, in the
    /// same step (RFC 3318 section 2.4).
    pub(super) fn put(&mut self, key: ContextKey, rows: InstalledRows) {
        let Some(context) = self.get_mut(key) else {
            return;
        };
        context.installed = rows;
        if context.is_active() {
            let others = self.keys().into_iter().filter(|other| *other != key);
            for other in others {
                if let Some(context) = self.get_mut(other)
                    && context.is_active()
                {
                    context.installed.set_active(false);
                }
            }
        }
        self.revision += 1;
    }

    /// Rises with every change of rows and of the number of contexts.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// A new connection. Contingencies that never got a handle were promised on the old one, and are not asked for on
    /// this: its PDP does not wait for them.
    pub(super) fn reopened(&mut self) {
        self.contingencies.retain(|_, context| context.handle.is_some());
        self.iter_mut().for_each(Context::reopened);
    }
}
